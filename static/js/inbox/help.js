// The dialog that lists the keys, and switches them off and on.

import { el, icon } from "./dom.js";
import { KEYS, areLettersOn, switchLetters } from "./keys.js";

export class Help {
  #letters = el("input", { type: "checkbox", on: { change: () => switchLetters(this.#letters.checked) } });

  #alerts;

  // `alerts`: what else is switched on and off there.
  constructor(words, alerts) {
    this.#alerts = alerts;
    this.element = el(
      "dialog",
      { class: "help", part: "help", "aria-label": words.say("keys") },
      el("div", { class: "help-head" }, el("h2", { text: words.say("keys") }), el("button", { class: "square", type: "button", "aria-label": words.say("close"), on: { click: () => this.element.close() } }, icon("close"))),
      el("dl", {}, ...KEYS.map(({ keys, label }) => el("div", {}, el("dt", {}, ...keys.map((key) => el("kbd", { text: key }))), el("dd", { text: words.say(label) })))),
      el("label", { class: "letters" }, this.#letters, el("span", { text: words.say("keysOn") })),
      alerts.element,
    );
    this.element.addEventListener("keydown", (event) => event.stopPropagation());
    this.element.addEventListener("click", (event) => event.target === this.element && this.element.close()); // on the backdrop
  }

  open() {
    this.#letters.checked = areLettersOn();
    this.#alerts.show();
    this.element.showModal(); // closing it gives the focus back
  }
}
