// A sentence at the lower edge that says what was done, with Undo. It waits while a pointer or the focus is on it.

import { el, icon } from "./dom.js";

const SHOWN_MS = 8000;

export class Toast {
  #undo = null;
  #timer = null;
  #said = el("span");
  #button;
  #box;

  constructor(words) {
    this.#button = el("button", { class: "undo", part: "undo", type: "button", text: words.say("undo"), on: { click: () => this.undo() } });
    const close = el("button", { class: "toast-close", type: "button", "aria-label": words.say("dismiss"), on: { click: () => this.hide() } }, icon("close", 16));
    this.#box = el("div", { class: "toast", part: "toast", hidden: true }, this.#said, this.#button, close);
    // The region stands there before its words do: only then are they read out.
    this.element = el("div", { class: "toasts", role: "status" }, this.#box);
    for (const event of ["pointerenter", "focusin"]) this.#box.addEventListener(event, () => clearTimeout(this.#timer));
    for (const event of ["pointerleave", "focusout"]) this.#box.addEventListener(event, () => this.#leaveLater());
  }

  // `undo` is called once at most; null: there is nothing to undo it by.
  show(sentence, undo = null) {
    this.#undo = undo;
    this.#button.hidden = undo === null;
    this.#said.textContent = sentence;
    this.#box.hidden = false;
    this.#leaveLater();
  }

  hide() {
    clearTimeout(this.#timer);
    this.#undo = null;
    this.#box.hidden = true;
    this.#said.textContent = "";
  }

  undo() {
    const undo = this.#undo;
    this.hide();
    undo?.();
  }

  #leaveLater() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (this.#box.matches(":hover, :focus-within") ? this.#leaveLater() : this.hide()), SHOWN_MS);
  }
}
