// What narrows a list: words, told a moment after the last key, and a category.

import { el, icon } from "./dom.js";

const PAUSE_MS = 250;
const MAX_CHARACTERS = 200; // the server's limit

const CATEGORIES = [
  ["", "All categories"],
  ["transactional", "Transactional"],
  ["marketing", "Marketing"],
  ["social", "Social"],
  ["system", "System"],
];

export class Search {
  #timer = null;
  #tell;
  #words;
  #category;

  // `tell({q, category})` says what is wanted now, however often the same.
  constructor({ q, category }, tell) {
    this.#tell = () => {
      clearTimeout(this.#timer);
      tell(this.wanted);
    };
    this.#words = el("input", { class: "words-wanted", type: "search", placeholder: "Search", "aria-label": "Search notifications", maxlength: MAX_CHARACTERS, autocomplete: "off", dir: "auto" });
    this.#category = el("select", { class: "category", "aria-label": "Category" }, ...CATEGORIES.map(([value, text]) => el("option", { value, text })));
    this.show({ q, category });
    this.#words.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(this.#tell, PAUSE_MS);
    });
    this.#words.addEventListener("keydown", (event) => this.#onKey(event));
    this.#category.addEventListener("change", this.#tell);
    this.element = el("div", { class: "narrow" }, el("div", { class: "field" }, icon("search", 16), this.#words), this.#category);
  }

  get wanted() {
    return { q: this.#words.value.trim(), category: this.#category.value };
  }

  show({ q, category }) {
    this.#words.value = q;
    this.#category.value = category;
  }

  focus() {
    this.#words.focus();
    this.#words.select();
  }

  #onKey(event) {
    if (event.key === "Enter") this.#tell();
    if (event.key !== "Escape" || this.#words.value === "") return;
    event.preventDefault();
    event.stopPropagation(); // the first one clears the words, the next one closes the panel
    this.#words.value = "";
    this.#tell();
  }
}
