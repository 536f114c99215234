// What is said, in one language: the labels and the times of a component. No DOM.

import { Labels, dictionary } from "./labels.js";
import { When } from "./when.js";
import { knownZone } from "./zones.js";

const dictionaries = new Map(); // "server language" → the server's dictionary, or a promise of it

export class Words extends Labels {
  // `locale`: a BCP 47 tag; null: the browser's. `zone`: an IANA time zone; null: the browser's. `own`, `translated`: see Labels.
  constructor({ locale = null, zone = null, own = {}, translated = {} } = {}) {
    super({ locale: known(locale), own, translated });
    this.when = new When(this, knownZone(zone));
  }

  number(value) {
    return value.toLocaleString(this.locale);
  }
}

// → the label of one of several: ("tab", "all") → "tabAll".
export function named(kind, one) {
  return kind + one.charAt(0).toUpperCase() + one.slice(1);
}

// → the server's dictionary for this locale, or a promise of it: it is asked for once, and again if there was no answer;
// until then everything is English.
export function translations(base, locale) {
  const language = (locale ?? "").split("-")[0].toLowerCase();
  if (!language || language === "en") return {};
  const key = `${base} ${language}`;
  const keep = (found) => {
    if (found) dictionaries.set(key, found);
    else dictionaries.delete(key);
    return found ?? {};
  };
  if (!dictionaries.has(key)) dictionaries.set(key, dictionary(base, language).then(keep));
  return dictionaries.get(key);
}

// → what an attribute `labels` says as JSON.
export function labelsIn(text) {
  try {
    return (text && JSON.parse(text)) || {};
  } catch {
    console.warn("notifier: the attribute labels is no JSON");
    return {};
  }
}

function known(locale) {
  try {
    return locale ? Intl.getCanonicalLocales(locale)[0] : undefined;
  } catch {
    return undefined; // no tag at all
  }
}
