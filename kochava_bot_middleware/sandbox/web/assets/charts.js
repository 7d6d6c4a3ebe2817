// Two charts as plain SVG: what waits over time, and the funnel.

const SVG = "http://www.w3.org/2000/svg";
const LEAST_SECONDS = 30;
const MOST_SECONDS = 120;

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function chart(width, height, label, shapes) {
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": label });
  svg.append(...shapes);
  return svg;
}

function bands(samples, x, of) {
  const found = [];
  samples.forEach((sample, index) => {
    const name = of(sample);
    const end = x((samples[index + 1] ?? sample).at);
    const last = found.at(-1);
    if (last && last.name === name) last.end = end;
    else found.push({ name, begin: x(sample.at), end });
  });
  return found.filter((band) => band.name);
}

export function queueChart(samples, width) {
  const height = 112, bottom = height - 16, top = 18;
  const newest = samples.at(-1)?.at ?? 0;
  const shown = samples.filter((sample) => newest - sample.at <= MOST_SECONDS);
  const seconds = Math.max(LEAST_SECONDS, newest - (shown[0]?.at ?? 0));
  const x = (at) => Math.max(0, width - ((newest - at) / seconds) * width);
  const most = Math.max(4, ...shown.map((sample) => sample.waiting));
  const y = (count) => bottom - (count / most) * (bottom - top);
  const shapes = [];
  for (const [of, dead] of [[(sample) => (sample.kochava === "up" ? "" : sample.kochava), ""], [(sample) => (sample.bot ? "" : "bot dead"), " dead"]]) {
    for (const { name, begin, end } of bands(shown, x, of)) {
      const label = dead ? name : `Kochava ${name}`;
      const fits = Math.min(begin, width - label.length * 7);
      shapes.push(shape("rect", { class: `band${dead}`, x: begin, y: 14, width: Math.max(2, end - begin), height: bottom - 14 }));
      shapes.push(shape("text", { class: `band-name${dead}`, x: fits, y: dead ? 26 : 10 }, label));
    }
  }
  if (shown.length) {
    const line = shown.map((sample) => `${x(sample.at).toFixed(1)},${y(sample.waiting).toFixed(1)}`).join(" ");
    shapes.push(shape("polygon", { class: "area", points: `${x(shown[0].at)},${bottom} ${line} ${width},${bottom}` }));
    shapes.push(shape("polyline", { class: "edge", points: line }));
  }
  shapes.push(shape("line", { class: "axis", x1: 0, x2: width, y1: bottom, y2: bottom }));
  shapes.push(shape("text", { x: 0, y: height - 2 }, `${Math.round(seconds)} s ago`));
  shapes.push(shape("text", { x: width, y: height - 2, "text-anchor": "end" }, "now"));
  const peak = Math.max(0, ...shown.map((sample) => sample.waiting));
  if (peak) shapes.push(shape("text", { x: 0, y: 28 }, `at most ${peak} waited`));
  return chart(width, height, `Records that waited in the last ${Math.round(seconds)} seconds: at most ${peak}`, shapes);
}

export function funnelChart(stages, width) {
  const row = 27, label = 128, room = width - label - 76;
  const most = Math.max(1, ...stages.map((stage) => stage.people));
  const shapes = stages.flatMap(({ stage, people }, index) => {
    const y = index * row;
    const part = stages[0].people ? `${Math.round((100 * people) / stages[0].people)} %` : "";
    return [
      shape("text", { class: "name", x: 0, y: y + 16 }, stage),
      shape("rect", { class: "track", x: label, y: y + 2, width: room, height: 19, rx: 5 }),
      shape("rect", { class: "bar", x: label, y: y + 2, width: (room * people) / most, height: 19, rx: 5 }),
      shape("text", { class: "value", x: label + room + 10, y: y + 16 }, people),
      shape("text", { x: width, y: y + 16, "text-anchor": "end" }, part),
    ];
  });
  const told = stages.map(({ stage, people }) => `${stage}: ${people}`).join(", ");
  return chart(width, stages.length * row, `People in each stage. ${told}`, shapes);
}
