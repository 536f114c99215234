// A sound and a desktop notice for what arrives: each person switches them on for a browser, in the dialog of the keys.
// Of several windows one rings, and a notice of the same item takes the place of the other window's.

import { el } from "./dom.js";
import { isStored, store } from "./stored.js";

const SOUND = "notifier-inbox-sound";
const DESKTOP = "notifier-inbox-desktop";
const LOCK = "notifier-inbox-sound";
const QUIET_MS = 1000; // longer than the tones
const AT_ONCE = 3; // notices of what came while the machine slept
const TONES = [
  [880, 0],
  [1175, 0.12],
]; // hertz, seconds
const TONE_S = 0.25;
const LOUDNESS = 0.08;

export class Alerts {
  #words;
  #sound;
  #desktop;
  #refused;

  constructor(words) {
    this.#words = words;
    this.#sound = el("input", { type: "checkbox", on: { change: () => this.#switchSound() } });
    this.#desktop = el("input", { type: "checkbox", on: { change: () => this.#switchDesktop() } });
    this.#refused = el("p", { class: "refused", role: "status" });
    const line = (box, label) => el("label", { class: "letters" }, box, el("span", { text: words.say(label) }));
    const canNotify = "Notification" in window;
    this.element = el("div", { class: "alerts" }, el("h3", { text: words.say("notices") }), line(this.#sound, "noticeSound"), canNotify ? line(this.#desktop, "noticeDesktop") : null, this.#refused);
  }

  show() {
    this.#sound.checked = isStored(SOUND);
    this.#desktop.checked = isStored(DESKTOP) && Notification.permission === "granted";
    this.#refused.textContent = "";
  }

  // `detail` is that of the feed's event: the first element of a page to hear it rings for all of them.
  arrived(detail) {
    if (detail.isAlerted) return;
    detail.isAlerted = true;
    if (isStored(SOUND)) ringOnce();
    if (isStored(DESKTOP) && document.hidden) for (const item of detail.items.slice(-AT_ONCE)) notify(item);
  }

  #switchSound() {
    store(SOUND, this.#sound.checked);
    if (this.#sound.checked) ring();
  }

  async #switchDesktop() {
    const isWanted = this.#desktop.checked;
    const isAllowed = isWanted && (await Notification.requestPermission()) === "granted";
    store(DESKTOP, isAllowed);
    this.#desktop.checked = isAllowed;
    this.#refused.textContent = isWanted && !isAllowed ? this.#words.say("noticeRefused") : "";
  }
}

function notify(item) {
  try {
    const notice = new Notification(item.title, { body: item.body, tag: item.id });
    notice.addEventListener("click", () => {
      window.focus();
      notice.close();
    });
  } catch {
    // A phone's browser knows no notices but pushed ones
  }
}

// Whoever holds the lock rings, and holds it for as long as other windows may still hear of the same item.
function ringOnce() {
  if (!navigator.locks) return ring();
  return navigator.locks.request(LOCK, { ifAvailable: true }, (lock) => {
    if (!lock) return null;
    ring();
    return new Promise((resolve) => setTimeout(resolve, QUIET_MS));
  });
}

function ring() {
  const context = new AudioContext();
  for (const [hertz, after] of TONES) {
    const tone = new OscillatorNode(context, { frequency: hertz });
    const loudness = new GainNode(context, { gain: LOUDNESS });
    tone.connect(loudness).connect(context.destination);
    const start = context.currentTime + after;
    loudness.gain.exponentialRampToValueAtTime(0.0001, start + TONE_S);
    tone.start(start);
    tone.stop(start + TONE_S);
  }
  setTimeout(() => context.close(), QUIET_MS); // also where the browser lets nothing sound before a first click
}
