// Keeps the parts marked `data-live` (and an id) as they are on the server, as long as somebody looks: reads the page anew when
// the server says that something has changed, and every `data-every` milliseconds where it says nothing. The value of
// `data-live` is the topic that is watched. A part that comes back without the mark has come to rest. htmx changes only what differs,
// so the focus, what is selected, typed or opened stays; it knows elements by their id, so what may move has one.

import htmx from "htmx.org";
import { socket } from "./console-socket.js";
import { localise } from "./times.js";

htmx.config.morphIgnore.push("open"); // which details are open is the reader's

const PAUSE_MS = 1000; // between two readings; longer where a page takes long, so that a busy server is not asked all the time
const LONGEST_PAUSE_MS = 5000;
const SAID_WITHIN_MS = 1000; // the server says the same twice a second at most: what happened right after it was said is seen by then
const hovers = matchMedia("(hover: hover)"); // after a tap a button stays hovered until the next one
const BEATS = 3; // what changes without a word (ages, silent workers) is read every so many `data-every`

const indicator = document.getElementById("live-state");
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const parts = () => document.querySelectorAll("[data-live][id]");
const [{ live: topic, every } = {}] = [...parts()].map((part) => part.dataset);
const everyMs = Number(every) || 5000;

let isTold = false; // the server says when something has changed
let isAway = false;
let figuresOf = new Date();
let quietAt = 0; // by then all is seen that has been said
let notBefore = 0;
let isReading = false;
let timer = null;
let dueAt = Infinity;
let isLeaving = false;
let held = null; // what was read, and could not be shown under the pointer

function soon(inMs) {
  const at = Math.max(performance.now() + inMs, notBefore);
  if (isReading || at >= dueAt) return;
  clearTimeout(timer);
  dueAt = at;
  timer = setTimeout(read, at - performance.now());
}

function heard() {
  quietAt = performance.now() + SAID_WITHIN_MS;
  soon(0);
}

// From here on it is told; what happened before that is read once.
async function join() {
  isTold = await watch();
  say();
  quietAt = performance.now() + SAID_WITHIN_MS;
  soon(SAID_WITHIN_MS);
}

async function read() {
  dueAt = Infinity;
  if (document.hidden || isLeaving) return; // on return it is read at once
  isReading = true;
  const began = performance.now();
  try {
    isTold = await watch();
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(30_000) });
    if (answer.redirected || answer.status === 403) return stop();
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    show(new DOMParser().parseFromString(await answer.text(), "text/html"));
    isAway = false;
    figuresOf = new Date();
  } catch {
    isAway = true;
  }
  const ended = performance.now();
  isReading = false;
  notBefore = ended + Math.min(Math.max(PAUSE_MS, 3 * (ended - began)), LONGEST_PAUSE_MS);
  say();
  if (!parts().length) socket.disconnect();
  else soon(began < quietAt ? quietAt - ended : isTold && !isAway ? BEATS * everyMs : everyMs);
}

// Holds for a minute, so it is said with every reading. → whether changes will be told.
async function watch() {
  if (!socket.connected) return false;
  return socket.timeout(2000).emitWithAck("watch", { topic }).then((answer) => answer.is_live === true, () => false);
}

function show(page) {
  held = null;
  localise(page);
  for (const part of parts()) {
    const fresh = page.getElementById(part.id);
    if (!fresh) part.removeAttribute("data-live");
    else if (hovers.matches && part.querySelector("button:enabled:hover, .btn:hover")) held = page; // nothing moves under the hand
    else htmx.swap({ sourceElement: part, target: part, text: fresh.outerHTML, swap: "outerMorph" });
  }
}

function say() {
  indicator.className = `state ${isAway ? "warn" : "good"}`;
  const words = !parts().length ? "" : isAway ? `Reconnecting … figures from ${clock.format(figuresOf)}` : isTold ? "Live" : `Updated every ${everyMs / 1000} s`;
  if (indicator.textContent === words) return;
  indicator.textContent = words;
  requestAnimationFrame(() => (indicator.role = "status")); // what it says first is not worth a word
}

function stop() {
  socket.disconnect();
  indicator.className = "state warn";
  indicator.textContent = `Figures from ${clock.format(figuresOf)}. Sign in again to see newer ones.`;
}

if (topic) {
  socket.on("connect", join);
  socket.on("changed", heard);
  socket.on("disconnect", () => soon(0));
  document.addEventListener("visibilitychange", heard);
  for (const change of ["online", "offline"]) window.addEventListener(change, heard);
  // The next page is to show what the server says of the form: no reading of this one may take that away.
  document.addEventListener("submit", (submission) => setTimeout(() => (isLeaving = !submission.defaultPrevented)));
  window.addEventListener("pageshow", (shown) => {
    if (!shown.persisted) return;
    isLeaving = false;
    heard();
  });
  document.addEventListener("pointerout", () => held && requestAnimationFrame(() => held && show(held)));
  socket.connect();
  soon(everyMs);
}
