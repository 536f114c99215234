// Every text of the component, in English. The catalogues (notifier/ground/languages) have them in the other languages,
// and a page that embeds the component can replace each by its name: element.labels = { empty: "All done" }.
//
// {name} in a text is filled when it is shown. Of a plural, {n} is the number, and there is one text for each form of the
// language (Intl.PluralRules).

const _ = (text) => text;
const plural = (one, other) => ({ one, other });

export const LABELS = {
  notifications: _("Notifications"),
  notificationsUnread: _("Notifications, {n} unread"),
  arrivedOne: _("New notification: {title}"),
  arrivedSeveral: plural("{n} new notification", "{n} new notifications"),
};

export class Labels {
  #own;
  #translated;
  #locale;
  #rules;

  // `own`: name → text, of the page. `translated`: English text → text (or forms), as the server's dictionary has it.
  constructor({ locale, own = {}, translated = {} } = {}) {
    this.#own = own;
    this.#translated = translated;
    this.#locale = locale;
    this.#rules = new Intl.PluralRules(locale);
  }

  get locale() {
    return this.#locale;
  }

  say(name, values = {}) {
    const english = LABELS[name];
    const text = this.#own[name] ?? this.#translated[english.one ?? english] ?? english;
    const form = typeof text === "string" ? text : (text[this.#rules.select(values.n)] ?? text.other);
    return form.replace(/\{(\w+)\}/g, (_all, key) => (typeof values[key] === "number" ? values[key].toLocaleString(this.#locale) : values[key]));
  }
}

// The server's dictionary for a locale; without one, or without an answer, everything is English.
export async function dictionary(base, locale) {
  const language = (locale ?? "").split("-")[0].toLowerCase();
  if (!language || language === "en") return {};
  try {
    const answer = await fetch(`${base}/labels/${encodeURIComponent(language)}.json`);
    return answer.ok ? await answer.json() : {};
  } catch {
    return {};
  }
}
