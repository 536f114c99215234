// The inbox as it is seen: puts its parts together, and passes on what one says to the others.
// Used in place by the full inbox and in the panel of the bell.

import { Actions } from "./actions.js";
import { Alerts } from "./alerts.js";
import { Announcer } from "./announce.js";
import { el, icon } from "./dom.js";
import { Float } from "./float.js";
import { Help } from "./help.js";
import { listenForKeys } from "./keys.js";
import { List } from "./list.js";
import { Marks } from "./marks.js";
import { empty, failed, skeletons } from "./notices.js";
import { Rows } from "./rows.js";
import { Search } from "./search.js";
import { SelectBar } from "./selectbar.js";
import { Selection } from "./selection.js";
import { swipeable } from "./swipe.js";
import { Tabs } from "./tabs.js";
import { Toast } from "./toast.js";

const EVERYTHING = { filter: "all", category: "", q: "" };

const TIMES_EVERY_MS = 30_000;
const FAULT_SHOWN_MS = 6000;
const LATE_MS = 200;

export class View {
  #server;
  #feed;
  #list; // what is shown
  #wanted; // what was chosen: the same, once it is there
  #marks;
  #actions;
  #tabs;
  #search;
  #rows;
  #selectbar;
  #sentinel;
  #timer;
  #words;
  #onUnauthorized;
  #parts = {};
  #isShown = false;
  #selection = new Selection();
  #toast;
  #float = new Float(() => this.#rows.refocus());
  #help;
  #announcer;
  #alerts;
  #tell;
  #onView;
  #place;
  #stop = new AbortController();

