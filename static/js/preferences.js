// With htmx each change saves itself, as the attributes of the forms say. Here: what stands in the boxes afterwards,
// what to do when it could not be saved, and the switch that a "Why did I get this?" leads to.

import htmx from "../vendor/htmx/htmx.esm.min.js";

const page = document.getElementById("preferences");
const state = document.getElementById("save-state");
const waiting = new Set(); // switches that were turned and are not saved yet: an earlier answer does not know of them

htmx.on("htmx:config:request", ({ detail: { ctx } }) => waiting.add(ctx.sourceElement));
htmx.on("htmx:finally:request", ({ detail: { ctx } }) => waiting.delete(ctx.sourceElement));
htmx.on("htmx:before:request", () => state.replaceChildren());

// A morph changes what a box was made with, not what the person has made of it.
htmx.on("htmx:after:swap", ({ detail: { ctx } }) => {
  if (ctx.sourceElement.id === "undo") for (const form of page.querySelectorAll("form")) form.reset();
  for (const box of page.querySelectorAll("#choices input.switch")) if (box === ctx.sourceElement || !waiting.has(box)) box.checked = box.defaultChecked;
  for (const field of page.querySelectorAll("#mute_date")) field.value = field.defaultValue;
});

function onFailure({ detail: { ctx } }) {
  if (ctx.response?.status === 422) return; // the answer says what is wrong
  const words = document.createElement("p");
  words.className = "message error";
  words.textContent = "That was not saved. Check your connection, reload the page and try again.";
  state.replaceChildren(words);
  const box = ctx.sourceElement;
  if (box.matches("input.switch")) box.checked = box.defaultChecked;
}

htmx.on("htmx:error", onFailure);
htmx.on("htmx:response:error", onFailure);

// Enter in a field would send the whole form, which saves itself anyway.
page.addEventListener("submit", (event) => {
  if (event.target.matches("[data-saves-itself]")) event.preventDefault();
});

function arrive() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target?.matches("#choices input.switch")) return;
  const row = target.closest(".pref-row");
  (target.disabled ? row : target).focus({ preventScroll: true });
  const why = target.closest(".pref-cell").querySelector(".pref-why").textContent;
  document.getElementById("arrival").textContent = `The message you came from went through this switch: ${target.labels[0].textContent}. ${why}`;
}

addEventListener("hashchange", arrive);
arrive();
