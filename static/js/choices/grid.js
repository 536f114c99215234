// The switches: a section for each category, folded under a sentence that says how it stands; in it a row for each type.

import { el } from "../inbox/dom.js";
import { named } from "../inbox/words.js";

// `shown` as the server's `own preferences` say it; `open`: categories that are unfolded, `more`: those that show the
// channels which their types do not use, too; both are kept up to date, and `redraw()` shows what has changed;
// `choose(choice, said)` saves.
export function grid(shown, { words, open, more, choose, redraw }) {
  const labels = new Map(shown.columns.map(({ channel, label }) => [channel, label]));
  return el("div", { class: "sections", part: "sections" }, ...shown.sections.map((section) => drawn(section, { labels, words, open, more, choose, redraw })));
}

function drawn(section, { labels, words, open, more, choose, redraw }) {
  const { category, whole, channels, rows } = section;
  const name = words.say(named("category", category));
  const isShown = ({ usual }) => usual || more.has(category);
  const details = el(
    "details",
    { class: "fold", open: open.has(category) },
    el("summary", { class: "fold-head", data: { name: category } }, el("h3", { text: name }), el("span", { class: "stand", text: standing(whole, words) })),
    el("div", { class: "overs" }, ...channels.filter((over) => !over.locked && isShown(over)).map((over) => cell({ name: `${category}:${over.channel}`, label: over.label, says: words.say("choiceAll", { category: name, channel: over.label }), over, words, choose, choice: { category, channel: over.channel } }))),
    ...rows.map((row) => drawnRow({ ...row, cells: row.cells.filter(isShown) }, { labels, words, choose })),
    rows.some((row) => row.cells.some(({ usual }) => !usual)) ? moreButton(category, { words, more, redraw }) : null,
  );
  details.addEventListener("toggle", () => (details.open ? open.add(category) : open.delete(category)));
  const over = cell({ name: `${category}:*`, label: null, says: words.say("choiceWhole", { category: name }), over: whole, words, choose, choice: { category } });
  return el("div", { class: "section", part: "section" }, over, details);
}

function moreButton(category, { words, more, redraw }) {
  const isOpen = more.has(category);
  const turn = () => {
    if (!more.delete(category)) more.add(category);
    redraw();
  };
  return el("p", { class: "more" }, el("button", { class: "offer", part: "button", type: "button", "aria-expanded": String(isOpen), text: words.say("moreChannels"), data: { name: `${category}:more` }, on: { click: turn } }));
}

function drawnRow({ type, title, description, cells }, { labels, words, choose }) {
  const id = `row-${type}`;
  const boxes = cells.map(({ channel, on, locked }) => {
    const label = labels.get(channel);
    const box = el("input", { class: "switch", part: "switch", type: "checkbox", role: "switch", checked: on, disabled: locked, "aria-label": words.say("choiceOne", { title, channel: label }), data: { name: `${type}:${channel}` } });
    box.addEventListener("change", () => choose({ switch: { on: box.checked, type, channel } }, said(box.checked, words.say("choiceOne", { title, channel: label }), words)));
    return el("label", { class: locked ? "cell is-locked" : "cell" }, box, el("span", { text: label }));
  });
  const told = description ? el("p", { class: "told", part: "description", text: description }) : null;
  const locked = cells.some((each) => each.locked) ? el("p", { class: "locked", text: words.say("choiceLocked") }) : null;
  return el("div", { class: "row", part: "row", role: "group", "aria-labelledby": id }, el("p", { class: "row-title", id, text: title }), told, locked, el("div", { class: "cells" }, ...boxes));
}

// A switch over several: partly on goes off, and nothing that is off by default is switched on.
function cell({ name, label, says, over, words, choose, choice }) {
  const isOn = over.wish === "on";
  const button = el("button", {
    class: "switch",
    part: "switch",
    type: "button",
    role: "checkbox",
    "aria-checked": { on: "true", off: "false" }[over.state] ?? "mixed",
    "aria-label": says,
    disabled: over.wish === null || over.locked,
    data: { name },
    on: { click: () => choose({ switch: { on: isOn, ...choice } }, said(isOn, says, words)) },
  });
  return label ? el("label", { class: "cell" }, button, el("span", { text: label })) : button;
}

function standing({ state, locked }, words) {
  return words.say(locked ? "choiceAlways" : named("choice", state === "mixed" ? "some" : `all${state}`));
}

function said(isOn, what, words) {
  return words.say(isOn ? "switchedOn" : "switchedOff", { what });
}
