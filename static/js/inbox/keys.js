// The inbox's keys. They belong to the element that has the focus, or with `isPageWide` to the whole page, never to a
// field one writes in. Single letters can be switched off in the help (WCAG 2.1.4) and stay off in that browser.

import { isStored, store } from "./stored.js";

export const KEYS = [
  { keys: ["j"], command: "next", label: "keyNext" },
  { keys: ["k"], command: "previous", label: "keyPrevious" },
  { keys: ["Enter"], label: "keyOpen" },
  { keys: ["e"], command: "archive", label: "keyArchive" },
  { keys: ["u"], command: "read", label: "keyRead" },
  { keys: ["s"], command: "snooze", label: "keySnooze" },
  { keys: ["x"], command: "select", label: "keySelect" },
  { keys: ["z"], command: "undo", label: "keyUndo" },
  { keys: ["/"], command: "search", label: "keySearch" },
  { keys: ["Esc"], label: "keyEscape" },
  { keys: ["?"], command: "help", label: "keyHelp" },
];

const COMMANDS = new Map(KEYS.filter((each) => each.command).flatMap(({ keys, command }) => keys.map((key) => [key, command])));
const STORED = "notifier-inbox-keys";

export function areLettersOn() {
  return isStored(STORED, true);
}

export function switchLetters(isOn) {
  store(STORED, isOn);
}

// `act(command, event)` → whether there was anything to do.
export function listenForKeys(host, { isPageWide, act, signal }) {
  const onKey = (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isWriting(event.composedPath()[0])) return;
    if (isPageWide && belongsToAnother(event, host)) return;
    const command = COMMANDS.get(event.key.length === 1 ? event.key.toLowerCase() : event.key);
    if (command && areLettersOn() && act(command, event)) event.preventDefault();
  };
  (isPageWide ? document : host).addEventListener("keydown", onKey, { signal });
}

function isWriting(target) {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target.matches("textarea, select, input:not([type=checkbox])");
}

function belongsToAnother(event, host) {
  return event.composedPath().some((element) => element !== host && (element.localName === host.localName || element.localName === "dialog"));
}
