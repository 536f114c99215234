// Defines <notifier-inbox server="https://notifier.example" token="…">, the one renderer of the inbox: on our own pages and
// on any other. docs/embedding.md tells how to use it.
//
//   server      where Notifier runs; left out on its own pages
//   token       a user's token (POST /api/v1/users/{id}/token); left out where the session cookie signs in
//   mode        "bell": a button with a badge that opens a panel; otherwise the whole inbox in place
//   inbox-url   where "Open inbox" in the bell's panel leads; left out: no such link
//   preferences-url  where "Preferences" there leads; left out: no such link
//   locale      of texts, times, numbers and plurals; left out: the language of the page around it
//   labels      texts in place of ours, as JSON (js/inbox/labels.js names them)
//   theme       "light" or "dark"; left out: as the system says
//   shortcuts   "page": the keys work wherever the focus is, not only in the inbox
//   state-in    "url" keeps the tab, the category and the search in the page's address
//   count-in    "title" puts the unread count before the document's title
//
// It says `notifier-token-expired` when the token is refused (setting a new `token` brings it back), `notifier-item-click`,
// `notifier-item-action` and `notifier-count`; all bubble. `createFeed()` is the same inbox without a look of its own.

import { NotifierInbox } from "./js/inbox/element.js";

export { createFeed } from "./js/inbox/headless.js";
export { LABELS } from "./js/inbox/labels.js";

// Rises by the rules of semantic versioning: attributes, custom properties and the event are what is relied on.
export const VERSION = "1.2.0";

NotifierInbox.version = VERSION;
if (!customElements.get("notifier-inbox")) customElements.define("notifier-inbox", NotifierInbox);
