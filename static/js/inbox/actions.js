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
  #words;
  #tell;

  // `list()` → the list in view. `tell(name, detail)` lets the page know, → false if it wants to act itself.
  constructor({ list, rows, selection, marks, float, server, words, tell }) {
    this.#list = list;
    this.#rows = rows;
    this.#selection = selection;
    this.#marks = marks;
    this.#float = float;
    this.#server = server;
    this.#words = words;
    this.#tell = tell;
  }

  click(command, id, event) {
    const part = event.target.closest("[data-do]");
    if (command === "open") this.#open(id, part, event);
    else if (command === "select") this.#select(id, event.shiftKey);
    else if (command === "menu") this.#menu(id, part);
    else if (command === "why") this.#tellWhy(id, part);
    else this.one(command, id, part);
  }

  one(command, id, anchor = this.#rows.anchor(id)) {
    // Some may have left the list while a menu was open
    const items = this.#rows.meant(id).map((each) => this.#list().find(each)).filter(Boolean);
    if (items.length > 0) this.#put(command, items, anchor);
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
    const items = this.#selected.length > 0 ? this.#selected : this.#rows.meant(current.id).map((id) => this.#list().find(id));
    const isArchive = this.#list().view.filter === "archived";
    const mark = { read: items.every((item) => item.read_at) ? "unread" : "read", archive: isArchive ? "unarchive" : "archive", snooze: isArchive ? null : "snooze" }[command];
    if (mark) this.#put(mark, items, this.#rows.anchor());
    return mark !== null;
  }

  swipes(id) {
    const item = this.#list().find(id);
    if (!item) return null;
    const say = (label) => this.#words.say(label);
    const read = item.read_at ? ["unread", "unread", say("actionUnread")] : ["read", "check", say("actionRead")];
    if (item.archived_at) return { end: read, start: ["unarchive", "unarchive", say("actionMoveBack")], far: null };
    return { end: read, start: ["archive", "archive", say("actionArchive")], far: item.snoozed_until ? ["unsnooze", "unarchive", say("actionBringBack")] : ["snooze", "snooze", say("actionSnooze")] };
  }

  get #selected() {
    return this.#list().items.filter((item) => this.#selection.has(item.id));
  }

  // A link leads away by itself; without one the whole text is shown. Either way it has been read.
  #open(id, part, event) {
    const item = this.#list().find(id);
    const isOurs = this.#tell("notifier-item-click", { item, url: part.href ?? null, part: part.classList[0] });
    if (!isOurs) event.preventDefault();
    else if (part.localName === "button") this.#rows.toggleOpen(id);
    this.one("read", id);
  }

  #select(id, isRange) {
    this.#selection.toggle(id, { isRange, order: this.#list().ids });
    for (const other of this.#rows.meant(id)) if (this.#selection.has(other) !== this.#selection.has(id)) this.#selection.toggle(other);
  }

  #tellWhy(id, anchor) {
    const item = this.#list().find(id);
    if (item) tellWhy(this.#float, anchor, item, { server: this.#server, words: this.#words });
  }

  #menu(id, anchor) {
    const act = (command) => {
      if (command === "select") this.#select(id, false);
      else if (command === "why") this.#tellWhy(id, anchor);
      else this.one(command, id);
    };
    openMenu(this.#float, anchor, this.#list().find(id), { act, server: this.#server, words: this.#words, isSelected: this.#selection.has(id) });
  }

  #put(command, items, anchor) {
    if (command === "snooze") {
      askUntil(this.#float, anchor, this.#words, (until) => {
        this.#selection.clear();
        this.#marks.put("snooze", items, { until });
      });
      return;
    }
    if (items.length > 1) this.#selection.clear();
    this.#marks.put(command, items);
  }
}
