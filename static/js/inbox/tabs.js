// The tabs All, Unread, Snoozed and Archived; arrow keys move between them.

import { el } from "./dom.js";

const TABS = [
  ["all", "All"],
  ["unread", "Unread"],
  ["snoozed", "Snoozed"],
  ["archived", "Archived"],
];

export class Tabs {
  #count = el("span", { class: "count" });
  #choose;

  constructor(chosen, choose) {
    this.#choose = choose;
    this.tabs = TABS.map(([filter, words]) =>
      el(
        "button",
        { class: "tab", type: "button", role: "tab", "aria-controls": "list", data: { filter }, on: { click: () => this.#pick(filter) } },
        document.createTextNode(words),
        filter === "unread" ? this.#count : null,
      ),
    );
    this.element = el("div", { class: "tabs", role: "tablist", "aria-label": "Show", on: { keydown: (event) => this.#onKey(event) } }, ...this.tabs);
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
    this.#count.textContent = unread > 0 ? unread.toLocaleString() : "";
  }

  #pick(filter) {
    this.show(filter);
    this.#choose(filter);
  }

  #onKey(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const tab = this.tabs.at((this.tabs.indexOf(event.target) + step) % this.tabs.length);
    tab.focus();
    this.#pick(tab.dataset.filter);
  }
}
