// A form marked `data-event` is sent over the open Socket.IO connection, with the JSON of `data-given`: the page stays, and `live.js`
// shows what came of it. Without a connection it is sent as any form is.

import { socket } from "./console-socket.js";

const LATE_MS = 5000;

document.addEventListener("submit", async (submission) => {
  const form = submission.target;
  const { event, given } = form.dataset;
  if (!event || !socket.connected) return;
  submission.preventDefault();
  const button = submission.submitter ?? form.querySelector("button");
  button.disabled = true;
  document.querySelector("[data-refusal]")?.remove();
  const refusal = await socket.timeout(LATE_MS).emitWithAck(event, JSON.parse(given)).then(
    (answer) => answer.error && `Nothing was done: ${answer.error.detail}.`,
    () => "There was no answer. The figures show whether it was done; if not, try again.",
  );
  if (!refusal) return; // the page shows what came of it
  button.disabled = false;
  say(form, refusal);
});

function say(form, refusal) {
  const words = document.createElement("p");
  words.className = "message error";
  words.role = "alert";
  words.dataset.refusal = "";
  words.textContent = refusal;
  (form.closest("[data-live]") ?? form).before(words); // in there it would go with the next reading
}
