// A form marked `data-event` is sent over the open Socket.IO connection, with the JSON of `data-given`: the page stays, and `live.js`
// shows what came of it. Without a connection, or an answer, it is sent as any form is.

import { socket } from "./console-socket.js";

document.addEventListener("submit", async (submission) => {
  const form = submission.target;
  const { event, given } = form.dataset;
  if (!event || !socket.connected) return;
  submission.preventDefault();
  if (submission.submitter) submission.submitter.disabled = true;
  try {
    const answer = await socket.timeout(5000).emitWithAck(event, JSON.parse(given));
    if (answer.error) refuse(form, answer.error.detail);
  } catch {
    form.submit();
  }
});

function refuse(form, detail) {
  const words = document.createElement("p");
  words.className = "message error";
  words.role = "alert";
  words.textContent = `Nothing was done: ${detail}.`;
  form.before(words);
}
