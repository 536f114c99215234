// The custom element: reads its attributes, shares a feed with its like, shows a view in place or behind a bell.

import { Bell } from "./bell.js";
import { feedFor } from "./feed.js";
import { Server } from "./server.js";
import { sheets } from "./styles.js";
import { countInTitle } from "./title.js";
import { View } from "./view.js";

export class NotifierInbox extends HTMLElement {
  static observedAttributes = ["server", "token", "mode", "inbox-url", "shortcuts"];

  #feed = null;
  #part = null;
  #stop = null;

  constructor() {
    super();
    this.attachShadow({ mode: "open" }).adoptedStyleSheets = sheets;
  }

  connectedCallback() {
    this.#open();
  }

  disconnectedCallback() {
    this.#close();
  }

  // A new token may be another person's: everything is read anew, only what was searched for stays.
  attributeChangedCallback(_name, before, after) {
    if (!this.#feed || before === after) return;
    const start = this.#part.wanted;
    this.#close();
    this.#open(start);
  }

  #open(start) {
    const server = new Server(this.getAttribute("server"), this.getAttribute("token"));
    const isBell = this.getAttribute("mode") === "bell";
    this.#feed = feedFor(server);
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    const options = {
      host: this,
      server,
      feed: this.#feed,
      start,
      inboxUrl: isBell ? this.getAttribute("inbox-url") : null,
      isPageWide: this.getAttribute("shortcuts") === "page",
      onUnauthorized: once(() => this.dispatchEvent(new CustomEvent("notifier-token-expired", { bubbles: true, composed: true }))),
    };
    this.#part = isBell ? new Bell(options) : new View(options);
    if (!isBell) {
      this.#part.setShown(true);
      document.addEventListener("visibilitychange", () => this.#part.setShown(!document.hidden), { signal });
    }
    this.shadowRoot.replaceChildren(this.#part.element, this.#part.spoken);
    if (this.getAttribute("count-in") === "title") this.#feed.addEventListener("counts", () => countInTitle(this.#feed.unread), { signal });
    this.#feed.join();
  }

  #close() {
    this.#stop.abort();
    this.#part.close();
    this.#feed.leave();
    this.#feed = this.#part = null;
  }
}

// After the current task, since the listener may set a new token and so close what called.
function once(work) {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    queueMicrotask(work);
  };
}
