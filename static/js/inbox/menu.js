// All that can be done with one item, in words: for fingers, which cannot hover.

import { el, icon, safeUrl } from "./dom.js";
import { offer } from "./float.js";
import { WHY } from "./row.js";

// `act(command)` does it.
export function openMenu(float, anchor, item, { act, server, isSelected }) {
  const line = (name, words, command) =>
    offer(words, () => {
      float.close();
      act(command);
    }, { mark: icon(name) }); // prettier-ignore
  const why = safeUrl(item.why, server.base);
  const reason = server.isEmbedded ? line("why", WHY, "why") : why ? el("a", { class: "offer", href: why }, icon("why"), el("span", { text: WHY })) : null;
  const lines = [
    item.read_at ? line("unread", "Mark as unread", "unread") : line("check", "Mark as read", "read"),
    item.archived_at ? line("unarchive", "Move back to the inbox", "unarchive") : line("archive", "Archive", "archive"),
    item.snoozed_until && !item.archived_at ? line("unarchive", "Bring back now", "unsnooze") : null,
    item.archived_at ? null : line("snooze", "Snooze …", "snooze"),
    line("select", isSelected ? "Unselect" : "Select", "select"),
    reason,
  ];
  float.open(anchor, "Actions", ...lines.filter(Boolean));
}
