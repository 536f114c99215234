// What is said, in one language: the labels and the times of a component. No DOM.

import { Labels, dictionary } from "./labels.js";
import { When } from "./when.js";

const dictionaries = new Map(); // "server language" → the server's dictionary, once it has come

export class Words extends Labels {
  // `locale`: a BCP 47 tag; null: the browser's. `zone`: an IANA time zone; null: the browser's. `own`, `translated`: see Labels.
  constructor({ locale = null, zone = null, own = {}, translated = {} } = {}) {
    super({ locale: known(locale), own, translated });
    this.when = new When(this, zone || undefined);
  }

  number(value) {
    return value.toLocaleString(this.locale);
  }
}

// → the label of one of several: ("tab", "all") → "tabAll".
export function named(kind, one) {
  return kind + one.charAt(0).toUpperCase() + one.slice(1);
}

// → the server's dictionary for this locale, or a promise of it: it is asked for once.
export function translations(base, locale) {
  const key = `${base} ${locale?.split("-")[0]}`;
  if (!locale || /^en\b/i.test(locale)) return {};
  return dictionaries.get(key) ?? dictionary(base, locale).then((found) => dictionaries.set(key, found).get(key));
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
