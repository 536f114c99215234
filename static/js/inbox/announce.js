// Tells people who listen what has come in: politely, once per page, and several at once in one sentence.

import { el } from "./dom.js";

const GATHER_MS = 400;

export class Announcer {
  element = el("p", { class: "sr", role: "status", "aria-live": "polite" });
  #titles = [];
  #timer = null;
  #words;

  constructor(words) {
    this.#words = words;
  }

  say(words) {
    this.element.textContent = words;
  }

  // `detail` is that of the feed's event: the first element of the page to hear it says it, the others keep silent.
  arrived(detail) {
    if (detail.isAnnounced) return;
    detail.isAnnounced = true;
    this.#titles.push(...detail.items.map((item) => item.title));
    this.#timer ??= setTimeout(() => {
      const [title] = this.#titles;
      this.say(this.#titles.length === 1 ? this.#words.say("arrivedOne", { title }) : this.#words.say("arrivedSeveral", { n: this.#titles.length }));
      this.#titles = [];
      this.#timer = null;
    }, GATHER_MS);
  }
}
