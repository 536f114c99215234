// One item as a row. Draws nothing but itself; `data-do` names what a click on a part means, and `rows.js` listens.

import { el, icon, safeUrl } from "./dom.js";
import { ago, exactly, moment } from "./when.js";

export const WHY = "Why did I get this?";

// `isEmbedded`: the reason is told in place, since our own pages would want a sign-in there. `isOpen`: all of its text is shown. `isSelected`: its box is ticked.
export function row(item, { base, isEmbedded, isOpen, isSelected }) {
  const at = new Date(item.created_at);
  const url = safeUrl(item.action?.url, base);
  const titleId = `t-${item.id}`;
  const title = url
    ? el("a", { class: "title", id: titleId, href: url, dir: "auto", text: item.title, data: { do: "open" } })
    : el("button", { class: "title", id: titleId, type: "button", dir: "auto", "aria-expanded": isOpen, text: item.title, data: { do: "open" } });
  const article = el(
    "article",
    { class: "item", "aria-labelledby": titleId },
    el(
      "label",
      { class: "pick" },
      el("input", { class: "box", type: "checkbox", "aria-label": `Select: ${item.title}`, checked: isSelected, data: { do: "select" } }),
      picture(item, base),
    ),
    el(
      "div",
      { class: "words" },
      el(
        "div",
        { class: "top" },
        el("h3", {}, title, item.read_at ? null : el("span", { class: "sr", text: "(unread)" })),
        el("time", { datetime: item.created_at, title: exactly(at), text: ago(at) }),
      ),
      item.snoozed_until && !item.archived_at ? el("p", { class: "until-when", text: `Snoozed until ${moment(new Date(item.snoozed_until))}` }) : null,
      item.body ? el("p", { class: "body", dir: "auto", text: item.body }) : null,
      url && item.action.label ? el("a", { class: "action", href: url, dir: "auto", text: item.action.label, data: { do: "open" } }) : null,
    ),
    tools(item, base, isEmbedded),
    el("button", { class: "dots", type: "button", "aria-haspopup": "dialog", "aria-expanded": "false", "aria-label": `Actions: ${item.title}`, data: { do: "menu" } }, icon("dots", 20)),
  );
  const classes = ["row", item.read_at ? "" : "is-unread", isOpen ? "is-open" : "", isSelected ? "is-selected" : ""];
  return el("li", { class: classes.filter(Boolean).join(" "), data: { id: item.id } }, article);
}

export function refreshTimes(root) {
  const now = new Date();
  for (const time of root.querySelectorAll("time")) time.textContent = ago(new Date(time.dateTime), now);
}

function tools(item, base, isEmbedded) {
  const tool = (command, name, words) =>
    el("button", { class: "tool", type: "button", title: words, "aria-label": `${words}: ${item.title}`, data: { do: command } }, icon(name));
  const why = isEmbedded ? null : safeUrl(item.why, base);
  return el(
    "div",
    { class: "tools" },
    isEmbedded ? tool("why", "why", WHY) : null,
    why ? el("a", { class: "tool", href: why, title: WHY, "aria-label": `${WHY}: ${item.title}` }, icon("why")) : null,
    item.read_at ? tool("unread", "unread", "Mark as unread") : tool("read", "check", "Mark as read"),
    item.archived_at ? null : item.snoozed_until ? tool("unsnooze", "unarchive", "Bring back now") : tool("snooze", "snooze", "Snooze"),
    item.archived_at ? tool("unarchive", "unarchive", "Move back to the inbox") : tool("archive", "archive", "Archive"),
  );
}

function picture(item, base) {
  const holder = el("span", { class: "picture", "aria-hidden": "true" });
  const url = safeUrl(item.image, base);
  if (!url) {
    holder.append(icon(item.category, 20));
    return holder;
  }
  const image = el("img", { src: url, alt: "", loading: "lazy", referrerpolicy: "no-referrer" });
  image.addEventListener("error", () => image.replaceWith(icon(item.category, 20)));
  holder.append(image);
  return holder;
}