  // `isPanel`: it is the bell's, which has a name already. `inboxUrl`, `preferencesUrl`: where the links under the list lead;
  // null: no such link.
  // `start`: the list to begin with, `place`: where it stood when the page was left. `isPageWide`: see keys.js.
  // `tell(name, detail)` tells the page; `onView(view)` is called when the person chooses another list.
  // `onUnauthorized`: the server refused who we are.
  constructor({ host, server, feed, words, isPanel = false, inboxUrl, preferencesUrl, start = EVERYTHING, place = null, isPageWide, tell, onView = () => {}, onUnauthorized }) {
    this.#server = server;
    this.#feed = feed;
    this.#words = words;
    this.#toast = new Toast(words);
    this.#alerts = new Alerts(words);
    this.#help = new Help(words, this.#alerts);
    this.#tell = tell;
    this.#onView = onView;
    this.#place = place;
    this.#announcer = new Announcer(words);
    this.#onUnauthorized = onUnauthorized;
    this.#list = this.#wanted = new List(server, start);
    this.#marks = new Marks({ server, feed, toast: this.#toast, words, onMarked: (detail) => tell("notifier-item-action", detail), show: (items) => this.#change(items), onFailure: (error) => this.#onFailure(error, words.say("notSaved")) });
    this.element = this.#build({ host, isPanel, inboxUrl, preferencesUrl, start });
    this.spoken = this.#announcer.element; // stands outside of what may be hidden
    const { signal } = this.#stop;
    this.#selection.addEventListener("change", () => this.#drawSelection());
    feed.addEventListener("changed", ({ detail }) => this.#take(detail), { signal });
    feed.addEventListener("reset", () => this.#load(), { signal });
    feed.addEventListener("counts", () => this.#drawCounts(), { signal });
    feed.addEventListener("status", () => this.#onStatus(), { signal });
    listenForKeys(host, { isPageWide, signal, act: (command, event) => this.#onKey(command, event) });
    (isPageWide ? document : this.element).addEventListener("keydown", (event) => this.#onEscape(event), { signal });
    this.#timer = setInterval(() => this.#rows.refresh(), TIMES_EVERY_MS);
    this.#onStatus();
    this.#draw();
    this.#load();
  }

  get wanted() {
    return this.#wanted.view;
  }

  get place() {
    const place = this.#rows.place;
    return place && { loaded: this.#list.items.length, ...place };
  }

  // Another list, chosen elsewhere.
  go(view) {
    this.#tabs.show(view.filter);
    this.#search.show(view);
    this.#choose(view);
  }

  close() {
    this.#stop.abort();
    clearInterval(this.#timer);
    this.#sentinel.disconnect();
    this.#rows.close();
  }

  // The person is looking at it: what is there counts as seen.
  setShown(isShown) {
    this.#isShown = isShown;
    if (!isShown) return;
    this.#rows.refresh();
    if (this.#list.state === "failed") this.#load();
    this.#see();
  }

  #build({ host, isPanel, inboxUrl, preferencesUrl, start }) {
    const parts = this.#parts;
    const words = this.#words;
    this.#tabs = new Tabs(start.filter, words, (filter) => this.#choose({ filter }));
    this.#search = new Search(start, words, (wanted) => this.#choose(wanted));
    this.#rows = new Rows({ host, words, command: (command, id) => this.#actions.one(command, id), base: this.#server.base, isEmbedded: this.#server.isEmbedded, selection: this.#selection, act: (...click) => this.#actions.click(...click), fallback: () => this.#tabs.chosen });
    this.#actions = new Actions({ list: () => this.#list, rows: this.#rows, selection: this.#selection, marks: this.#marks, float: this.#float, server: this.#server, words, tell: this.#tell });
    this.#selectbar = new SelectBar(this.#selection, words, { act: (command, button) => this.#actions.onSelected(command, button), all: () => this.#selection.all(this.#list.ids) });
    swipeable(this.#rows.element, this.#actions);
    parts.readAll = el("button", { class: "quiet", part: "mark-all-read", type: "button", on: { click: () => this.#readAll() } }, icon("checks", 16), document.createTextNode(words.say("markAllRead")));
    parts.banner = el("p", { class: "banner", part: "banner", role: "status" });
    parts.instead = el("div", { class: "instead" });
    parts.more = el("button", { class: "more quiet", type: "button", text: words.say("showOlder"), hidden: true, on: { click: () => this.#more() } });
    this.#sentinel = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this.#more(), { rootMargin: "300px" });
    this.#sentinel.observe(parts.more);
    const hint = el("p", { class: "sr", id: "rows-hint", text: words.say("listHint") });
    return el(
      isPanel ? "div" : "section",
      { class: "view", part: "view", ...(isPanel ? {} : { "aria-label": words.say("inbox") }) },
      el("div", { class: "head", part: "head" }, el("h2", { part: "heading", text: words.say(isPanel ? "notifications" : "inbox") }), el("div", { class: "head-end" }, parts.readAll, this.#help.button), this.#tabs.element, this.#search.element),
      parts.banner,
      el("div", { class: "panel", id: "list", role: "tabpanel", "aria-label": words.say("notifications") }, this.#rows.element, hint, parts.instead, parts.more),
      el("div", { class: "low" }, this.#toast.element, this.#selectbar.element),
      inboxUrl || preferencesUrl ? el("div", { class: "foot", part: "foot" }, link(inboxUrl, words.say("openInbox")), link(preferencesUrl, words.say("openPreferences"))) : null,
      this.#float.element,
      this.#help.element,
    );
  }

  // --- what is listed

  // What was there stays until the answer comes, or it is late.
  async #load(list = this.#wanted) {
    const late = setTimeout(() => this.#show(list), LATE_MS);
    try {
      const answer = await list.load(this.#place?.loaded);
      if (!answer) return;
      this.#feed.take(answer);
      if (this.#isShown) this.#see();
    } catch (error) {
      this.#onFailure(error, list.items.length > 0 ? this.#words.say("notRefreshed") : null);
    } finally {
      clearTimeout(late);
    }
    this.#show(list);
  }

  #show(list) {
    if (list !== this.#wanted || this.#stop.signal.aborted) return; // another was chosen meanwhile
    this.#list = list;
    this.#draw();
    if (!this.#place || list.state !== "ready") return;
    this.#rows.goTo(this.#place);
    this.#place = null;
  }

  async #more() {
    const list = this.#list;
    try {
      const answer = await list.more();
      if (list !== this.#list || !answer || this.#stop.signal.aborted) return;
      this.#rows.append(answer.added);
      this.#feed.take(answer);
    } catch (error) {
      this.#onFailure(error, this.#words.say("olderFailed"));
      return; // until the button is pressed
    }
    this.#drawInstead();
    this.#drawSelection();
    // The observer speaks only of changes: still in sight after a short page means there is more to load.
    this.#sentinel.unobserve(this.#parts.more);
    if (list.hasMore) this.#sentinel.observe(this.#parts.more);
  }

  #choose(change) {
    const before = this.#wanted.view;
    const view = { ...before, ...change };
    if (["filter", "category", "q"].every((key) => view[key] === before[key])) return;
    this.#selection.clear();
    this.#wanted = new List(this.#server, view);
    this.#place = null;
    this.#onView(view);
    this.#load();
  }

  #showEverything() {
    this.#search.show(EVERYTHING);
    this.#choose({ ...EVERYTHING, filter: this.#wanted.view.filter });
    this.#tabs.chosen.focus();
  }

  #take(detail) {
    if (detail.arrived) {
      this.#announcer.arrived(detail);
      this.#alerts.arrived(detail);
    }
    // The first page is still on its way, or failed: it will hold them.
    if (this.#list.state === "failed") this.#load();
    if (this.#list.state !== "ready") return;
    this.#change(this.#marks.over(detail.items), detail.arrived);
    if (detail.arrived && this.#isShown) this.#see();
  }

  #change(items, arrived = false) {
    const entered = this.#list.apply(items);
    this.#rows.update(this.#list.items, items, arrived ? entered : []);
    this.#selection.keep(this.#list.ids);
    this.#drawInstead();
    this.#drawCounts();
  }

  // --- what is done

  #readAll() {
    if (this.#parts.readAll.getAttribute("aria-disabled") !== "true") this.#marks.readAll(this.#list.view);
  }

  async #see() {
    if (this.#feed.unseen === 0 || document.hidden) return;
    try {
      this.#feed.counted(await this.#server.mark("seen", { all: true }));
    } catch {
      // It is tried again when something arrives or the panel is opened.
    }
  }

  #onKey(command, event) {
    if (!this.#isShown) return false;
    if (command === "next") return this.#rows.move(1);
    if (command === "previous") return this.#rows.move(-1);
    if (command === "search") this.#search.focus();
    else if (command === "help") this.#help.open();
    else if (command === "undo") this.#toast.undo();
    else return this.#actions.key(command, event);
    return true;
  }

  #onEscape(event) {
    if (event.key !== "Escape" || event.defaultPrevented || this.#selection.ids.size === 0) return;
    event.stopPropagation();
    this.#selection.clear();
  }

  // --- what is said

  #onStatus() {
    if (this.#stop.signal.aborted) return;
    const said = { offline: this.#words.say("offline"), unauthorized: this.#ended }[this.#feed.status];
    this.#say(said ?? "");
    if (this.#feed.status === "online" && this.#list.state === "failed") this.#load();
    if (this.#feed.status === "unauthorized") this.#onUnauthorized();
  }

  #onFailure(error, text) {
    if (error.status === 401) {
      this.#say(this.#ended);
      this.#onUnauthorized();
    } else if (text) {
      this.#say(text);
      setTimeout(() => this.#onStatus(), FAULT_SHOWN_MS);
    }
  }

  get #ended() {
    return this.#words.say(this.#server.token ? "endedToken" : "endedCookie");
  }

  #say(text) {
    this.#parts.banner.textContent = text;
  }

  #draw() {
    this.#rows.draw(this.#list.items);
    this.#selection.keep(this.#list.ids);
    this.#drawInstead();
    this.#drawCounts();
  }

  #drawInstead() {
    const { instead, more } = this.#parts;
    const { state, items, view, hasMore } = this.#list;
    more.hidden = !hasMore;
    this.#rows.element.hidden = items.length === 0;
    if (items.length > 0) instead.replaceChildren();
    else if (state === "loading") instead.replaceChildren(...skeletons(this.#words));
    else if (state === "failed") instead.replaceChildren(failed(this.#words, () => this.#load()));
    else instead.replaceChildren(empty(view, this.#words, () => this.#showEverything()));
    instead.setAttribute("aria-busy", state === "loading");
  }

  #drawSelection() {
    this.#rows.drawSelection();
    this.#selectbar.draw({ filter: this.#list.view.filter, loaded: this.#list.items.length });
  }

  #drawCounts() {
    const { items, hasMore, view } = this.#list;
    this.#tabs.count(this.#feed.unread);
    const isNothingUnread = !["archived", "snoozed"].includes(view.filter) && this.#feed.unread === 0;
    this.#parts.readAll.setAttribute("aria-disabled", isNothingUnread || !(hasMore || items.some((item) => !item.read_at)));
  }
}

function link(href, text) {
  return href ? el("a", { class: "open-inbox", part: "link", href, text }) : null;
}
