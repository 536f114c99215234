// One item as a row. Says what the person did with it through `act(mark, item)`; draws nothing but itself.

import { el, icon, safeUrl } from "./dom.js";
import { ago, exactly } from "./when.js";

export function row(item, { server, act }) {
  const at = new Date(item.created_at);
  const url = safeUrl(item.action?.url, server.base);
  const titleId = `t-${item.id}`;
  const open = () => {
    if (!item.read_at) act("read", item);
  };
  const title = url
    ? el("a", { class: "title", id: titleId, href: url, text: item.title, on: { click: open } })
    : el("button", { class: "title", id: titleId, type: "button", text: item.title, on: { click: open } });

  const why = safeUrl(item.why, server.base);
  const foot = el(
    "div",
    { class: "foot" },
    url && item.action.label ? el("a", { class: "action", href: url, text: item.action.label, on: { click: open } }) : null,
    el(
      "div",
      { class: "tools" },
      why ? el("a", { class: "tool", href: why, title: "Why did I get this?", "aria-label": `Why did I get this? ${item.title}` }, icon("why")) : null,
      tool(item.read_at ? "unread" : "check", item.read_at ? "Mark as unread" : "Mark as read", item, () => act(item.read_at ? "unread" : "read", item)),
      item.archived_at
        ? tool("unarchive", "Move back to the inbox", item, () => act("unarchive", item))
        : tool("archive", "Archive", item, () => act("archive", item)),
    ),
  );

  const article = el(
    "article",
    { class: "item", "aria-labelledby": titleId },
    picture(item, server),
    el(
      "div",
      { class: "words" },
      el(
        "div",
        { class: "top" },
        el("h3", {}, title, item.read_at ? null : el("span", { class: "sr", text: "(unread)" })),
        el("time", { datetime: item.created_at, title: exactly(at), text: ago(at) }),
      ),
      item.body ? el("p", { class: "body", text: item.body }) : null,
      foot,
    ),
  );
  return el("li", { class: item.read_at ? "row" : "row is-unread", data: { id: item.id } }, article);
}

export function refreshTimes(root) {
  const now = new Date();
  for (const time of root.querySelectorAll("time")) time.textContent = ago(new Date(time.dateTime), now);
}

function tool(name, words, item, handler) {
  return el("button", { class: "tool", type: "button", title: words, "aria-label": `${words}: ${item.title}`, data: { mark: name }, on: { click: handler } }, icon(name));
}

function picture(item, server) {
  const holder = el("div", { class: "picture", data: { category: item.category }, "aria-hidden": "true" });
  const url = safeUrl(item.image, server.base);
  if (!url) {
    holder.append(icon(item.category, 20));
    return holder;
  }
  const image = el("img", { src: url, alt: "", loading: "lazy", referrerpolicy: "no-referrer" });
  image.addEventListener("error", () => image.replaceWith(icon(item.category, 20)));
  holder.append(image);
  return holder;
}
