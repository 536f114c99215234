// Defines <notifier-preferences server="https://notifier.example" token="…">: what reaches a person, as switches, in any
// page. docs/embedding.md tells how to use it.
//
//   server, token, theme, locale, labels   as for <notifier-inbox>
//   open    "all": the sections are unfolded to begin with
//
// It says `notifier-preferences-change` when a choice was saved, and `notifier-token-expired`; both bubble.

import { NotifierPreferences } from "./js/choices/element.js";

// Rises by the rules of semantic versioning.
export const VERSION = "1.1.0";

NotifierPreferences.version = VERSION;
if (!customElements.get("notifier-preferences")) customElements.define("notifier-preferences", NotifierPreferences);
