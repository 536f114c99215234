// All that can be done with one item, in words: for fingers, which cannot hover.

import { el, icon, safeUrl } from "./dom.js";
import { offer } from "./float.js";

// `act(command)` does it, `base` is where the server is.
export function openMenu(float, anchor, item, { act, base, isSelected }) {
  const line = (name, words, command) =>
    offer(words, () => {
      float.close();
      act(command);
    }, { mark: icon(name) }); // prettier-ignore
  const why = safeUrl(item.why, base);
  const lines = [
    item.read_at ? line("unread", "Mark as unread", "unread") : line("check", "Mark as read", "read"),
    item.archived_at ? line("unarchive", "Move back to the inbox", "unarchive") : line("archive", "Archive", "archive"),
    item.archived_at ? null : line("snooze", "Snooze …", "snooze"),
    line("select", isSelected ? "Unselect" : "Select", "select"),
    why ? el("a", { class: "offer", href: why }, icon("why"), el("span", { text: "Why did I get this?" })) : null,
  ];
  float.open(anchor, "Actions", ...lines.filter(Boolean));
}
