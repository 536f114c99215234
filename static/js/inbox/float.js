// A small panel beside what opened it, in the top layer, so that no row clips it. Closed by a choice, Escape, or a look
// elsewhere; the focus then goes back to where it came from. Arrow keys move between what it offers.

import { el } from "./dom.js";

const GAP = 6;
const narrow = matchMedia("(max-width: 30rem)"); // there it lies along the lower edge: see styles

export class Float {
  element = el("div", { class: "float", role: "dialog", popover: "manual", tabindex: -1 });
  #anchor = null;
  #back = null; // where the focus came from
  #stop = null;

  #elsewhere;

  // `elsewhere()` takes the focus when the place it came from is gone.
  constructor(elsewhere) {
    this.#elsewhere = elsewhere;
    this.element.addEventListener("keydown", (event) => this.#onKey(event));
    this.element.addEventListener("focusout", ({ relatedTarget }) => relatedTarget && !this.element.contains(relatedTarget) && this.close({ refocus: false }));
  }

  open(anchor, label, ...children) {
    this.close({ refocus: false });
    this.#anchor = anchor;
    this.#back = this.element.getRootNode().activeElement ?? anchor;
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    this.element.setAttribute("aria-label", label);
    this.element.replaceChildren(...children.filter(Boolean));
    this.element.showPopover();
    this.#place();
    (this.#offers()[0] ?? this.element).focus();
    anchor.setAttribute("aria-expanded", "true");
    document.addEventListener("pointerdown", (event) => event.composedPath().includes(this.element) || this.close({ refocus: false }), { signal });
    window.addEventListener("resize", () => this.close(), { signal });
  }

  close({ refocus = true } = {}) {
    if (!this.#anchor) return;
    const anchor = this.#anchor;
    this.#anchor = null;
    this.#stop.abort();
    anchor.setAttribute("aria-expanded", "false");
    if (refocus && this.#back.isConnected) this.#back.focus({ preventScroll: true });
    else if (refocus) this.#elsewhere();
    this.element.hidePopover();
  }

  // What it shows has become more, or less.
  grown() {
    if (this.#anchor) this.#place();
  }

  #offers() {
    return [...this.element.querySelectorAll("button, a, input")];
  }

  #onKey(event) {
    event.stopPropagation(); // none of the inbox's own shortcuts while this is open
    if (event.key === "Escape") {
      event.preventDefault();
      this.close();
      return;
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || event.target.matches("input")) return;
    event.preventDefault();
    const offers = this.#offers();
    offers.at((offers.indexOf(event.target) + step) % offers.length).focus();
  }

  // Below the anchor, its end at the anchor's end; above where there is no room; always on the screen.
  #place() {
    const { style } = this.element;
    style.left = style.top = "";
    if (narrow.matches) return;
    const at = this.#anchor.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.element;
    const below = at.bottom + GAP;
    const top = below + height > innerHeight - GAP ? Math.max(GAP, at.top - GAP - height) : below;
    style.top = `${top}px`;
    style.left = `${Math.max(GAP, Math.min(at.right - width, innerWidth - width - GAP))}px`;
  }
}

// One line of such a panel.
export function offer(words, handler, { mark = null, hint = null } = {}) {
  return el("button", { class: "offer", type: "button", on: { click: handler } }, mark, el("span", { text: words }), hint === null ? null : el("span", { class: "hint", text: hint }));
}
