// Defines <notifier-inbox server="https://notifier.example" token="…">, the one renderer of the inbox: on our own pages and on any other.
//
//   server      where Notifier runs; left out on its own pages
//   token       a user's token (POST /api/v1/users/{id}/token); left out where the session cookie signs in
//   mode        "bell": a button with a badge that opens a panel; otherwise the whole inbox in place
//   inbox-url   where "Open inbox" in the bell's panel leads; left out: no such link
//   count-in    "title" puts the unread count before the document's title
//
// It says `notifier-unauthorized` (bubbling) when the token is refused, so that the page may set a new one.
// Colours, corners and fonts are CSS custom properties: see js/inbox/styles.js.

import { NotifierInbox } from "./js/inbox/element.js";

if (!customElements.get("notifier-inbox")) customElements.define("notifier-inbox", NotifierInbox);
