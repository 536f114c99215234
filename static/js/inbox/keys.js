// The inbox's keys. They belong to the element that has the focus, or with `isPageWide` to the whole page, never to a
// field one writes in. Single letters can be switched off in the help (WCAG 2.1.4) and stay off in that browser.

export const KEYS = [
  { keys: ["j"], command: "next", words: "Next notification" },
  { keys: ["k"], command: "previous", words: "Previous notification" },
  { keys: ["Enter"], words: "Open it" },
  { keys: ["e"], command: "archive", words: "Archive, or move back" },
  { keys: ["u"], command: "read", words: "Mark as read or unread" },
  { keys: ["s"], command: "snooze", words: "Snooze" },
  { keys: ["x"], command: "select", words: "Select; with Shift, up to here" },
  { keys: ["z"], command: "undo", words: "Undo" },
  { keys: ["/"], command: "search", words: "Search" },
  { keys: ["Esc"], words: "Leave the selection, the search or the panel" },
  { keys: ["?"], command: "help", words: "This help" },
];

const COMMANDS = new Map(KEYS.filter((each) => each.command).flatMap(({ keys, command }) => keys.map((key) => [key, command])));
const STORED = "notifier-inbox-keys";

export function areLettersOn() {
  try {
    return localStorage.getItem(STORED) !== "off";
  } catch {
    return true; // storage is closed to us here
  }
}

export function switchLetters(isOn) {
  try {
    localStorage.setItem(STORED, isOn ? "on" : "off");
  } catch {
    // then it holds for no longer than the help is open
  }
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
