// The queue, the funnel, the figures, the switches and the line of health.

import { byId, element } from "./dom.js";
import { funnelChart, queueChart } from "./charts.js";
import { page } from "./stream.js";

const TILES = [["waiting", "waiting", "waits"], ["in_flight", "in flight", "waits"], ["delivered", "delivered", ""], ["dead", "dead", "died"]];

const QUEUE_FIGURES = { unhandled: "webhook events to be handled", dropped: "left out on purpose" };

const FIGURES = {
  webhooks: "webhooks answered", abandoned: "webhooks given up", messages: "messages sent", events: "events", impressions: "impressions",
  clicks: "clicks", smartlinks: "SmartLink clicks", rejections: "refused by Kochava", refused: "refused by Facebook",
};

const term = (name, value, key, more = "") =>
  element("div", { class: more }, element("dt", {}, name), element("dd", { "data-figure": key }, String(value)));

let drawn = "";

export function drawOverview() {
  const { state, samples } = page;
  const width = byId("queue-chart").clientWidth;
  byId("queue").hidden = state.queue === null && samples.length === 0;
  if (samples.length) byId("queue-chart").replaceChildren(queueChart(samples, width));
  const text = JSON.stringify([state.queue, state.figures, state.funnel, width]);
  if (text === drawn) return;
  drawn = text;
  byId("funnel-chart").replaceChildren(funnelChart(state.funnel, byId("funnel-chart").clientWidth));
  byId("figures").replaceChildren(...Object.entries(FIGURES).map(([key, name]) => term(name, state.figures[key], key)));
  if (!state.queue) return;
  byId("tiles").replaceChildren(...TILES.map(([key, name, more]) => term(name, state.queue[key], key, state.queue[key] ? more : "")));
  byId("queue-figures").replaceChildren(...Object.entries(QUEUE_FIGURES).map(([key, name]) => term(name, state.queue[key], key)));
  byId("entries").replaceChildren(...state.queue.entries.slice(0, 4).map(entry));
}

function entry({ kind, name, state, attempts, reason }) {
  const tried = attempts ? `${attempts} × tried` : "";
  return element("li", {}, element("strong", {}, name || kind), element("span", {}, state), element("span", {}, [reason, tried].filter(Boolean).join(" · ")));
}

let shownSwitch = null;

// Only a change is shown, so that a state from before the tap does not undo it.
function drawKochavaSwitch(value) {
  if (value === shownSwitch) return;
  shownSwitch = value;
  for (const input of document.querySelectorAll("input[name=kochava]")) input.checked = input.value === value;
}

export function resetKochavaSwitch() {
  shownSwitch = null;
  drawKochavaSwitch(page.state.kochava);
}

export function drawSwitches(played) {
  const { state, connected } = page;
  drawKochavaSwitch(state.kochava);
  byId("kill").hidden = state.bot === null;
  byId("kill").disabled = !state.bot?.process;
  byId("opt-out").hidden = !state.canOptOut;
  byId("opt-out").textContent = played ? `Opt ${played.name} ${played.optedOut ? "in" : "out"}` : "Opt out";
  const own = state.problem ? "the bot does not pass the subscription check" : `webhooks go to ${state.webhook}`;
  const bot = state.bot ? (state.bot.process ? `the bot runs as process ${state.bot.process}` : "the bot is not running") : own;
  byId("health").textContent = connected ? `Live · ${bot}` : "Not connected: the sandbox has ended, or is being started";
  byId("shop-name").textContent = state.bot ? "Example Shop" : "Your bot";
  byId("shop-state").textContent = state.problem || (state.bot && !state.bot.process) ? "not running" : played?.instagram ? "Instagram" : "Messenger";
  const notice = page.events.findLast((event) => event.kind === "notice");
  if (notice) say(notice.title, notice.good);
}

export function say(text, good) {
  const place = byId("notice");
  if (place.textContent === text) return;
  place.textContent = text;
  place.className = `notice ${good ? "good" : "bad"}`;
}
