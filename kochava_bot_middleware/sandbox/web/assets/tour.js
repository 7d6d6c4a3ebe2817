// A few steps for the first visit.

import { byId, element } from "./dom.js";
import { page } from "./stream.js";

// A cookie, since it outlives the port: the demo takes another one each time.
const SEEN = "kochava_bot_tour=seen";

const STEPS = [
  ["chat", "You are the customer", "Tap “Get started”. A local Messenger sends the bot a signed webhook, and the bot greets you. Nothing leaves this machine."],
  ["sent", "Every link becomes a SmartLink", "Here is each message as the bot wrote it and as it was sent. Only what a person taps is changed. Tap “Show Website” and see where it leads."],
  ["requests", "Every step becomes a record", "Taps, messages and purchases arrive at a local Kochava, which checks every field. The funnel above fills with people."],
  ["queue", "Kochava may fail", "Set Kochava to “down” and go on chatting: the bot answers as before, and the records wait. Set it to “up”: all are delivered, in order."],
  ["switches", "So may the bot", "“Kill the bot” sends SIGKILL to its process. Messenger delivers again, the bot starts with the same store, and the sandbox compares what was promised with what arrived."],
];

const OWN_BOT = [
  ["chat", "You are a customer of your bot", "Tap “Get started”. A local Messenger sends your bot a signed webhook, and checks what it sends back."],
  ["sent", "What your bot sends", "Each message, with its links before and after they became SmartLinks. What Facebook would refuse is here with the rule."],
  STEPS[2],
  ["switches", "Kochava may fail", "Set Kochava to “down” and go on chatting. “Facebook delivers again” sends the last webhooks once more: nothing may be counted twice."],
];

let step = 0;

function point(id) {
  document.querySelector(".toured")?.classList.remove("toured");
  if (id) byId(id).classList.add("toured");
  if (id) byId(id).scrollIntoView({ block: "nearest" });
}

export function closeTour() {
  byId("tour").hidden = true;
  point(null);
  document.cookie = `${SEEN}; max-age=31536000; samesite=strict; path=/`;
}

export function openTour(number = 0) {
  step = number;
  const steps = page.state.bot ? STEPS : OWN_BOT;
  const [id, title, text] = steps[step];
  const isLast = step === steps.length - 1;
  const next = element("button", { type: "button", class: "primary", onclick: () => (isLast ? closeTour() : openTour(step + 1)) }, isLast ? "Done" : "Next");
  byId("tour").replaceChildren(
    element("h2", { id: "tour-title" }, title),
    element("p", {}, text),
    element("div", { class: "row" }, element("span", {}, `${step + 1} of ${steps.length}`),
      element("button", { type: "button", class: "plain", onclick: closeTour }, "Close"),
      step ? element("button", { type: "button", onclick: () => openTour(step - 1) }, "Back") : null, next),
  );
  byId("tour").classList.toggle("low", id === "switches");
  byId("tour").hidden = false;
  point(id);
  if (number) next.focus();
}

export function startTour() {
  byId("tour-open").addEventListener("click", () => openTour());
  if (!document.cookie.includes(SEEN)) openTour();
}
