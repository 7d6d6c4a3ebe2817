// Joins the parts of the page.

import { drawActivity } from "./activity.js";
import { act, closeWebview, drawChat, play, played, showMenu } from "./chat.js";
import { byId } from "./dom.js";
import { drawOverview, drawSwitches, resetKochavaSwitch, say } from "./overview.js";
import { connect, page, schedule } from "./stream.js";
import { closeTour, startTour } from "./tour.js";

let toured = false;

function draw() {
  if (!page.state) return;
  if (!toured) startTour();
  toured = true;
  drawChat();
  drawSwitches(played());
  drawOverview();
  drawActivity(played());
}

for (const input of document.querySelectorAll("input[name=kochava]")) {
  input.addEventListener("change", async () => {
    const { error } = await act("kochava", { to: input.value });
    if (error) resetKochavaSwitch();
  });
}
byId("kill").addEventListener("click", () => act("kill"));
byId("redeliver").addEventListener("click", () => act("redeliver"));
byId("opt-out").addEventListener("click", () => act("opt_out"));
byId("start").addEventListener("click", () => act("start"));
byId("add-person").addEventListener("click", async () => {
  const { user, error } = await act("person");
  if (error) say(`Not done: ${error}.`, false);
  else play(user);
});
byId("menu-open").addEventListener("click", () => showMenu(byId("menu").hidden));
byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("text").value.trim();
  byId("text").value = "";
  if (text) act("say", { text });
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (!byId("webview").hidden) closeWebview();
  else if (!byId("menu").hidden) showMenu(false);
  else if (!byId("tour").hidden) closeTour();
});
window.addEventListener("resize", schedule);
connect(draw);
