// The chat of one person, as in Messenger.

import { byId, element, size } from "./dom.js";
import { command, page } from "./stream.js";
import { say } from "./overview.js";

const SHOWN = 120;

let user = null;
let seen = 0;
let run = 0;
const ticks = new Map();

const found = () => page.state?.people.find((person) => person.user === user);

// A person who was just added is not in the state yet.
export const played = () => (user === null ? page.state?.people[0] : found());

export async function act(name, body = {}) {
  const answer = await command(name, { user: played()?.user, ...body });
  if (answer.error && !answer.steps) say(`Not done: ${answer.error}.`, false);
  return answer;
}

async function tap(button) {
  const answer = await act("tap", { button });
  if (answer.steps) openWebview(answer);
}

export function play(chosen) {
  user = chosen;
  seen = 0;
  ticks.clear();
  closeWebview();
  byId("messages").replaceChildren();
}

export function drawChat() {
  if (page.run !== run && !found()) user = null;
  const person = played();
  if (!person) return;
  if (person.user !== user || page.run !== run) play(person.user);
  run = page.run;
  drawPeople();
  byId("start").hidden = person.started;
  byId("composer").hidden = !person.started;
  byId("menu-open").hidden = !person.menu.length;
  if (byId("menu").dataset.of !== JSON.stringify(person.menu)) {
    byId("menu").dataset.of = JSON.stringify(person.menu);
    byId("menu").replaceChildren(...person.menu.map((item) => element("button", { type: "button", onclick: () => choose(item) }, item.title)));
  }
  const place = byId("messages");
  const fresh = page.events.filter((event) => event.user === user && event.number > seen);
  if (!person.started && !place.children.length) place.replaceChildren(welcome(person.name));
  if (!fresh.length) return;
  place.querySelector(".welcome")?.remove();
  seen = fresh.at(-1).number;
  place.append(...fresh.slice(-SHOWN).flatMap(drawn));
  const replies = [...place.querySelectorAll(".replies")];
  // Quick replies go away with the next message.
  for (const one of replies) if (one !== place.lastElementChild) one.remove();
  while (place.children.length > SHOWN) place.firstChild.remove();
  place.scrollTop = place.scrollHeight;
}

function welcome(name) {
  return element("p", { class: "welcome" }, element("strong", {}, `You are ${name}, a customer`), "Tap “Get started” below to open the conversation with the bot.");
}

function drawPeople() {
  const { people } = page.state;
  const key = JSON.stringify(people.map((person) => [person.user, person.optedOut]).concat(user));
  if (byId("people").dataset.of === key) return;
  byId("people").dataset.of = key;
  byId("people").replaceChildren(...people.map((person) =>
    element("button", { type: "button", "aria-pressed": String(person.user === user), onclick: () => { play(person.user); drawChat(); } }, person.optedOut ? `${person.name} (opted out)` : person.name)));
}

function choose(item) {
  showMenu(false);
  tap(item);
}

export function showMenu(open) {
  byId("menu").hidden = !open;
  byId("menu-open").setAttribute("aria-expanded", String(open));
}

function drawn(event) {
  const { detail } = event;
  if (event.kind === "action") {
    const tick = element("span", { class: "tick" }, "sending…");
    if (detail.mid) ticks.set(detail.mid, tick);
    return [element("div", { class: "bubble person" }, detail.said ?? detail.tapped ?? detail.opened), tick];
  }
  if (event.kind === "webhook" && ticks.has(detail.mid) && !detail.again) {
    const tick = ticks.get(detail.mid);
    if (!detail.retried) ticks.delete(detail.mid);
    tick.textContent = event.good ? (detail.attempts > 1 ? `delivered at attempt ${detail.attempts}` : "delivered") : detail.failure;
    tick.classList.toggle("wait", detail.attempts > 1 || !event.good);
    return [];
  }
  if (event.kind === "message" && !detail.action) return message(detail);
  if (event.kind === "refused") return [element("p", { class: "remark bad" }, `Facebook refused a message: ${detail.reason}`)];
  if (event.kind === "visit") return [element("p", { class: "remark" }, detail.error ? `${event.title}: ${detail.error}` : event.title)];
  return [];
}

function message(detail) {
  if (detail.cut) return [element("div", { class: "bubble bot" }, `A message of ${size(detail.cut)}`)];
  const { text, attachment, quick_replies: quick } = detail.message;
  const parts = [];
  if (text) parts.push(element("div", { class: "bubble bot" }, text));
  if (attachment) parts.push(attached(attachment));
  if (!parts.length) parts.push(element("div", { class: "bubble bot" }, "A file"));
  if (quick?.length) {
    parts.push(element("div", { class: "replies", role: "group", "aria-label": "Quick replies" }, ...quick.map((reply) =>
      element("button", { type: "button", onclick: () => act("quick_reply", { reply }) }, reply.title ?? reply.content_type))));
  }
  return parts;
}

function attached({ type, payload }) {
  if (type !== "template") return element("div", { class: "template" }, picture(type, payload?.url));
  const { template_type: template, elements = [], text, buttons = [] } = payload;
  if (template === "generic") return element("div", { class: "cards" }, ...elements.map(card));
  if (template === "media") {
    return element("div", { class: "template" }, ...elements.flatMap((one) => [picture(one.media_type, one.url), ...buttonsOf(one.buttons)]));
  }
  if (template === "button") return element("div", { class: "template" }, element("div", { class: "words" }, text), ...buttonsOf(buttons));
  return element("div", { class: "template" }, element("div", { class: "words" }, `${template} template`), ...elements.flatMap((one) => buttonsOf(one.buttons)), ...buttonsOf(buttons));
}

function card(one) {
  const words = element("div", { class: "words" }, element("strong", {}, one.title), one.subtitle ? element("span", {}, one.subtitle) : null);
  return element("div", { class: "template" }, one.image_url ? picture("image", one.image_url) : null, words, ...buttonsOf(one.buttons));
}

// Nothing is fetched from elsewhere, so a picture is its address.
const picture = (type, url) => element("div", { class: "picture" }, element("span", {}, element("b", { "aria-hidden": "true" }, type === "video" ? "▶" : "▣"), `${type} ${url ?? ""}`));

const buttonsOf = (buttons = []) => buttons.map((button) =>
  element("button", { type: "button", onclick: () => tap(button), disabled: !["web_url", "postback"].includes(button.type) }, button.title ?? button.type, button.type === "web_url" ? element("span", { "aria-hidden": "true" }, "↗") : null));

function openWebview({ steps, error }) {
  const names = ["Tapped: the SmartLink that the bot sent", "Kochava counts the click and redirects"];
  const rows = steps.map((step, index) => {
    const name = index === 0 ? (steps.length > 1 || error ? names[0] : "Tapped") : names[1];
    return element("li", {}, element("b", {}, name), element("code", {}, step));
  });
  if (error) rows.push(element("li", {}, element("b", {}, error)));
  const landed = error ? "Page not reached" : steps.at(-1);
  const site = error ? null : element("div", { class: "site" }, element("strong", {}, landed), element("span", {}, "The customer sees this page now. The sandbox does not request it."));
  const close = element("button", { type: "button", class: "plain", onclick: closeWebview }, "Close");
  byId("webview").className = error ? "webview failed" : "webview";
  byId("webview").replaceChildren(element("header", {}, element("strong", {}, landed), close), element("div", { class: "body" }, element("ol", {}, ...rows), site));
  byId("webview").hidden = false;
  close.focus();
}

export function closeWebview() {
  if (byId("webview").hidden) return;
  byId("webview").hidden = true;
  byId("text").focus();
}
