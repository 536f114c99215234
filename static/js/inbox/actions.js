// What a click, a key, a swipe or the selection's bar means for the items concerned. Commands are the marks, and
// open, select, menu and why.

import { openMenu } from "./menu.js";
import { askUntil } from "./snooze.js";
import { tellWhy } from "./why.js";

export class Actions {
  #list;
  #rows;
  #selection;
  #marks;
  #float;
  #server;

  // `list()` → the list in view.
  constructor({ list, rows, selection, marks, float, server }) {
    this.#list = list;
    this.#rows = rows;
    this.#selection = selection;
    this.#marks = marks;
    this.#float = float;
    this.#server = server;
  }

  click(command, id, event) {
    const part = event.target.closest("[data-do]");
    if (command === "open") this.#open(id, part);
    else if (command === "select") this.#select(id, event.shiftKey);
    else if (command === "menu") this.#menu(id, part);
    else if (command === "why") this.#tellWhy(id, part);
    else this.one(command, id, part);
  }

  one(command, id, anchor = this.#rows.anchor(id)) {
    const item = this.#list().find(id);
    if (item) this.#put(command, [item], anchor); // it may have left the list while a menu was open
  }

  onSelected(command, anchor) {
    this.#put(command, this.#selected, anchor);
  }

  // A key means the selection if there is one, otherwise the current row. → whether there was anything to do.
  key(command, event) {
    const current = this.#list().find(this.#rows.current);
    if (!current) return false;
    if (command === "select") {
      this.#select(current.id, event.shiftKey);
      return true;
    }
    const items = this.#selected.length > 0 ? this.#selected : [current];
    const isArchive = this.#list().view.filter === "archived";
    const mark = { read: items.every((item) => item.read_at) ? "unread" : "read", archive: isArchive ? "unarchive" : "archive", snooze: isArchive ? null : "snooze" }[command];
    if (mark) this.#put(mark, items, this.#rows.anchor());
    return mark !== null;
  }

  swipes(id) {
    const item = this.#list().find(id);
    const read = item.read_at ? ["unread", "unread", "Mark as unread"] : ["read", "check", "Mark as read"];
    if (item.archived_at) return { end: read, start: ["unarchive", "unarchive", "Move back"], far: null };
    return { end: read, start: ["archive", "archive", "Archive"], far: item.snoozed_until ? ["unsnooze", "unarchive", "Bring back"] : ["snooze", "snooze", "Snooze"] };
  }

  get #selected() {
    return this.#list().items.filter((item) => this.#selection.has(item.id));
  }

  // A link leads away by itself; without one the whole text is shown. Either way it has been read.
  #open(id, part) {
    if (part.localName === "button") this.#rows.toggleOpen(id);
    this.one("read", id);
  }

  #select(id, isRange) {
    this.#selection.toggle(id, { isRange, order: this.#list().ids });
  }

  #tellWhy(id, anchor) {
    const item = this.#list().find(id);
    if (item) tellWhy(this.#float, anchor, item, this.#server);
  }

  #menu(id, anchor) {
    const act = (command) => {
      if (command === "select") this.#select(id, false);
      else if (command === "why") this.#tellWhy(id, anchor);
      else this.one(command, id);
    };
    openMenu(this.#float, anchor, this.#list().find(id), { act, server: this.#server, isSelected: this.#selection.has(id) });
  }

  #put(command, items, anchor) {
    if (command === "snooze") {
      askUntil(this.#float, anchor, (until, words) => {
        this.#selection.clear();
        this.#marks.put("snooze", items, { until, words });
      });
      return;
    }
    if (items.length > 1) this.#selection.clear();
    this.#marks.put(command, items);
  }
}
