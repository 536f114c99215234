// The bell: a button with the unread count, and the inbox in a panel under it.

import { el, icon } from "./dom.js";
import { View } from "./view.js";

export class Bell {
  #feed;
  #words;
  #view;
  #button;
  #badge;
  #panel;
  #stop = new AbortController();

  constructor(options) {
    const { host, feed, words } = options;
    this.#feed = feed;
    this.#words = words;
    this.#view = new View({ ...options, isPanel: true, isPageWide: false });
    this.#badge = el("span", { class: "badge", part: "badge", hidden: true, "aria-hidden": "true" });
    this.#button = el("button", { class: "bell", part: "bell", type: "button", "aria-haspopup": "dialog", "aria-expanded": "false", on: { click: () => this.#toggle() } }, icon("bell", 21), this.#badge);
    this.#panel = el("div", { class: "popover", part: "panel", role: "dialog", "aria-label": words.say("notifications"), hidden: true, tabindex: -1 }, this.#view.element);
    this.spoken = this.#view.spoken;
    this.element = el("div", { class: "bell-holder" }, this.#button, this.#panel);

    const { signal } = this.#stop;
    feed.addEventListener("counts", () => this.#draw(), { signal });
    document.addEventListener("pointerdown", (event) => event.composedPath().includes(host) || this.#show(false), { signal });
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.#panel.hidden) return;
      event.stopPropagation();
      this.#show(false);
      this.#button.focus();
    });
    this.element.addEventListener("focusout", (event) => {
      // Tabbing out of the panel closes it; focus that goes nowhere (a removed row) does not.
      if (event.relatedTarget && !this.element.contains(event.relatedTarget)) this.#show(false);
    });
    this.#draw();
  }

  get wanted() {
    return this.#view.wanted;
  }

  close() {
    this.#stop.abort();
    this.#view.close();
  }

  #toggle() {
    this.#show(this.#panel.hidden);
    if (!this.#panel.hidden) this.#panel.focus();
  }

  #show(isOpen) {
    if (this.#panel.hidden === !isOpen) return;
    this.#panel.hidden = !isOpen;
    this.#button.setAttribute("aria-expanded", isOpen);
    this.#view.setShown(isOpen);
  }

  #draw() {
    const { unread, unseen } = this.#feed;
    this.#badge.hidden = unread === 0;
    this.#badge.textContent = unread > 99 ? "99+" : unread;
    this.#badge.classList.toggle("is-new", unseen > 0);
    this.#button.setAttribute("aria-label", unread === 0 ? this.#words.say("notifications") : this.#words.say("notificationsUnread", { n: unread }));
  }
}
