// What stands in the place of rows: while they are loading, when there are none, when they could not be loaded.

import { el, icon } from "./dom.js";
import { named } from "./words.js";

const PICTURES = { all: "bell", unread: "checks", snoozed: "snooze", archived: "archive" };

export function empty({ filter, category, q }, words, showEverything) {
  if (!q && !category) return notice(PICTURES[filter], words.say(named("empty", filter)), words.say(`${named("empty", filter)}More`));
  const more = q ? words.say(category ? "emptySearchInCategory" : "emptySearch", { words: q }) : words.say("emptyCategory");
  return notice("search", words.say("notFound"), more, button(words.say("showEverything"), showEverything));
}

export function failed(words, again) {
  return notice("offline", words.say("loadFailed"), words.say("loadFailedMore"), button(words.say("tryAgain"), again));
}

export function skeletons(words) {
  const bar = (name) => el("span", { class: `bar ${name}` });
  const one = () => el("div", { class: "skeleton", "aria-hidden": "true" }, bar("round"), el("div", {}, bar("wide"), bar("mid")));
  return [el("p", { class: "sr", text: words.say("loading") }), ...Array.from({ length: 5 }, one)];
}

function notice(name, title, text, offer) {
  return el("div", { class: "notice", part: "notice" }, el("span", { class: "notice-icon" }, icon(name, 28)), el("p", { class: "notice-title", text: title }), el("p", { text }), offer);
}

function button(text, handler) {
  return el("button", { class: "again", type: "button", text, on: { click: handler } });
}
