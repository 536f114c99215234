// All that can be done with one item, in words: for fingers, which cannot hover.

import { el, icon, safeUrl } from "./dom.js";
import { offer } from "./float.js";

// `act(command)` does it.
export function openMenu(float, anchor, item, { act, server, words, isSelected }) {
  const line = (name, label, command) =>
    offer(words.say(label), () => {
      float.close();
      act(command);
    }, { mark: icon(name) });
  const why = safeUrl(item.why, server.base);
  const reason = server.isEmbedded ? line("why", "actionWhy", "why") : why ? el("a", { class: "offer", href: why }, icon("why"), el("span", { text: words.say("actionWhy") })) : null;
  const lines = [
    item.read_at ? line("unread", "actionUnread", "unread") : line("check", "actionRead", "read"),
    item.archived_at ? line("unarchive", "actionMoveBackToInbox", "unarchive") : line("archive", "actionArchive", "archive"),
    item.snoozed_until && !item.archived_at ? line("unarchive", "actionBringBackNow", "unsnooze") : null,
    item.archived_at ? null : line("snooze", "actionSnoozeUntil", "snooze"),
    line("select", isSelected ? "actionUnselect" : "actionSelect", "select"),
    reason,
  ];
  float.open(anchor, words.say("actions"), ...lines.filter(Boolean));
}
