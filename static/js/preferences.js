// With htmx each switch saves itself, as the attributes of the form say. Here: what to do when it could not be saved.

import htmx from "../vendor/htmx/htmx.esm.min.js";

const state = document.getElementById("save-state");

htmx.on("htmx:before:request", () => state.replaceChildren());

function onFailure({ detail: { ctx } }) {
  if (ctx.response?.status === 422) return; // the answer says what is wrong
  const words = document.createElement("p");
  words.className = "message error";
  words.textContent = "That was not saved. Check your connection, reload the page and try again.";
  state.replaceChildren(words);
  const box = ctx.sourceElement.querySelector("input.switch");
  if (box) box.checked = !box.checked;
}

htmx.on("htmx:error", onFailure);
htmx.on("htmx:response:error", onFailure);
