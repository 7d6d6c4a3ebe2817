// Lists that grow at the top: what the bot sends, requests to Kochava, and the timeline of one person.

import { byId, element, size, time } from "./dom.js";
import { page } from "./stream.js";

const SHOWN = 40;

const RECORDS = {
  event: "Event", install: "Install", identityLink: "Identity link", impression: "Impression", click: "Click",
  smartlink: "SmartLink click", scrub: "Deletion", update: "Update", session: "Session", request: "Request",
};

const nameOf = (user) => page.state.people.find((person) => person.user === user)?.name ?? user ?? "";

class GrowingList {
  constructor(id, make, nothing) {
    this.place = byId(id);
    this.make = make;
    this.nothing = nothing;
    this.reset();
  }

  reset() {
    this.seen = 0;
    this.key = undefined;
    this.place.replaceChildren(element(this.place.tagName === "OL" ? "li" : "div", { class: "empty" }, this.nothing));
  }

  draw(events, key) {
    if (key !== this.key) {
      this.reset();
      this.key = key;
    }
    const fresh = events.filter((event) => event.number > this.seen).slice(-SHOWN);
    if (!fresh.length) return;
    if (!this.seen) this.place.replaceChildren();
    this.seen = fresh.at(-1).number;
    this.place.prepend(...fresh.map(this.make).reverse());
    while (this.place.children.length > SHOWN) this.place.lastChild.remove();
  }
}

function head(event, ...parts) {
  return element("div", { class: "head" }, ...parts, time(event.at));
}

function whole(name, event, content) {
  const { cut } = event.detail;
  const note = cut ? element("p", { class: "none" }, `${size(cut)} in all; this is the beginning`) : null;
  return element("details", {}, element("summary", {}, cut ? `${name}, ${size(cut)}` : name), note, element("pre", {}, ...content));
}

function sentItem(event) {
  const { detail } = event;
  if (event.kind === "refused") {
    const reason = element("p", {}, `Facebook refuses this: ${detail.reason}`);
    return element("article", { class: "item bad" }, head(event, element("b", {}, detail.path), element("span", { class: "pill bad" }, String(event.status))), reason, whole("Body", event, [detail.text]));
  }
  const links = detail.links.map((link) =>
    element("div", { class: "link" }, element("span", {}, link.title || "Address in the text"), element("code", { class: "old" }, link.before), element("code", { class: "new" }, link.after)));
  const lines = detail.lines.flatMap((line) =>
    typeof line === "string" ? [`${line}\n`] : [element("span", { class: "old" }, line[0]), element("span", { class: "new" }, line[1])]);
  const to = event.user ? `to ${nameOf(event.user)}` : "for everybody";
  return element("article", { class: "item" }, head(event, element("b", {}, event.title), element("span", { class: "to" }, to)),
    ...(links.length ? links : [element("p", { class: "none" }, "No link in it: sent as it is.")]), whole("Whole body", event, lines));
}

function dataOf(event) {
  try {
    return JSON.stringify(JSON.parse(event.detail.text).data.event_data, null, 1).replaceAll(/\n\s*/g, " ");
  } catch {
    return undefined;
  }
}

function requestItem(event) {
  const { detail } = event;
  const name = [RECORDS[detail.record] ?? detail.record, detail.name].filter(Boolean).join(" · ");
  const verdict = element("span", { class: event.good ? "pill" : "pill bad" }, event.title);
  const data = dataOf(event);
  const took = detail.seconds >= 0.1 ? ` · ${detail.seconds.toFixed(1)} s` : "";
  return element("article", { class: event.good ? "item" : "item bad" }, head(event, element("b", {}, name), verdict),
    element("code", { class: "where" }, `${detail.method} ${detail.path} · ${event.status ?? "no answer"}${took}`),
    data ? element("pre", {}, data) : null, whole("Whole request", event, [detail.text]));
}

function timelineItem(event) {
  const { detail, kind } = event;
  const lane = { message: "bot", refused: "bot", kochava: "kochava", notice: "all" }[kind] ?? "person";
  const text = {
    message: () => (detail.links.length ? `${event.title}, ${detail.links.length} ${detail.links.length > 1 ? "links" : "link"} rewritten` : event.title),
    kochava: () => `${RECORDS[detail.record] ?? detail.record} ${detail.name}: ${event.title}`,
    refused: () => `refused by Facebook: ${detail.reason}`,
    webhook: () => (detail.again ? `the same ${detail.webhook} webhook again` : `${detail.webhook} webhook: ${event.good ? `answered at attempt ${detail.attempts}` : detail.failure}`),
    visit: () => (detail.error ? `${event.title}: ${detail.error}` : `${event.title} → ${detail.steps.at(-1)}`),
  }[kind];
  return element("li", { class: event.good ? lane : `${lane} bad` }, time(event.at), element("span", { class: "what" }, text ? text() : event.title));
}

// An outage repeats one request many times; the timeline has it once, and its success.
function withoutRepeatedFailures(events) {
  const failed = new Set();
  return events.filter((event) => {
    if (event.kind !== "kochava" || event.good) return true;
    const key = event.detail.path + event.detail.text;
    return !failed.has(key) && failed.add(key);
  });
}

function belongs(event, user) {
  if (event.kind === "notice") return true;
  if (event.user !== user || event.detail.action) return false;
  return event.kind !== "webhook" || (event.detail.mid && (event.detail.again || event.detail.attempts > 1 || !event.good));
}

const lists = {
  sent: new GrowingList("sent-list", sentItem, "Nothing yet. Tap “Get started” in the chat: the bot greets you, and its link is rewritten."),
  requests: new GrowingList("request-list", requestItem, "Nothing yet. Each tap and each message of the chat becomes a request here."),
  timeline: new GrowingList("timeline-list", timelineItem, "Nothing happened yet."),
};

export function drawActivity(played) {
  const { events, run } = page;
  const sent = events.filter((event) => ["message", "graph", "refused"].includes(event.kind) && !event.detail.action);
  lists.sent.draw(sent, run);
  lists.requests.draw(events.filter((event) => event.kind === "kochava"), run);
  byId("timeline-name").textContent = played?.name ?? "this person";
  if (!played) return;
  const own = withoutRepeatedFailures(events.filter((event) => belongs(event, played.user)));
  lists.timeline.draw(own, `${run} ${played.user}`);
}
