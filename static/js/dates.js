// Times as all our pages show them: in the page's language, and in the zone that the person has chosen (else the browser's).
// The server writes them the same way (`notifier/ground/languages`).

import { knownZone } from "./inbox/zones.js";

export function dateFormat(options) {
  const { lang, dataset } = document.documentElement;
  return new Intl.DateTimeFormat(lang || undefined, { timeZone: knownZone(dataset.zone), ...options });
}
