// The tabs All, Unread, Snoozed and Archived; arrow keys move between them.

import { el } from "./dom.js";
import { named } from "./words.js";

export const FILTERS = ["all", "unread", "snoozed", "archived"];

export class Tabs {
  #count = el("span", { class: "count" });
  #choose;
  #words;

  constructor(chosen, words, choose) {
    this.#words = words;
    this.#choose = choose;
    this.tabs = FILTERS.map((filter) =>
      el(
        "button",
        { class: "tab", part: "tab", type: "button", role: "tab", "aria-controls": "list", data: { filter }, on: { click: () => this.#pick(filter) } },
        document.createTextNode(words.say(named("tab", filter))),
        filter === "unread" ? this.#count : null,
      ),
    );
    this.element = el("div", { class: "tabs", part: "tabs", role: "tablist", "aria-label": words.say("show"), on: { keydown: (event) => this.#onKey(event) } }, ...this.tabs);
    this.show(chosen);
  }

  get chosen() {
    return this.tabs.find((tab) => tab.tabIndex === 0);
  }

  show(filter) {
    for (const tab of this.tabs) {
      tab.setAttribute("aria-selected", tab.dataset.filter === filter);
      tab.tabIndex = tab.dataset.filter === filter ? 0 : -1;
    }
  }

  count(unread) {
    this.#count.textContent = unread > 0 ? this.#words.number(unread) : "";
  }

  #pick(filter) {
    this.show(filter);
    this.#choose(filter);
  }

  #onKey(event) {
    const right = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!right) return;
    const step = getComputedStyle(this.element).direction === "rtl" ? -right : right;
    const tab = this.tabs.at((this.tabs.indexOf(event.target) + step) % this.tabs.length);
    tab.focus();
    this.#pick(tab.dataset.filter);
  }
}
