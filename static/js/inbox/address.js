// Where in the inbox one is, kept in the page's own address, so that a reload, a bookmark or the way back from a link shows
// the same: the tab, the category, the words. How far one has scrolled is kept by the browser's session.

import { CATEGORIES, MAX_CHARACTERS } from "./search.js";
import { FILTERS } from "./tabs.js";

const PARAMETERS = { filter: "tab", category: "category", q: "search" };
const RETURNS = ["back_forward", "reload"];

// → the view that the page's address asks for; what it does not know is left out.
export function readView() {
  const asked = new URLSearchParams(location.search);
  const filter = asked.get(PARAMETERS.filter);
  const category = asked.get(PARAMETERS.category);
  return {
    filter: FILTERS.includes(filter) ? filter : "all",
    category: CATEGORIES.includes(category) ? category : "",
    q: (asked.get(PARAMETERS.q) ?? "").slice(0, MAX_CHARACTERS).trim(),
  };
}

// A tab or a category is a step that "back" takes back; each further letter of a search is not.
export function writeView(view) {
  const before = readView();
  const url = new URL(location.href);
  for (const [name, parameter] of Object.entries(PARAMETERS)) {
    const value = name === "filter" && view.filter === "all" ? "" : view[name];
    if (value) url.searchParams.set(parameter, value);
    else url.searchParams.delete(parameter);
  }
  if (url.href === location.href) return;
  const isStep = view.filter !== before.filter || view.category !== before.category;
  history[isStep ? "pushState" : "replaceState"](history.state, "", url);
}

// `place`: {loaded, id, top}: how many items were loaded, and which row stood how far below the window's upper edge.
export function keepPlace(place) {
  try {
    sessionStorage.setItem(key(), JSON.stringify(place));
  } catch {
    // Then the list begins at its top
  }
}

// → the place, if this page was left there and has been come back to; else null.
export function placeToReturnTo() {
  try {
    const [arrival] = performance.getEntriesByType("navigation");
    return RETURNS.includes(arrival?.type) ? JSON.parse(sessionStorage.getItem(key())) : null;
  } catch {
    return null;
  }
}

function key() {
  return `notifier-inbox ${location.pathname}${location.search}`;
}
