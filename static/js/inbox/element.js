// The custom element: reads its attributes, shares a feed with its like, shows a view in place or behind a bell.

import { Bell } from "./bell.js";
import { feedFor } from "./feed.js";
import { Server } from "./server.js";
import { sheet } from "./styles.js";
import { countInTitle } from "./title.js";
import { View } from "./view.js";

export class NotifierInbox extends HTMLElement {
  static observedAttributes = ["server", "token", "mode", "inbox-url"];

  #feed = null;
  #part = null;
  #stop = null;

  constructor() {
    super();
    this.attachShadow({ mode: "open" }).adoptedStyleSheets = [sheet];
  }

  connectedCallback() {
    this.#open();
  }

  disconnectedCallback() {
    this.#close();
  }

  attributeChangedCallback(_name, before, after) {
    if (!this.#feed || before === after) return;
    this.#close();
    this.#open();
  }

  #open() {
    const server = new Server(this.getAttribute("server"), this.getAttribute("token"));
    this.#feed = feedFor(server);
    this.#stop = new AbortController();
    const onUnauthorized = () => this.dispatchEvent(new CustomEvent("notifier-unauthorized", { bubbles: true, composed: true }));
    const options = { server, feed: this.#feed, inboxUrl: this.getAttribute("inbox-url"), onUnauthorized };
    if (this.getAttribute("mode") === "bell") {
      this.#part = new Bell(this, options);
    } else {
      this.#part = new View({ ...options, inboxUrl: null });
      this.#part.setShown(true);
      document.addEventListener("visibilitychange", () => this.#part.setShown(!document.hidden), { signal: this.#stop.signal });
    }
    this.shadowRoot.replaceChildren(this.#part.element);
    if (this.getAttribute("count-in") === "title") {
      this.#feed.addEventListener("counts", () => countInTitle(this.#feed.unread), { signal: this.#stop.signal });
    }
    this.#feed.join();
  }

  #close() {
    this.#stop.abort();
    this.#part.close();
    this.#feed.leave();
    this.#feed = this.#part = null;
  }
}
