// All that can be done with one item, in words: for fingers, which cannot hover.

import { el, icon, safeUrl } from "./dom.js";
import { offer } from "./float.js";

// `act(command)` does it.
export function openMenu(float, anchor, item, { act, server, words, isSelected }) {
  const line = (name, label, command) =>
    offer(words.say(label), () => {
      float.close();
      act(command);
    }, { mark: icon(name) }); // prettier-ignore
  const why = safeUrl(item.why, server.base);
  const reason = server.isEmbedded ? line("why", "action_why", "why") : why ? el("a", { class: "offer", href: why }, icon("why"), el("span", { text: words.say("action_why") })) : null;
  const lines = [
    item.read_at ? line("unread", "action_unread", "unread") : line("check", "action_read", "read"),
    item.archived_at ? line("unarchive", "action_move_back_to_inbox", "unarchive") : line("archive", "action_archive", "archive"),
    item.snoozed_until && !item.archived_at ? line("unarchive", "action_bring_back_now", "unsnooze") : null,
    item.archived_at ? null : line("snooze", "action_snooze_until", "snooze"),
    line("select", isSelected ? "action_unselect" : "action_select", "select"),
    reason,
  ];
  float.open(anchor, words.say("actions"), ...lines.filter(Boolean));
}
