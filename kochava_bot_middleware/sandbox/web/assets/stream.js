// The stream of the server, and its commands.

const NEWEST = 600;

export const page = { events: [], samples: [], state: null, connected: false, skipped: 0 };

let draw = () => {};
let scheduled = false;

export function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    draw();
  });
}

export function connect(render) {
  draw = render;
  const source = new EventSource("/api/stream");
  source.onmessage = (message) => {
    const got = JSON.parse(message.data);
    if (got.reset) Object.assign(page, { events: [], samples: got.samples, skipped: 0, run: (page.run ?? 0) + 1 });
    page.connected = true;
    page.events.push(...got.events);
    page.skipped += got.skipped ?? 0;
    // In a hidden tab nothing is drawn, so the limit is kept here.
    if (page.events.length > NEWEST) page.events.splice(0, page.events.length - NEWEST);
    if (got.state) page.state = got.state;
    if (got.sample) page.samples = [...page.samples.slice(-239), got.sample];
    schedule();
  };
  source.onerror = () => {
    page.connected = false;
    schedule();
  };
}

export async function command(name, body = {}) {
  try {
    const answer = await fetch(`/api/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    return await answer.json();
  } catch {
    return { error: "the sandbox does not answer: was it ended?" };
  }
}
