// What stands in the place of rows: while they are loading, when there are none, when they could not be loaded.

import { el, icon } from "./dom.js";

const EMPTY = {
  all: ["bell", "Nothing here yet", "New notifications appear here the moment they happen."],
  unread: ["checks", "You are all caught up", "Everything has been read."],
  snoozed: ["snooze", "Nothing snoozed", "Notifications you snooze wait here until their time."],
  archived: ["archive", "Nothing archived", "Notifications you archive are kept here."],
};

export function empty({ filter, category, q }, showEverything) {
  if (!q && !category) return notice(...EMPTY[filter]);
  const words = q ? `Nothing matches “${q}”${category ? " in this category" : ""}.` : "There is nothing in this category here.";
  return notice("search", "Nothing found", words, button("Show everything", showEverything));
}

export function failed(again) {
  return notice("offline", "We could not load your notifications", "Check your connection, then try again.", button("Try again", again));
}

export function skeletons() {
  const bar = (name) => el("span", { class: `bar ${name}` });
  const one = () => el("div", { class: "skeleton", "aria-hidden": "true" }, bar("round"), el("div", {}, bar("wide"), bar("mid")));
  return [el("p", { class: "sr", text: "Loading" }), ...Array.from({ length: 5 }, one)];
}

function notice(name, title, words, offer) {
  return el("div", { class: "notice" }, el("span", { class: "notice-icon" }, icon(name, 28)), el("p", { class: "notice-title", text: title }), el("p", { text: words }), offer);
}

function button(text, handler) {
  return el("button", { class: "again", type: "button", text, on: { click: handler } });
}
