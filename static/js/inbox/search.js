// What narrows a list: words, told a moment after the last key, and a category.

import { el, icon } from "./dom.js";
import { named } from "./words.js";

const PAUSE_MS = 250;
export const MAX_CHARACTERS = 200; // the server's limit

export const CATEGORIES = ["transactional", "marketing", "social", "system"];

export class Search {
  #timer = null;
  #tell;
  #wanted;
  #category;

  // `tell({q, category})` says what is wanted now, however often the same.
  constructor({ q, category }, words, tell) {
    this.#tell = () => {
      clearTimeout(this.#timer);
      tell(this.wanted);
    };
    this.#wanted = el("input", { class: "words-wanted", part: "search", type: "search", placeholder: words.say("search"), "aria-label": words.say("searchNotifications"), maxlength: MAX_CHARACTERS, autocomplete: "off", dir: "auto" });
    this.#category = el("select", { class: "category", part: "category", "aria-label": words.say("category") }, ...["", ...CATEGORIES].map((value) => el("option", { value, text: words.say(value ? named("category", value) : "categoriesAll") })));
    this.show({ q, category });
    this.#wanted.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(this.#tell, PAUSE_MS);
    });
    this.#wanted.addEventListener("keydown", (event) => this.#onKey(event));
    this.#category.addEventListener("change", this.#tell);
    this.element = el("div", { class: "narrow" }, el("div", { class: "field" }, icon("search", 16), this.#wanted), this.#category);
  }

  get wanted() {
    return { q: this.#wanted.value.trim(), category: this.#category.value };
  }

  show({ q, category }) {
    this.#wanted.value = q;
    this.#category.value = category;
  }

  focus() {
    this.#wanted.focus();
    this.#wanted.select();
  }

  #onKey(event) {
    if (event.key === "Enter") this.#tell();
    if (event.key !== "Escape" || this.#wanted.value === "") return;
    event.preventDefault();
    event.stopPropagation(); // the first one clears the words, the next one closes the panel
    this.#wanted.value = "";
    this.#tell();
  }
}
