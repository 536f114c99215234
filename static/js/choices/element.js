// The custom element: reads its attributes, loads the choices, sends what is switched, and draws again what the server says.

import { el, localeOf, sheet, takeUp } from "../inbox/dom.js";
import { Refusals } from "../inbox/refusals.js";
import { Server } from "../inbox/server.js";
import { theme } from "../inbox/styles/theme.js";
import { Toast } from "../inbox/toast.js";
import { Words, labelsIn, translations } from "../inbox/words.js";
import { grid } from "./grid.js";
import { times } from "./times.js";
import { looks } from "./looks.js";

const sheets = [theme, looks].map(sheet);

export class NotifierPreferences extends HTMLElement {
  static observedAttributes = ["server", "token", "locale", "labels"];

  #server = null;
  #words = null;
  #toast = null;
  #body = null;
  #banner = null;
  #shown = null; // as the server has said it
  #open = new Set(); // categories that are unfolded
  #more = new Set(); // categories that show all channels
  #labels = null;
  #stop = new AbortController(); // of what has begun last
  #refusals = new Refusals();
  #refused = null;
  #queue = Promise.resolve(); // of choices
  #underWay = 0; // how many of them are not answered yet

  constructor() {
    super();
    this.attachShadow({ mode: "open" }).adoptedStyleSheets = sheets;
  }

  get labels() {
    return this.#labels ?? labelsIn(this.getAttribute("labels"));
  }

  set labels(labels) {
    // Frameworks give another object with the same texts whenever they draw
    const isSame = JSON.stringify(labels) === JSON.stringify(this.#labels);
    this.#labels = labels;
    if (!isSame) this.#beginAnew();
  }

  connectedCallback() {
    takeUp(this, "labels");
    this.#begin();
  }

  disconnectedCallback() {
    this.#stop.abort();
  }

  attributeChangedCallback(_name, before, after) {
    if (before !== after) this.#beginAnew();
  }

  // Not before it has begun: an element that is defined late is told of each of its attributes first.
  #beginAnew() {
    if (this.isConnected && this.#server) this.#begin();
  }

  async #begin() {
    this.#stop.abort();
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    this.#queue = Promise.resolve();
    this.#underWay = 0;
    this.#shown = null; // a new token may be another person's
    const locale = localeOf(this);
    this.#server = new Server(this.getAttribute("server"), this.getAttribute("token"));
    const translated = await translations(this.#server.base, locale);
    if (signal.aborted) return;
    this.#refused = this.#refusals.of(signal, () => this.#tell("notifier-token-expired"));
    const zone = this.#server.isEmbedded ? null : document.documentElement.dataset.zone;
    this.#words = new Words({ locale, zone, own: this.labels, translated });
    this.#toast = new Toast(this.#words);
    this.#banner = el("p", { class: "banner", part: "banner", role: "status" });
    this.#body = el("div", { class: "body", "aria-busy": true });
    const low = el("div", { class: "low" }, this.#toast.element);
    this.shadowRoot.replaceChildren(el("section", { class: "choices", part: "view", "aria-label": this.#words.say("preferences") }, this.#banner, this.#body, low));
    await this.#ask(signal, () => this.#server.choices(this.#words.locale));
  }

  // `question()` → what the server shows then. It is drawn once nothing else is under way, of which it would not know.
  async #ask(signal, question) {
    try {
      const shown = await question();
      if (signal.aborted) return null;
      this.#shown = shown;
      this.#refusals.worked();
      if (this.#underWay <= 1) this.#draw();
      return shown;
    } catch (error) {
      if (signal.aborted) return null;
      const isRefused = error.status === 401;
      const isFirst = this.#shown === null;
      this.#banner.textContent = this.#words.say(isRefused ? (this.#server.token ? "endedToken" : "endedCookie") : isFirst ? "choicesFailed" : "notSaved");
      if (isFirst) this.#offerAgain(isRefused);
      else if (this.#underWay <= 1) this.#draw(); // a switch that was pressed goes back
      if (isRefused) this.#refused();
      return null;
    } finally {
      if (!signal.aborted) this.#underWay = Math.max(0, this.#underWay - 1);
    }
  }

  #offerAgain(isRefused) {
    const focus = () => this.shadowRoot.querySelector(".again, .body summary, .body input")?.focus();
    const again = el("button", { class: "again", type: "button", text: this.#words.say("tryAgain"), on: { click: () => this.#begin().then(focus) } });
    this.#body.replaceChildren(...(isRefused ? [] : [again])); // with another token it begins by itself
    this.#body.setAttribute("aria-busy", false);
  }

  // One after the other: of two answers on their way at once, the older one could come last. `said`: what was chosen, in
  // words.
  async #choose(choice, said) {
    const { signal } = this.#stop;
    if (this.#underWay === 0) this.#banner.textContent = "";
    this.#underWay += 1;
    const answer = this.#queue.then(() => (signal.aborted ? null : this.#ask(signal, () => this.#server.choose(choice, this.#words.locale))));
    this.#queue = answer.catch(() => null);
    const saved = await answer;
    if (!saved) return;
    const { undo } = saved;
    this.#toast.show(said, undo && choice.undo === undefined ? () => this.#choose({ undo }, this.#words.say("undone")) : null);
    this.#tell("notifier-preferences-change", { choice });
  }

  #draw() {
    const root = this.shadowRoot;
    const focused = root.activeElement?.dataset.name;
    if (this.getAttribute("open") === "all" && this.#body.childElementCount === 0) for (const { category } of this.#shown.sections) this.#open.add(category);
    const { signal } = this.#stop; // a time that was typed may be saved when another person's token is there already
    const choose = (choice, said) => signal.aborted || this.#choose(choice, said);
    const options = { words: this.#words, open: this.#open, more: this.#more, redraw: () => this.#draw(), choose };
    const isTyping = root.activeElement?.matches("input[type=time]"); // what it holds is newer than any answer
    if (isTyping) this.#body.firstChild.replaceWith(grid(this.#shown, options));
    else this.#body.replaceChildren(grid(this.#shown, options), times(this.#shown, options));
    this.#body.setAttribute("aria-busy", false);
    if (focused) root.querySelector(`[data-name="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { bubbles: true, composed: true, detail }));
  }
}
