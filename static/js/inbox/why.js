// Why an item came, told in place: a page that embeds the inbox is not left for ours, which would ask to sign in there.

import { el, safeUrl } from "./dom.js";

// Opens at once: who has gone on meanwhile is not interrupted by an answer that is late.
export async function tellWhy(float, anchor, item, { server, words }) {
  const reasons = el("div", { class: "reasons", role: "status" }, el("p", { text: words.say("loading") }));
  const url = safeUrl(item.why, server.base);
  float.open(
    anchor,
    words.say("actionWhy"),
    el("p", { class: "float-title", text: words.say("actionWhy") }),
    reasons,
    url ? el("a", { class: "offer", href: url, target: "_blank", rel: "noopener", text: words.say("whyChange") }) : null,
  );
  const { title, description, language, sentences } = await server.why(item.id, words.locale).catch(() => ({ sentences: [words.say("whyFailed")] }));
  if (language) reasons.lang = language;
  reasons.replaceChildren(...[title, description, ...sentences].filter(Boolean).map((text) => el("p", { text })));
  float.grown();
}
