// A sentence at the lower edge that says what was done, with Undo. It waits while a pointer or the focus is on it.

import { el, icon } from "./dom.js";

const SHOWN_MS = 8000;

export class Toast {
  #undo = null;
  #timer = null;
  #words = el("span");
  #button = el("button", { class: "undo", type: "button", text: "Undo", on: { click: () => this.undo() } });
  #close = el("button", { class: "toast-close", type: "button", "aria-label": "Dismiss", on: { click: () => this.hide() } }, icon("close", 16));
  #box = el("div", { class: "toast", hidden: true }, this.#words, this.#button, this.#close);
  // The region stands there before its words do: only then are they read out.
  element = el("div", { class: "toasts", role: "status" }, this.#box);

  constructor() {
    for (const event of ["pointerenter", "focusin"]) this.#box.addEventListener(event, () => clearTimeout(this.#timer));
    for (const event of ["pointerleave", "focusout"]) this.#box.addEventListener(event, () => this.#leaveLater());
  }

  // `undo` is called once at most; null: there is nothing to undo it by.
  show(words, undo = null) {
    this.#undo = undo;
    this.#button.hidden = undo === null;
    this.#words.textContent = words;
    this.#box.hidden = false;
    this.#leaveLater();
  }

  hide() {
    clearTimeout(this.#timer);
    this.#undo = null;
    this.#box.hidden = true;
    this.#words.textContent = "";
  }

  undo() {
    const undo = this.#undo;
    this.hide();
    undo?.();
  }

  #leaveLater() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.hide(), SHOWN_MS);
  }
}
