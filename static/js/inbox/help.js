// The dialog that lists the keys, and switches them off and on; and what else is switched for this browser. Where there are
// only fingers it says nothing of keys.

import { el, icon } from "./dom.js";
import { KEYS, areLettersOn, switchLetters } from "./keys.js";

export class Help {
  #letters = el("input", { type: "checkbox", on: { change: () => switchLetters(this.#letters.checked) } });

  #alerts;

  // `alerts`: what else is switched on and off there.
  constructor(words, alerts) {
    const hasKeys = matchMedia("(hover: hover)").matches;
    const title = words.say(hasKeys ? "keys" : "notices");
    this.#alerts = alerts;
    this.button = el("button", { class: "square help-button", type: "button", title, "aria-label": title, on: { click: () => this.open() } }, icon(hasKeys ? "keyboard" : "sound"));
    this.element = el(
      "dialog",
      { class: hasKeys ? "help" : "help is-keyless", part: "help", "aria-label": title },
      el("div", { class: "help-head" }, el("h2", { text: title }), el("button", { class: "square", type: "button", "aria-label": words.say("close"), on: { click: () => this.element.close() } }, icon("close"))),
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
