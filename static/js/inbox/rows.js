// The rows on the screen, under the heading of their day. Touches those only that changed, so that focus and scroll stay
// where they are, and keeps one row in the tab order: arrow keys, j and k move to the others. Rows out of sight cost no
// layout (content-visibility).

import { Custom } from "./custom.js";
import { grouped } from "./days.js";
import { el } from "./dom.js";
import { refreshTimes, row } from "./row.js";

export class Rows {
  element = el("ul", { class: "rows", part: "rows", "aria-describedby": "rows-hint" });
  #elements = new Map(); // id → li
  #drawn = new Map(); // id → what its row shows
  #open = new Set(); // ids whose text is shown in full
  #unfolded = new Set(); // ids of rows that show their repeats
  #days = new Map(); // a day's number → li
  #items = [];
  #groups = [];
  #current = null;
  #base;
  #isEmbedded;
  #selection;
  #words;
  #custom;
  #fallback;

  // `act(command, id, event)`: a click on a part that does something. `fallback()` takes the focus when no row is left.
  // `host`: the element whose page may draw the rows' words itself; `command(command, id)` does what a tool would.
  constructor({ host, base, isEmbedded, selection, words, act, command, fallback }) {
    this.#base = base;
    this.#isEmbedded = isEmbedded;
    this.#selection = selection;
    this.#words = words;
    this.#custom = new Custom(host, command);
    this.#fallback = fallback;
    const onClick = (event) => {
      const found = event.target.closest("[data-do]");
      const part = this.element.contains(found) ? found : null; // else it is the page's own
      if (part?.dataset.do === "repeats") this.#toggleRepeats(part.closest("li").dataset.id);
      else if (part && (event.type === "click" || part.localName === "a")) act(part.dataset.do, part.closest("li").dataset.id, event);
      else if (!part && event.type === "click") this.#openCustom(event);
    };
    this.element.addEventListener("click", onClick);
    this.element.addEventListener("auxclick", (event) => event.button === 1 && onClick(event)); // opened in a tab of its own
    this.element.addEventListener("focusin", (event) => this.#makeCurrent(event.target.closest(".row")?.dataset.id));
    this.element.addEventListener("keydown", (event) => this.#onArrow(event));
  }

  get current() {
    return this.#current;
  }

  // The part of the current row that a panel opens beside.
  anchor(id = this.#current) {
    const parts = this.#elements.get(id)?.querySelectorAll("[data-do=snooze], [data-do=menu]") ?? [];
    return [...parts].find((part) => part.offsetParent !== null) ?? this.#elements.get(id)?.querySelector(".title");
  }

  // What is meant by a command for this row: the row, and those that are folded under it.
  meant(id) {
    const group = this.#unfolded.has(id) ? null : this.#groups.find(({ item }) => item.id === id);
    return [id, ...(group?.repeats ?? [])];
  }

  draw(items) {
    this.#elements.clear();
    this.#drawn.clear();
    this.#custom.clear();
    this.#items = items;
    for (const item of items) this.#make(item);
    this.#arrange();
  }

  append(items) {
    this.#items = [...this.#items, ...items];
    for (const item of items) this.#make(item);
    this.#arrange();
  }

  // `items` are all of the list, `changed` those to look at, `arriving` the ids that slide in.
  update(items, changed, arriving = []) {
    this.#items = [...items];
    const ids = new Set(changed.map((item) => item.id));
    const kept = new Set(items.map((item) => item.id));
    for (const id of ids) if (!kept.has(id)) this.#remove(id);
    for (const item of items) {
      if (!ids.has(item.id)) continue;
      const old = this.#elements.get(item.id);
      if (old && this.#drawn.get(item.id) === looks(item)) continue; // so that nothing a person holds is taken away
      const fresh = this.#make(item);
      if (old) replace(old, fresh);
      if (arriving.includes(item.id)) slideIn(fresh);
    }
    this.#arrange();
  }

  // A while later: the times, and the days when midnight has passed.
  refresh() {
    refreshTimes(this.element, this.#words.when);
    this.#days.clear();
    this.#arrange();
  }

  close() {
    this.#custom.clear();
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
    const shown = this.#shown();
    this.#focus(isIn ? (shown[shown.indexOf(element) + step] ?? element) : element);
    return true;
  }

  // Which row stands at the window's upper edge, and how far below it. → {id, top}, or null without rows.
  get place() {
    const row = this.#shown().find((each) => each.getBoundingClientRect().bottom > 0);
    return row ? { id: row.dataset.id, top: row.getBoundingClientRect().top } : null;
  }

  // Scrolls a row to where it stood. Twice: rows that come into sight get their own heights only then.
  goTo({ id, top }, isAgain = false) {
    const row = this.#elements.get(id);
    if (!row) return;
    this.#makeCurrent(id);
    window.scrollBy({ top: row.getBoundingClientRect().top - top, behavior: "instant" });
    if (!isAgain) requestAnimationFrame(() => requestAnimationFrame(() => this.goTo({ id, top }, true)));
  }

  // For a focus whose place is gone.
  refocus() {
    (this.#elements.get(this.#current)?.querySelector(".title") ?? this.#fallback()).focus();
  }

  #shown() {
    return [...this.element.querySelectorAll(".row:not([hidden])")];
  }

  #onArrow(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    if (event.key === "ArrowDown") this.move(1);
    else if (event.key === "ArrowUp") this.move(-1);
    else if (event.key === "Home") this.#focus(this.#shown()[0]);
    else if (event.key === "End") this.#focus(this.#shown().at(-1));
    else return;
    event.preventDefault();
  }

  #focus(element) {
    element.querySelector(".title").focus();
    element.scrollIntoView({ block: "nearest" });
  }

  // A click into what the page has drawn opens the row, unless it was meant for something of the page's own.
  #openCustom(event) {
    const path = event.composedPath();
    const inside = path.slice(0, path.indexOf(this.element));
    if (inside.some((part) => part instanceof Element && part.matches("a, button, input, select, textarea, label, summary"))) return;
    inside.find((part) => part instanceof Element && part.matches(".custom"))?.closest("li").querySelector(".title").click();
  }

  #toggleRepeats(id) {
    if (!this.#unfolded.delete(id)) this.#unfolded.add(id);
    this.#arrange();
  }

  #make(item) {
    const isCustom = this.#custom.draw(item, this.#words);
    const element = row(item, { base: this.#base, isEmbedded: this.#isEmbedded, isOpen: this.#open.has(item.id), isSelected: this.#selection.has(item.id), isCustom, words: this.#words });
    setTabbable(element, item.id === this.#current);
    this.#elements.set(item.id, element);
    this.#drawn.set(item.id, looks(item));
    return element;
  }

  #remove(id) {
    const old = this.#elements.get(id);
    if (!old) return;
    const hadFocus = old.contains(old.getRootNode().activeElement);
    const shown = this.#shown();
    const place = shown.indexOf(old);
    const neighbour = place < 0 ? null : (shown[place + 1] ?? shown[place - 1] ?? null);
    if (this.#current === id) this.#makeCurrent(neighbour?.dataset.id ?? null);
    this.#elements.delete(id);
    this.#drawn.delete(id);
    this.#custom.remove(id);
    old.remove();
    if (hadFocus) (neighbour?.querySelector(".title") ?? this.#fallback()).focus();
  }

  // Puts days and rows in their order, and touches none that stands right already.
  #arrange() {
    this.#groups = grouped(this.#items, this.#words.when);
    const wanted = [];
    for (const { item, day, repeats, leader } of this.#groups) {
      const element = this.#elements.get(item.id);
      if (day) wanted.push(this.#heading(day));
      element.hidden = leader !== null && !this.#unfolded.has(leader);
      element.classList.toggle("is-repeat", leader !== null);
      this.#drawRepeats(element, item.id, repeats.length);
      wanted.push(element);
    }
    const kept = new Set(wanted);
    for (const child of [...this.element.children]) if (!kept.has(child)) child.remove();
    let next = this.element.firstElementChild;
    for (const element of wanted) {
      if (element === next) next = next.nextElementSibling;
      else this.element.insertBefore(element, next);
    }
    // There is always a row that Tab leads to.
    const current = this.#elements.get(this.#current);
    if (!current || current.hidden) this.#makeCurrent(this.#shown()[0]?.dataset.id ?? null);
  }

  #heading(day) {
    const key = this.#words.when.dayNumber(day);
    if (!this.#days.has(key)) this.#days.set(key, el("li", { class: "day", part: "day" }, el("h3", { text: this.#words.when.day(day) })));
    return this.#days.get(key);
  }

  #drawRepeats(element, id, count) {
    const button = element.querySelector(".repeats");
    const isUnfolded = this.#unfolded.has(id);
    button.hidden = count === 0;
    button.textContent = count === 0 ? "" : isUnfolded ? this.#words.say("repeatsHide") : this.#words.say("repeats", { n: count });
    button.setAttribute("aria-expanded", isUnfolded);
  }

  #makeCurrent(id) {
    if (id === undefined || id === this.#current) return;
    setTabbable(this.#elements.get(this.#current), false);
    this.#current = id;
    setTabbable(this.#elements.get(id), true);
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
