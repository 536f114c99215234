// The rows on the screen. Touches those only that changed, so that focus and scroll stay where they are, and keeps one
// row in the tab order: arrow keys, j and k move to the others. Rows out of sight cost no layout (content-visibility).

import { el } from "./dom.js";
import { row } from "./row.js";

export class Rows {
  element = el("ul", { class: "rows", "aria-describedby": "rows-hint" });
  #elements = new Map(); // id → li
  #drawn = new Map(); // id → what its row shows
  #open = new Set(); // ids whose text is shown in full
  #current = null;
  #base;
  #isEmbedded;
  #selection;
  #fallback;

  // `act(command, id, event)`: a click on a part that does something. `fallback()` takes the focus when no row is left.
  constructor({ base, isEmbedded, selection, act, fallback }) {
    this.#base = base;
    this.#isEmbedded = isEmbedded;
    this.#selection = selection;
    this.#fallback = fallback;
    const onClick = (event) => {
      const part = event.target.closest("[data-do]");
      if (part && (event.type === "click" || part.localName === "a")) act(part.dataset.do, part.closest("li").dataset.id, event);
    };
    this.element.addEventListener("click", onClick);
    this.element.addEventListener("auxclick", (event) => event.button === 1 && onClick(event)); // opened in a tab of its own
    this.element.addEventListener("focusin", (event) => this.#makeCurrent(event.target.closest("li")?.dataset.id));
    this.element.addEventListener("keydown", (event) => this.#onArrow(event));
  }

  get current() {
    return this.#current;
  }

  // The part of the current row that a panel opens beside.
  anchor(id = this.#current) {
    const parts = this.#elements.get(id)?.querySelectorAll("[data-do=snooze], .dots") ?? [];
    return [...parts].find((part) => part.offsetParent !== null) ?? this.#elements.get(id)?.querySelector(".title");
  }

  draw(items) {
    this.#elements.clear();
    this.#drawn.clear();
    const fresh = items.map((item) => this.#make(item));
    this.element.replaceChildren(...fresh);
    this.#settle();
  }

  append(items) {
    this.element.append(...items.map((item) => this.#make(item)));
    this.#settle();
  }

  // `items` are all of the list, `changed` those to look at, `arriving` the ids that slide in.
  update(items, changed, arriving = []) {
    const ids = new Set(changed.map((item) => item.id));
    const kept = new Set(items.map((item) => item.id));
    for (const id of ids) if (!kept.has(id)) this.#remove(id);
    // From the top, so that all rows above one are in their places when its turn comes.
    items.forEach((item, place) => {
      if (!ids.has(item.id)) return;
      const old = this.#elements.get(item.id);
      if (old && this.#drawn.get(item.id) === looks(item)) return; // so that nothing a person holds is taken away
      const fresh = this.#make(item);
      if (old) replace(old, fresh);
      else this.element.insertBefore(fresh, this.element.children[place] ?? null);
      if (arriving.includes(item.id)) slideIn(fresh);
    });
    this.#settle();
  }

  // Ticks and unticks the boxes as the selection says.
  drawSelection() {
    this.element.classList.toggle("is-selecting", this.#selection.ids.size > 0);
    for (const [id, element] of this.#elements) {
      const isSelected = this.#selection.has(id);
      element.classList.toggle("is-selected", isSelected);
      element.querySelector(".box").checked = isSelected;
    }
  }

  toggleOpen(id) {
    const element = this.#elements.get(id);
    const isOpen = element.classList.toggle("is-open");
    element.querySelector(".title").setAttribute("aria-expanded", isOpen);
    if (isOpen) this.#open.add(id);
    else this.#open.delete(id);
  }

  // Moves the focus up or down; the first step goes to the current row itself. → whether there is a row to go to.
  move(step) {
    const element = this.#elements.get(this.#current);
    if (!element) return false;
    const isIn = element.contains(element.getRootNode().activeElement);
    const sibling = step > 0 ? element.nextElementSibling : element.previousElementSibling;
    this.#focus(isIn ? (sibling ?? element) : element);
    return true;
  }

  // For a focus whose place is gone.
  refocus() {
    (this.#elements.get(this.#current)?.querySelector(".title") ?? this.#fallback()).focus();
  }

  #onArrow(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const { firstElementChild: first, lastElementChild: last } = this.element;
    if (event.key === "ArrowDown") this.move(1);
    else if (event.key === "ArrowUp") this.move(-1);
    else if (event.key === "Home") this.#focus(first);
    else if (event.key === "End") this.#focus(last);
    else return;
    event.preventDefault();
  }

  #focus(element) {
    element.querySelector(".title").focus();
    element.scrollIntoView({ block: "nearest" });
  }

  #make(item) {
    const element = row(item, { base: this.#base, isEmbedded: this.#isEmbedded, isOpen: this.#open.has(item.id), isSelected: this.#selection.has(item.id) });
    setTabbable(element, item.id === this.#current);
    this.#elements.set(item.id, element);
    this.#drawn.set(item.id, looks(item));
    return element;
  }

  #remove(id) {
    const old = this.#elements.get(id);
    if (!old) return;
    const hadFocus = old.contains(old.getRootNode().activeElement);
    const neighbour = old.nextElementSibling ?? old.previousElementSibling;
    if (this.#current === id) this.#makeCurrent(neighbour?.dataset.id ?? null);
    this.#elements.delete(id);
    this.#drawn.delete(id);
    old.remove();
    if (hadFocus) (neighbour?.querySelector(".title") ?? this.#fallback()).focus();
  }

  #makeCurrent(id) {
    if (id === undefined || id === this.#current) return;
    setTabbable(this.#elements.get(this.#current), false);
    this.#current = id;
    setTabbable(this.#elements.get(id), true);
  }

  // There is always a row that Tab leads to.
  #settle() {
    if (!this.#elements.has(this.#current)) this.#makeCurrent(this.element.firstElementChild?.dataset.id ?? null);
  }
}

// When it was marked is nowhere to be seen, so the server's time may replace ours unnoticed.
function looks(item) {
  return JSON.stringify({ ...item, seen_at: null, read_at: Boolean(item.read_at), archived_at: Boolean(item.archived_at) });
}

function setTabbable(element, isTabbable) {
  for (const part of element?.querySelectorAll("a, button, input") ?? []) part.tabIndex = isTabbable ? 0 : -1;
}

// The focus stays on the same part of the row.
function replace(old, fresh) {
  const focused = old.contains(old.getRootNode().activeElement) ? old.getRootNode().activeElement : null;
  const kind = focused?.classList.contains("tool") ? [...old.querySelectorAll(".tool")].indexOf(focused) : null;
  old.replaceWith(fresh);
  if (!focused) return;
  const twin = kind === null ? fresh.querySelector(`.${focused.classList[0]}`) : fresh.querySelectorAll(".tool")[kind];
  (twin ?? fresh.querySelector(".title")).focus({ preventScroll: true });
}

function slideIn(element) {
  element.classList.add("is-arriving");
  element.addEventListener("animationend", ({ animationName }) => animationName === "glow" && element.classList.remove("is-arriving"));
}
