// One person's inbox without a look of its own, for pages that draw everything themselves: what is listed, the counts, and
// the marks. No DOM.

import { feedFor } from "./feed.js";
import { List } from "./list.js";
import { Marks } from "./marks.js";
import { Server } from "./server.js";
import { Words } from "./words.js";

const SILENT = { show() {}, hide() {} }; // the page says itself what was done

// `server`, `token`: as for the element. `filter` (all, unread, snoozed, archived), `category` and `q` (words) choose the
// list. Connects at once; `close()` ends it.
export function createFeed({ server, token, filter = "all", category = "", q = "" } = {}) {
  return new InboxFeed(new Server(server, token), { filter, category, q });
}

// Tells `change` (read `snapshot`), `arrived` (detail.items), `unauthorized` and `error` (detail.error: nothing was saved).
class InboxFeed extends EventTarget {
  #server;
  #feed;
  #list;
  #marks;
  #snapshot = null;
  #isRefused = false;
  #stop = new AbortController();

  constructor(server, view) {
    super();
    this.#server = server;
    this.#feed = feedFor(server);
    this.#list = new List(server, view);
    this.#marks = new Marks({ server, feed: this.#feed, toast: SILENT, words: new Words({ locale: "en" }), show: (items) => this.#apply(items), onFailure: (error) => this.#fail(error) });
    const { signal } = this.#stop;
    this.#feed.addEventListener("counts", () => this.#changed(), { signal });
    this.#feed.addEventListener("reset", () => this.load(), { signal });
    this.#feed.addEventListener("changed", ({ detail }) => this.#take(detail), { signal });
    this.#feed.addEventListener("status", () => this.#onStatus(), { signal });
    this.#feed.join();
    this.load();
  }

  // {status, unread, unseen, items, state, hasMore, filter, category, q}; another object whenever something has changed.
  get snapshot() {
    this.#snapshot ??= Object.freeze({
      status: this.#feed.status,
      unread: this.#feed.unread,
      unseen: this.#feed.unseen,
      items: Object.freeze([...this.#list.items]),
      state: this.#list.state,
      hasMore: this.#list.hasMore,
      ...this.#list.view,
    });
    return this.#snapshot;
  }

  // Calls `listener(snapshot)` on each change. → a function that ends it.
  subscribe(listener) {
    const onChange = () => listener(this.snapshot);
    this.addEventListener("change", onChange);
    return () => this.removeEventListener("change", onChange);
  }

  // Lists something else: any of filter, category and q.
  show(view) {
    this.#list = new List(this.#server, { ...this.#list.view, ...view });
    this.#changed();
    return this.load();
  }

  load() {
    return this.#ask(this.#list, () => this.#list.load());
  }

  loadMore() {
    return this.#ask(this.#list, () => this.#list.more());
  }

  read(...ids) {
    return this.#mark("read", ids);
  }

  unread(...ids) {
    return this.#mark("unread", ids);
  }

  archive(...ids) {
    return this.#mark("archive", ids);
  }

  unarchive(...ids) {
    return this.#mark("unarchive", ids);
  }

  // `until`: a Date within the coming year; null brings them back.
  snooze(until, ...ids) {
    return until === null ? this.#mark("unsnooze", ids) : this.#mark("snooze", ids, { until });
  }

  // Everything that the list shows or would show.
  readAll() {
    return this.#marks.readAll(this.#list.view);
  }

  // The person has had the list in view.
  async seen() {
    try {
      this.#feed.counted(await this.#server.mark("seen", { all: true }));
    } catch (error) {
      this.#fail(error);
    }
  }

  // → {title, description, language, sentences}: why an item came. `locale`: for a person whose own the server does not know.
  why(id, locale) {
    return this.#server.why(id, locale);
  }

  // However often: the connection may be somebody else's too.
  close() {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.#feed.leave();
  }

  #mark(mark, ids, more) {
    return this.#marks.put(mark, ids.map((id) => this.#list.find(id)).filter(Boolean), more);
  }

  async #ask(list, question) {
    try {
      const answer = await question();
      if (answer && !this.#stop.signal.aborted) this.#feed.take(answer);
    } catch (error) {
      this.#fail(error);
    }
    if (list === this.#list) this.#changed();
  }

  #take({ items, arrived }) {
    if (this.#list.state === "failed") this.load();
    this.#apply(this.#marks.over(items));
    if (arrived) this.#tell("arrived", { items });
  }

  #apply(items) {
    if (this.#list.state !== "loading") this.#list.apply(items);
    this.#changed();
  }

  #onStatus() {
    this.#changed();
    if (this.#feed.status === "unauthorized") this.#refuse();
    else if (this.#feed.status === "online" && this.#list.state === "failed") this.load();
  }

  #fail(error) {
    if (error.status === 401) this.#refuse();
    else this.#tell("error", { error });
  }

  // Told once, whichever of the calls and the connection hears of it first.
  #refuse() {
    if (this.#isRefused) return;
    this.#isRefused = true;
    this.#tell("unauthorized");
  }

  #changed() {
    if (this.#stop.signal.aborted) return;
    this.#snapshot = null;
    this.#tell("change");
  }

  #tell(name, detail) {
    if (!this.#stop.signal.aborted) this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
