// With htmx each change saves itself, as the attributes of the forms say. Here: what stands in the fields afterwards,
// what to do when it could not be saved, and the switch that a "Why did I get this?" leads to.

import htmx from "htmx.org";

const page = document.getElementById("preferences");
const state = document.getElementById("save-state");
const sources = new Map(); // request → the element that was touched, until it is saved: an earlier answer does not know of it
let touched = null; // where the keyboard goes back to after Undo

htmx.on("htmx:config:request", ({ detail: { ctx } }) => {
  sources.set(ctx, ctx.sourceElement);
  if (ctx.sourceElement.id !== "undo") touched = document.activeElement;
});

// A morph changes what a field was made with, not what the person has made of it.
htmx.on("htmx:after:swap", ({ detail: { ctx } }) => {
  const source = sources.get(ctx);
  sources.delete(ctx);
  if (source?.id === "undo") {
    for (const form of page.querySelectorAll("form[id$=-panel]")) form.reset();
    touched?.focus();
  } else if (source?.id === "mute-panel" && ctx.response.status < 400) source.reset();
  const waiting = new Set(sources.values());
  for (const box of page.querySelectorAll("#choices input.switch")) if (!waiting.has(box)) box.checked = box.defaultChecked;
});

function onFailure({ detail: { ctx } }) {
  if (ctx.response?.status === 422) return; // the answer says what is wrong
  sources.delete(ctx);
  const words = document.createElement("p");
  words.className = "message error";
  words.textContent = page.dataset.notSaved;
  state.replaceChildren(words);
  if (ctx.sourceElement.matches("input.switch")) ctx.sourceElement.checked = ctx.sourceElement.defaultChecked;
}

htmx.on("htmx:error", onFailure);
htmx.on("htmx:response:error", onFailure);

// Enter in a field would send the whole form, which saves itself anyway.
page.addEventListener("submit", (event) => {
  if (event.target.matches("[data-saves-itself]")) event.preventDefault();
});

function arrive() {
  const target = document.getElementById(location.hash.slice(1));
  if (!target?.matches("#choices input.switch")) return;
  (target.disabled ? target.closest(".pref-row") : target).focus({ preventScroll: true });
  const why = target.closest(".pref-cell").querySelector(".pref-why");
  const name = target.labels[0].textContent.trim().replace(/\s+/g, " ");
  document.getElementById("arrival").textContent = `${why.dataset.arrived} ${name}. ${why.textContent}`;
}

addEventListener("hashchange", arrive);
arrive();
