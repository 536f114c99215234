// What can be done with the selected items; at the lower edge while there are any.

import { el, icon } from "./dom.js";

const COMMANDS = [
  ["read", "check", "actionRead"],
  ["unread", "unread", "actionUnread"],
  ["snooze", "snooze", "actionSnooze"],
  ["unsnooze", "unarchive", "actionBringBackNow"],
  ["archive", "archive", "actionArchive"],
  ["unarchive", "unarchive", "actionMoveBackToInbox"],
];

export class SelectBar {
  #selection;
  #count = el("span", { class: "chosen", role: "status" });
  #all;
  #buttons = {};
  #words;

  // `act(command, button)` does it to all that is selected; `all()` selects everything loaded.
  constructor(selection, words, { act, all }) {
    this.#selection = selection;
    this.#words = words;
    this.#all = el("button", { class: "quiet", type: "button", text: words.say("selectAll"), on: { click: all } });
    for (const [command, name, label] of COMMANDS) {
      const action = words.say(label);
      this.#buttons[command] = el("button", { class: "square", type: "button", title: action, "aria-label": words.say("selectedOf", { action }), on: { click: ({ currentTarget }) => act(command, currentTarget) } }, icon(name));
    }
    this.element = el(
      "div",
      { class: "selectbar", part: "selectbar", role: "toolbar", "aria-label": words.say("selectedNotifications"), hidden: true },
      this.#count,
      this.#all,
      ...Object.values(this.#buttons),
      el("button", { class: "square", type: "button", title: words.say("selectedClear"), "aria-label": words.say("selectedClear"), on: { click: () => selection.clear() } }, icon("close")),
    );
  }

  // `filter` is the list's, `loaded` how many items it holds.
  draw({ filter, loaded }) {
    const { size } = this.#selection.ids;
    this.element.hidden = size === 0;
    this.#count.textContent = size === 0 ? "" : this.#words.say("selected", { n: size });
    this.#all.hidden = size >= loaded;
    this.#buttons.archive.hidden = this.#buttons.snooze.hidden = filter === "archived";
    this.#buttons.unsnooze.hidden = filter !== "snoozed";
    this.#buttons.unarchive.hidden = filter !== "archived";
  }
}
