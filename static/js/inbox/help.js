// The dialog that lists the keys, and switches them off and on.

import { el, icon } from "./dom.js";
import { KEYS, areLettersOn, switchLetters } from "./keys.js";

export class Help {
  #letters = el("input", { type: "checkbox", on: { change: () => switchLetters(this.#letters.checked) } });
  element = el(
    "dialog",
    { class: "help", "aria-label": "Keyboard shortcuts" },
    el("div", { class: "help-head" }, el("h2", { text: "Keyboard shortcuts" }), el("button", { class: "square", type: "button", "aria-label": "Close", on: { click: () => this.element.close() } }, icon("close"))),
    el("dl", {}, ...KEYS.map(({ keys, words }) => el("div", {}, el("dt", {}, ...keys.map((key) => el("kbd", { text: key }))), el("dd", { text: words })))),
    el("label", { class: "letters" }, this.#letters, el("span", { text: "Use these keys in this browser" })),
  );

  constructor() {
    this.element.addEventListener("keydown", (event) => event.stopPropagation());
    this.element.addEventListener("click", (event) => event.target === this.element && this.element.close()); // on the backdrop
  }

  open() {
    this.#letters.checked = areLettersOn();
    this.element.showModal(); // closing it gives the focus back
  }
}
