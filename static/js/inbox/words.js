// What is said, in one language: the labels and the times of a component. No DOM.

import { LABELS } from "./labels.js";
import { When } from "./when.js";

export class Words {
  #labels;
  #plurals;

  // `locale`: a BCP 47 tag; null: the browser's. `labels`: name → text, in place of those of labels.js.
  constructor(locale = null, labels = {}) {
    this.locale = known(locale);
    this.#labels = { ...LABELS, ...labels };
    // Without a locale the labels are English, whatever the browser's language.
    this.#plurals = new Intl.PluralRules(this.locale ?? "en");
    this.when = new When(this.locale, this);
  }

  // → the text with `values` put in; `count` chooses among its plurals, and is written with its separators.
  say(name, values = {}) {
    const label = this.#labels[name] ?? name;
    const text = typeof label === "string" ? label : (label[this.#plurals.select(values.count)] ?? label.other);
    return text.replace(/\{(\w+)\}/g, (whole, key) => (key in values ? (typeof values[key] === "number" ? this.number(values[key]) : values[key]) : whole));
  }

  number(value) {
    return value.toLocaleString(this.locale);
  }
}

function known(locale) {
  try {
    return locale ? Intl.getCanonicalLocales(locale)[0] : undefined;
  } catch {
    return undefined; // no tag at all
  }
}
