// Why an item came, told in place: a page that embeds the inbox is not left for ours, which would ask to sign in there.

import { el, safeUrl } from "./dom.js";

export async function tellWhy(float, anchor, item, { server, words }) {
  const { title, language, sentences } = await server.why(item.id, words.locale).catch(() => ({ sentences: [words.say("whyFailed")] }));
  const url = safeUrl(item.why, server.base);
  float.open(
    anchor,
    words.say("actionWhy"),
    el("p", { class: "float-title", text: words.say("actionWhy") }),
    el("div", { class: "reasons", lang: language }, ...[title, ...sentences].filter(Boolean).map((text) => el("p", { text }))),
    url ? el("a", { class: "offer", href: url, target: "_blank", rel: "noopener", text: words.say("whyChange") }) : null,
  );
}
