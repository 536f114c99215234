// What can be done with the selected items; at the lower edge while there are any.

import { el, icon } from "./dom.js";

const COMMANDS = [
  ["read", "check", "Mark as read"],
  ["unread", "unread", "Mark as unread"],
  ["snooze", "snooze", "Snooze"],
  ["unsnooze", "unarchive", "Bring back now"],
  ["archive", "archive", "Archive"],
  ["unarchive", "unarchive", "Move back to the inbox"],
];

export class SelectBar {
  #selection;
  #count = el("span", { class: "chosen", role: "status" });
  #all;
  #buttons = {};

  // `act(command, button)` does it to all that is selected; `all()` selects everything loaded.
  constructor(selection, { act, all }) {
    this.#selection = selection;
    this.#all = el("button", { class: "quiet", type: "button", text: "Select all", on: { click: all } });
    for (const [command, name, words] of COMMANDS) {
      this.#buttons[command] = el("button", { class: "square", type: "button", title: words, "aria-label": `${words}: selected`, on: { click: ({ currentTarget }) => act(command, currentTarget) } }, icon(name));
    }
    this.element = el(
      "div",
      { class: "selectbar", role: "toolbar", "aria-label": "Selected notifications", hidden: true },
      this.#count,
      this.#all,
      ...Object.values(this.#buttons),
      el("button", { class: "square", type: "button", title: "Clear the selection", "aria-label": "Clear the selection", on: { click: () => selection.clear() } }, icon("close")),
    );
  }

  // `filter` is the list's, `loaded` how many items it holds.
  draw({ filter, loaded }) {
    const { size } = this.#selection.ids;
    this.element.hidden = size === 0;
    this.#count.textContent = size === 0 ? "" : `${size.toLocaleString()} selected`;
    this.#all.hidden = size >= loaded;
    this.#buttons.archive.hidden = this.#buttons.snooze.hidden = filter === "archived";
    this.#buttons.unsnooze.hidden = filter !== "snoozed";
    this.#buttons.unarchive.hidden = filter !== "archived";
  }
}
