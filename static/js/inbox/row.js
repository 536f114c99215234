// One item as a row. Draws nothing but itself; `data-do` names what a click on a part means, and `rows.js` listens.

import { el, icon, safeUrl } from "./dom.js";
import { iconOf, initialsOf } from "./icons.js";

// `isEmbedded`: the reason is told in place, since our own pages would want a sign-in there. `isOpen`: all of its text
// is shown. `isSelected`: its box is ticked. `isCustom`: the page draws the words itself (see custom.js).
export function row(item, { base, isEmbedded, isOpen, isSelected, isCustom, words }) {
  const at = new Date(item.created_at);
  const url = safeUrl(item.action?.url, base);
  const titleId = `t-${item.id}`;
  // Data may be of another script than an English sentence; in a right-to-left one a brand's name may come first
  const written = { dir: item.dir === "rtl" ? "rtl" : "auto", lang: item.language };
  const names = { class: isCustom ? "title is-covered" : "title", part: "title", id: titleId, ...written, text: item.title, data: { do: "open" } };
  const title = url ? el("a", { ...names, href: url }) : el("button", { ...names, type: "button", "aria-expanded": isOpen });
  const actionsOf = (action) => words.say("actionsOf", { action, title: item.title });
  const own = isCustom
    ? [el("div", { class: "custom", part: "custom" }, el("slot", { name: `item-${item.id}` }))]
    : [
        item.body ? el("p", { class: "body", part: "body", ...written, text: item.body }) : null,
        links(item, base, written),
      ];
  const article = el(
    "article",
    { class: "item", part: item.read_at ? "item" : "item unread", "aria-labelledby": titleId },
    el(
      "label",
      { class: "pick" },
      el("input", { class: "box", type: "checkbox", "aria-label": actionsOf(words.say("actionSelect")), checked: isSelected, data: { do: "select" } }),
      picture(item, base),
    ),
    el(
      "div",
      { class: "words" },
      el("h4", {}, title, item.read_at ? null : el("span", { class: "sr", text: words.say("unread") })),
      el("time", { part: "time", dir: "auto", datetime: item.created_at, title: words.when.exactly(at), text: words.when.ago(at) }),
      el(
        "div",
        { class: "rest" },
        isSnoozed(item) ? snoozed(item, words, actionsOf) : null,
        ...own,
        el("button", { class: "repeats", part: "repeats", type: "button", hidden: true, data: { do: "repeats" } }),
      ),
      tools(item, { base, isEmbedded, words, actionsOf }),
    ),
    el("button", { class: "dots", type: "button", "aria-haspopup": "dialog", "aria-expanded": "false", "aria-label": actionsOf(words.say("actions")), data: { do: "menu" } }, icon("dots", 20)),
  );
  const classes = ["row", item.read_at ? "" : "is-unread", isOpen ? "is-open" : "", isSelected ? "is-selected" : ""];
  return el("li", { class: classes.filter(Boolean).join(" "), part: "row", data: { id: item.id } }, article);
}

// Each is known to the page by the first of its classes.
function links(item, base, written) {
  const shown = [["action", item.action], ["secondary-action action", item.secondary_action]].map(([names, action]) => {
    const href = action?.label ? safeUrl(action.url, base) : null;
    return href && el("a", { class: names, part: names, href, ...written, text: action.label, data: { do: "open" } });
  });
  return shown.some(Boolean) ? el("p", { class: "links" }, ...shown.filter(Boolean)) : null;
}

export function refreshTimes(root, when) {
  const now = new Date();
  for (const time of root.querySelectorAll(".row time")) time.textContent = when.ago(new Date(time.dateTime), now);
}

function isSnoozed(item) {
  return Boolean(item.snoozed_until) && !item.archived_at;
}

function snoozed(item, words, actionsOf) {
  const back = words.say("actionBringBack");
  return el(
    "p",
    { class: "until-when" },
    el("span", { text: words.say("snoozedUntil", { time: words.when.moment(new Date(item.snoozed_until)) }) }),
    el("button", { class: "action", part: "action", type: "button", text: back, "aria-label": actionsOf(back), data: { do: "unsnooze" } }),
  );
}

function tools(item, { base, isEmbedded, words, actionsOf }) {
  const tool = (command, name, label, kind = "") => {
    const action = words.say(label);
    return el("button", { class: `tool ${kind}`.trim(), part: "tool", type: "button", title: action, "aria-label": actionsOf(action), data: { do: command } }, icon(name));
  };
  const why = isEmbedded ? null : safeUrl(item.why, base);
  const reason = words.say("actionWhy");
  return el(
    "div",
    { class: "tools", part: "tools" },
    isEmbedded ? tool("why", "why", "actionWhy", "is-wide") : null,
    why ? el("a", { class: "tool is-wide", part: "tool", href: why, title: reason, "aria-label": actionsOf(reason) }, icon("why")) : null,
    item.read_at ? tool("unread", "unread", "actionUnread") : tool("read", "check", "actionRead"),
    item.archived_at ? null : tool("snooze", "snooze", "actionSnooze", "is-wide"),
    item.archived_at ? tool("unarchive", "unarchive", "actionMoveBackToInbox") : tool("archive", "archive", "actionArchive"),
    el("button", { class: "tool is-narrow", part: "tool", type: "button", title: words.say("actions"), "aria-haspopup": "dialog", "aria-expanded": "false", "aria-label": actionsOf(words.say("actions")), data: { do: "menu" } }, icon("dots")),
  );
}

function picture(item, base) {
  const holder = el("span", { class: "picture", part: "picture", "aria-hidden": "true" });
  const initials = initialsOf(item);
  const fallback = () => (initials ? el("span", { class: "initials", text: initials }) : icon(iconOf(item), 20));
  const url = safeUrl(item.image, base);
  if (!url) {
    holder.append(fallback());
    return holder;
  }
  const image = el("img", { src: url, alt: "", loading: "lazy", referrerpolicy: "no-referrer" });
  image.addEventListener("error", () => image.replaceWith(fallback()));
  holder.append(image);
  return holder;
}
