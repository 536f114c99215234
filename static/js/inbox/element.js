// The custom element: reads its attributes, shares a feed with its like, shows a view in place or behind a bell.

import { keepPlace, placeToReturnTo, readView, writeView } from "./address.js";
import { Bell } from "./bell.js";
import { localeOf, takeUp } from "./dom.js";
import { feedFor } from "./feed.js";
import { Refusals } from "./refusals.js";
import { Server } from "./server.js";
import { sheets } from "./styles.js";
import { countInTitle } from "./title.js";
import { View } from "./view.js";
import { Words, labelsIn, translations } from "./words.js";

export class NotifierInbox extends HTMLElement {
  static observedAttributes = ["server", "token", "mode", "inbox-url", "preferences-url", "shortcuts", "state-in", "locale", "labels"];

  #feed = null;
  #beginning = null; // as long as a dictionary is on its way
  #part = null;
  #stop = null;
  #refusals = new Refusals();
  #counts = null; // as the page was told of them
  #labels = null;
  #renderItem = null;

  constructor() {
    super();
    this.attachShadow({ mode: "open" }).adoptedStyleSheets = sheets;
  }

  // Texts in place of ours, by the names of labels.js; an attribute says the same as JSON.
  get labels() {
    return this.#labels ?? labelsIn(this.getAttribute("labels"));
  }

  set labels(labels) {
    // Frameworks give another object with the same texts whenever they draw
    const isSame = JSON.stringify(labels) === JSON.stringify(this.#labels);
    this.#labels = labels;
    if (!isSame) this.#reopen();
  }

  // `(item, { act, words })` → the element that a row shows in place of its words; null: ours. See custom.js.
  get renderItem() {
    return this.#renderItem;
  }

  set renderItem(render) {
    if (render === this.#renderItem) return;
    this.#renderItem = render;
    this.#reopen();
  }

  connectedCallback() {
    takeUp(this, "labels", "renderItem");
    this.#begin();
  }

  disconnectedCallback() {
    this.#beginning = null;
    if (this.#feed) this.#close();
  }

  // A new token may be another person's: everything is read anew, only what was searched for stays.
  attributeChangedCallback(_name, before, after) {
    if (before !== after) this.#reopen();
  }

  #reopen() {
    if (this.#beginning) this.#begin(this.#beginning.start);
    if (!this.#feed) return;
    const start = this.#part.wanted;
    this.#close();
    this.#begin(start);
  }

  // What is shown waits for its language: nobody reads one language and then another.
  async #begin(start) {
    const server = new Server(this.getAttribute("server"), this.getAttribute("token"));
    const beginning = { start };
    this.#beginning = beginning;
    const found = translations(server.base, localeOf(this));
    const translated = found instanceof Promise ? await found : found;
    if (this.#beginning === beginning) this.#open(server, translated, start);
  }

  #open(server, translated, start) {
    this.#beginning = null;
    const isBell = this.getAttribute("mode") === "bell";
    this.#feed = feedFor(server);
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    const isKept = !isBell && this.getAttribute("state-in") === "url";
    const options = {
      host: this,
      server,
      feed: this.#feed,
      words: new Words({ locale: localeOf(this), zone: server.isEmbedded ? null : document.documentElement.dataset.zone, own: this.labels, translated }),
      start: start ?? (isKept ? readView() : undefined),
      place: isKept && !start ? placeToReturnTo() : null,
      onView: isKept ? writeView : undefined,
      tell: (name, detail) => this.#tell(name, detail),
      inboxUrl: isBell ? this.getAttribute("inbox-url") : null,
      preferencesUrl: isBell ? this.getAttribute("preferences-url") : null,
      isPageWide: this.getAttribute("shortcuts") === "page",
      onUnauthorized: this.#refusals.of(signal, () => this.#tell("notifier-token-expired")),
    };
    this.#part = isBell ? new Bell(options) : new View(options);
    if (!isBell) {
      this.#part.setShown(true);
      document.addEventListener("visibilitychange", () => this.#part.setShown(!document.hidden), { signal });
    }
    this.shadowRoot.replaceChildren(this.#part.element, this.#part.spoken);
    if (this.getAttribute("count-in") === "title") {
      this.#feed.addEventListener("counts", () => countInTitle(this.#feed.unread), { signal });
      signal.addEventListener("abort", () => countInTitle(0));
    }
    if (isKept) {
      history.scrollRestoration = "manual"; // by then the list is not there yet
      addEventListener("popstate", () => this.#part.go(readView()), { signal });
      addEventListener("pagehide", () => keepPlace(this.#part.place), { signal });
    }
    this.#feed.addEventListener("counts", () => this.#tellCounts(), { signal });
    this.#feed.addEventListener("status", () => this.#feed.status === "online" && this.#refusals.worked(), { signal });
    this.#feed.join();
  }

  #tell(name, detail) {
    return this.dispatchEvent(new CustomEvent(name, { bubbles: true, composed: true, cancelable: true, detail }));
  }

  #tellCounts() {
    const { unread, unseen } = this.#feed;
    const counts = `${unread} ${unseen}`;
    if (counts !== this.#counts) this.#tell("notifier-count", { unread, unseen });
    this.#counts = counts;
  }

  #close() {
    this.#stop.abort();
    this.#part.close();
    this.#feed.leave();
    this.#feed = this.#part = null;
  }
}
