// Why an item came, told in place: a page that embeds the inbox is not left for ours, which would ask to sign in there.

import { el, safeUrl } from "./dom.js";
import { WHY } from "./row.js";

export async function tellWhy(float, anchor, item, server) {
  const { title, language, sentences } = await server.why(item.id).catch(() => ({ sentences: ["The reason could not be loaded. Try again."] }));
  const url = safeUrl(item.why, server.base);
  float.open(
    anchor,
    WHY,
    el("p", { class: "float-title", text: WHY }),
    el("div", { class: "reasons", lang: language }, ...[title, ...sentences].filter(Boolean).map((text) => el("p", { text }))),
    url ? el("a", { class: "offer", href: url, target: "_blank", rel: "noopener", text: "Change it (opens a new window)" }) : null,
  );
}
