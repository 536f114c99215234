// What a person does to items: shown at once, sent, taken back when the server refuses, and undone on request.
// What was heard before the server's word on a mark has come is older than the mark, and does not take it from view.

import { MAX_IDS, filled } from "./server.js";
import { named } from "./words.js";

// What a mark does to an item before the server has said so; null: nothing, the item is like that already.
const MARKED = {
  read: (item, { at }) => (item.read_at ? null : { ...item, read_at: at, seen_at: item.seen_at ?? at }),
  unread: (item) => (item.read_at ? { ...item, read_at: null } : null),
  archive: (item, { at }) => (item.archived_at ? null : { ...item, archived_at: at }),
  unarchive: (item) => (item.archived_at ? { ...item, archived_at: null } : null),
  snooze: (item, { until }) => ({ ...item, snoozed_until: until }),
  unsnooze: (item) => (item.snoozed_until ? { ...item, snoozed_until: null } : null),
};

const OPPOSITE = { read: "unread", unread: "read", archive: "unarchive", unarchive: "archive" };

export class Marks {
  #server;
  #feed;
  #toast;
  #show;
  #onFailure;
  #words;
  #onMarked;
  #underWay = new Set(); // {wanted: item id → what the mark sets, sent: a promise, seq: of the server's answer, null until then}

  // `show(items)` puts changed items before the eyes; `onFailure(error)` says that nothing was saved;
  // `onMarked(detail)` that the person has done something.
  constructor({ server, feed, toast, words, show, onFailure, onMarked = () => {} }) {
    this.#server = server;
    this.#feed = feed;
    this.#toast = toast;
    this.#words = words;
    this.#show = show;
    this.#onFailure = onFailure;
    this.#onMarked = onMarked;
  }

  // Marks these items. `until` (a Date) goes with snooze.
  async put(mark, items, { until = null } = {}) {
    const at = new Date().toISOString();
    const pairs = items.map((item) => [item, MARKED[mark](item, { at, until: until?.toISOString() })]).filter(([, changed]) => changed);
    if (pairs.length === 0) return;
    const before = pairs.map(([item]) => item);
    const after = pairs.map(([, changed]) => changed);
    this.#onMarked({ action: mark, items: after, until });
    // One that is read or unread shows it by itself; one that leaves the list does not.
    if (pairs.length > 1 || !(mark === "read" || mark === "unread")) this.#toast.show(this.#sentence(mark, pairs.length, until), () => this.#undo(mark, before, after));
    await this.#change(before, after, mark, until ? { until: until.toISOString() } : {});
  }

  // Items as the server said they are, with what it does not know yet of marks that are under way.
  over(items) {
    const { seq } = this.#feed;
    for (const mark of this.#underWay) if (mark.seq !== null && seq !== null && mark.seq <= seq) this.#underWay.delete(mark);
    return items.map((item) => [...this.#underWay].reduce((known, { wanted }) => ({ ...known, ...wanted.get(item.id) }), item));
  }

  // Everything that a list of this view shows or would show.
  async readAll(view) {
    this.#onMarked({ action: "read", items: null, until: null, ...view });
    try {
      const answer = await this.#server.mark("read", { all: true, ...filled(view) });
      this.#feed.counted(answer);
      const ids = answer.changed_ids ?? null;
      if (ids?.length === 0) return;
      this.#toast.show(ids ? this.#sentence("read", ids.length) : this.#words.say("allRead"), ids && (() => this.#unreadAgain(ids)));
    } catch (error) {
      this.#onFailure(error);
    }
  }

  async #unreadAgain(ids) {
    try {
      this.#feed.counted(await this.#server.mark("unread", { ids }));
    } catch (error) {
      this.#onFailure(error);
    }
  }

  #undo(mark, before, after) {
    if (mark in OPPOSITE) return this.#change(after, before, OPPOSITE[mark]);
    // Each was away until a time of its own, or not at all
    return Promise.all([...new Set(before.map((item) => item.snoozed_until))].map((until) => {
      const isOfIt = (_, index) => before[index].snoozed_until === until;
      return this.#change(after.filter(isOfIt), before.filter(isOfIt), until ? "snooze" : "unsnooze", until ? { until } : {});
    }));
  }

  async #change(before, after, mark, more = {}) {
    this.#show(after);
    const ids = after.map((item) => item.id);
    const earlier = [...this.#underWay].filter(({ wanted }) => ids.some((id) => wanted.has(id)));
    const send = () => this.#send(mark, ids, more);
    // Of two marks of an item the later one counts, so it must not arrive first. All others need not wait.
    const sent = earlier.length ? Promise.allSettled(earlier.map((one) => one.sent)).then(send) : send();
    const underWay = { wanted: new Map(after.map((item, index) => [item.id, difference(before[index], item)])), sent, seq: null };
    this.#underWay.add(underWay);
    try {
      underWay.seq = (await sent).seq;
    } catch (error) {
      this.#underWay.delete(underWay);
      this.#toast.hide();
      this.#show(before);
      this.#onFailure(error);
    }
  }

  #sentence(mark, count, until = null) {
    const said = this.#words.say(named("done", mark), { time: until && this.#words.when.moment(until) });
    return count > 1 ? this.#words.say("bulkDone", { n: count, done: said.charAt(0).toLocaleLowerCase(this.#words.locale) + said.slice(1) }) : said;
  }

  async #send(mark, ids, more) {
    let answer = null;
    for (let start = 0; start < ids.length; start += MAX_IDS) {
      answer = await this.#server.mark(mark === "unsnooze" ? "snooze" : mark, { ids: ids.slice(start, start + MAX_IDS), ...(mark === "unsnooze" ? { until: null } : more) });
      this.#feed.counted(answer);
    }
    return answer;
  }
}

function difference(before, after) {
  return Object.fromEntries(Object.entries(after).filter(([name, value]) => before[name] !== value));
}
