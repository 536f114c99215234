// The list as it is seen: tabs, rows, and what stands there instead while loading, when empty, offline or broken.
// Used in place by the full inbox and in the panel of the bell.

import { el, icon } from "./dom.js";
import { List } from "./list.js";
import { refreshTimes, row } from "./row.js";

const TABS = [
  ["all", "All"],
  ["unread", "Unread"],
  ["archived", "Archived"],
];

const EMPTY = {
  all: ["Nothing here yet", "New notifications appear here the moment they happen."],
  unread: ["You are all caught up", "Everything has been read."],
  archived: ["Nothing archived", "What you archive is kept here."],
};

// What a mark does to an item at once, before the server has said so.
const MARKED = {
  read: (item, at) => ({ ...item, read_at: at, seen_at: item.seen_at ?? at }),
  unread: (item) => ({ ...item, read_at: null }),
  archive: (item, at) => ({ ...item, archived_at: at }),
  unarchive: (item) => ({ ...item, archived_at: null }),
};

const TIMES_EVERY_MS = 30_000;

export class View {
  #server;
  #feed;
  #list;
  #parts = {};
  #stop = new AbortController();
  #timer;
  #sentinel;
  #isShown = false;

  // `inboxUrl`: where "Open inbox" leads (the bell's panel). `onUnauthorized`: the server refused who we are.
  constructor({ server, feed, inboxUrl, onUnauthorized }) {
    this.#server = server;
    this.#feed = feed;
    this.onUnauthorized = onUnauthorized;
    this.#list = new List(server, "all");
    this.element = this.#build(inboxUrl);
    const { signal } = this.#stop;
    feed.addEventListener("changed", ({ detail }) => this.#take(detail), { signal });
    feed.addEventListener("reset", () => this.#load(), { signal });
    feed.addEventListener("counts", () => this.#drawCounts(), { signal });
    feed.addEventListener("status", () => this.#onStatus(), { signal });
    this.#timer = setInterval(() => refreshTimes(this.element), TIMES_EVERY_MS);
    this.#onStatus();
    this.#draw();
    this.#load();
  }

  close() {
    this.#stop.abort();
    clearInterval(this.#timer);
    this.#sentinel.disconnect();
  }

  // The person is looking at it: what is there counts as seen.
  setShown(isShown) {
    this.#isShown = isShown;
    if (isShown) {
      refreshTimes(this.element);
      if (this.#list.state === "failed") this.#load();
      this.#see();
    }
  }

  #build(inboxUrl) {
    const parts = this.#parts;
    parts.tabs = TABS.map(([filter, words]) =>
      el(
        "button",
        { class: "tab", type: "button", role: "tab", "aria-selected": filter === "all", "aria-controls": "list", tabindex: filter === "all" ? 0 : -1, data: { filter }, on: { click: () => this.#choose(filter), keydown: (event) => this.#moveTab(event) } },
        document.createTextNode(words),
        filter === "unread" ? (parts.count = el("span", { class: "count" })) : null,
      ),
    );
    parts.readAll = el("button", { class: "quiet", type: "button", on: { click: () => this.#readAll() } }, icon("checks", 16), document.createTextNode("Mark all read"));
    parts.banner = el("p", { class: "banner", role: "status" });
    parts.rows = el("ul", { class: "rows" });
    parts.instead = el("div", { class: "instead" });
    parts.more = el("button", { class: "more quiet", type: "button", text: "Show older", hidden: true, on: { click: () => this.#more() } });
    parts.live = el("p", { class: "sr", role: "status", "aria-live": "polite" });
    parts.panel = el("div", { class: "panel", id: "list", role: "tabpanel", "aria-label": "Notifications" }, parts.rows, parts.instead, parts.more);
    this.#sentinel = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this.#more(), { rootMargin: "300px" });
    this.#sentinel.observe(parts.more);
    return el(
      "section",
      { class: "view", "aria-label": "Notifications" },
      el(
        "header",
        { class: "head" },
        el("h2", { text: inboxUrl ? "Notifications" : "Inbox" }),
        parts.readAll,
        el("div", { class: "tabs", role: "tablist", "aria-label": "Show" }, ...parts.tabs),
      ),
      parts.banner,
      parts.panel,
      inboxUrl ? el("a", { class: "open-inbox", href: inboxUrl, text: "Open inbox" }) : null,
      parts.live,
    );
  }

  async #load() {
    const list = this.#list;
    if (list.items.length === 0) this.#draw();
    try {
      const answer = await list.load();
      if (!answer) return;
      this.#feed.take(answer);
      if (this.#isShown) this.#see();
    } catch (error) {
      this.#onFailure(error);
    }
    if (list === this.#list) this.#draw();
  }

  async #more() {
    const list = this.#list;
    try {
      const added = await list.more();
      if (list !== this.#list) return;
      for (const item of added) this.#parts.rows.append(this.#row(item));
    } catch (error) {
      this.#onFailure(error);
    }
    this.#drawInstead();
    // The observer speaks only of changes: still in sight after a short page means there is more to load.
    this.#sentinel.unobserve(this.#parts.more);
    if (list.hasMore) this.#sentinel.observe(this.#parts.more);
  }

  #choose(filter) {
    if (filter !== this.#list.filter) {
      this.#list = new List(this.#server, filter);
      for (const tab of this.#parts.tabs) {
        tab.setAttribute("aria-selected", tab.dataset.filter === filter);
        tab.tabIndex = tab.dataset.filter === filter ? 0 : -1;
      }
    }
    this.#draw();
    this.#load();
  }

  #moveTab(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const { tabs } = this.#parts;
    const tab = tabs.at((tabs.indexOf(event.currentTarget) + step) % tabs.length);
    tab.focus();
    this.#choose(tab.dataset.filter);
  }

  #take({ items, arrived }) {
    if (this.#list.state !== "ready") {
      // The first page is still on its way, or failed: it will hold them.
      if (this.#list.state === "failed") this.#load();
      return;
    }
    const entered = this.#list.apply(items);
    this.#drawChanged(items, arrived ? entered : []);
    if (arrived) {
      this.#parts.live.textContent = `New notification: ${items[0].title}`;
      if (this.#isShown) this.#see();
    }
  }

  async #act(mark, item) {
    const changed = MARKED[mark](item, new Date().toISOString());
    this.#list.apply([changed]);
    this.#drawChanged([changed], []);
    try {
      this.#feed.counted(await this.#server.mark(mark, { ids: [item.id] }));
    } catch (error) {
      this.#list.apply([item]);
      this.#drawChanged([item], []);
      this.#onFailure(error, "That was not saved. Try again.");
    }
  }

  async #readAll() {
    try {
      this.#feed.counted(await this.#server.mark("read", { all: true }));
      this.#parts.live.textContent = "All notifications are marked as read.";
    } catch (error) {
      this.#onFailure(error, "That was not saved. Try again.");
    }
  }

  async #see() {
    if (this.#feed.unseen === 0 || document.hidden) return;
    try {
      this.#feed.counted(await this.#server.mark("seen", { all: true }));
    } catch {
      // It is tried again when something arrives or the panel is opened.
    }
  }

  #onStatus() {
    const words = {
      offline: "You are offline. What arrives meanwhile appears when you are back.",
      unauthorized: "You are signed out. Reload the page to sign in again.",
    }[this.#feed.status];
    this.#say(words ?? "");
    if (this.#feed.status === "online" && this.#list.state === "failed") this.#load();
    if (this.#feed.status === "unauthorized") this.onUnauthorized();
  }

  #onFailure(error, words) {
    if (error.status === 401) {
      this.#say("You are signed out. Reload the page to sign in again.");
      this.onUnauthorized();
    } else if (words) {
      this.#say(words);
      setTimeout(() => this.#onStatus(), 6000);
    }
  }

  #say(words) {
    this.#parts.banner.textContent = words;
  }

  #row(item) {
    return row(item, { server: this.#server, act: (mark, which) => this.#act(mark, which) });
  }

  #draw() {
    const { rows } = this.#parts;
    rows.replaceChildren(...this.#list.items.map((item) => this.#row(item)));
    this.#drawInstead();
    this.#drawCounts();
  }

  // Touches the rows of these items only, so that focus and scroll stay where they are.
  #drawChanged(changed, arriving) {
    const { rows } = this.#parts;
    const drawn = new Map([...rows.children].map((element) => [element.dataset.id, element]));
    const ids = new Set(changed.map((item) => item.id));
    const kept = new Set(this.#list.items.map((item) => item.id));
    for (const id of ids) if (!kept.has(id)) this.#remove(drawn.get(id));
    // From the top, so that all rows above one are in their places when its turn comes.
    this.#list.items.forEach((item, place) => {
      if (!ids.has(item.id)) return;
      const fresh = this.#row(item);
      const old = drawn.get(item.id);
      if (old) this.#replace(old, fresh);
      else rows.insertBefore(fresh, rows.children[place] ?? null);
      if (arriving.includes(item.id)) {
        fresh.classList.add("is-arriving");
        fresh.addEventListener("animationend", ({ animationName }) => animationName === "glow" && fresh.classList.remove("is-arriving"));
      }
    });
    this.#drawInstead();
  }

  #replace(old, fresh) {
    const focused = old.contains(old.getRootNode().activeElement) ? old.getRootNode().activeElement : null;
    const kind = focused?.classList.contains("tool") ? [...old.querySelectorAll(".tool")].indexOf(focused) : null;
    old.replaceWith(fresh);
    if (focused) (kind === null ? fresh.querySelector(".title") : fresh.querySelectorAll(".tool")[kind])?.focus();
  }

  #remove(old) {
    if (!old) return;
    const hadFocus = old.contains(old.getRootNode().activeElement);
    const neighbour = old.nextElementSibling ?? old.previousElementSibling;
    old.remove();
    if (hadFocus) (neighbour?.querySelector(".title") ?? this.#parts.tabs.find((tab) => tab.tabIndex === 0)).focus();
  }

  #drawInstead() {
    const { instead, more, rows } = this.#parts;
    const { state, items, filter, hasMore } = this.#list;
    more.hidden = !hasMore;
    rows.hidden = items.length === 0;
    if (items.length > 0) instead.replaceChildren();
    else if (state === "loading") instead.replaceChildren(...skeletons());
    else if (state === "failed") instead.replaceChildren(notice("We could not load your notifications", "Check your connection, then try again.", this.#again()));
    else instead.replaceChildren(notice(...EMPTY[filter]));
    instead.setAttribute("aria-busy", state === "loading");
  }

  #again() {
    return el("button", { class: "again", type: "button", text: "Try again", on: { click: () => this.#load() } });
  }

  #drawCounts() {
    const { unread } = this.#feed;
    this.#parts.count.textContent = unread > 0 ? unread.toLocaleString() : "";
    this.#parts.readAll.disabled = unread === 0;
  }
}

function notice(title, words, button) {
  return el("div", { class: "notice" }, el("span", { class: "notice-icon" }, icon("bell", 28)), el("p", { class: "notice-title", text: title }), el("p", { text: words }), button);
}

function skeletons() {
  const bar = (name) => el("span", { class: `bar ${name}` });
  const one = () => el("div", { class: "skeleton", "aria-hidden": "true" }, bar("round"), el("div", {}, bar("wide"), bar("mid"), bar("thin")));
  return [el("p", { class: "sr", text: "Loading" }), one(), one(), one(), one()];
}
