// Times as people say them: "5 min ago", then by calendar days: "Yesterday 17:40", "Fri 03:44", "12 Nov". Days are the
// reader's own: what happened an hour before midnight happened yesterday.

const MINUTE = 60;
const HOUR = 3600;
const DAY_MS = 86_400_000;
const WEEK_DAYS = 7; // from then on a weekday's name would mean two days

export class When {
  #words;
  #locale;
  #formats = new Map();

  constructor(locale, words) {
    this.#locale = locale;
    this.#words = words;
  }

  ago(at, now = new Date()) {
    const seconds = Math.max(0, (now - at) / 1000);
    const days = daysBetween(at, now);
    if (seconds < 45) return this.#words.say("just_now");
    if (seconds < HOUR) return this.#relative(-Math.max(1, Math.floor(seconds / MINUTE)), "minute");
    if (days <= 0) return this.#relative(-Math.floor(seconds / HOUR), "hour");
    if (days < WEEK_DAYS) return `${days === 1 ? this.day(at, now) : this.#format(at, { weekday: "short" })} ${this.time(at)}`;
    return this.#format(at, at.getFullYear() === now.getFullYear() ? { day: "numeric", month: "short" } : { dateStyle: "medium" });
  }

  // A day's heading: "Today", "Yesterday", "Friday", "Thursday, 12 November".
  day(at, now = new Date()) {
    const days = daysBetween(at, now);
    if (days >= -1 && days <= 1) return capitalised(this.#relative(-days, "day", "long"), this.#locale);
    if (days > 1 && days < WEEK_DAYS) return capitalised(this.#format(at, { weekday: "long" }), this.#locale);
    const year = at.getFullYear() === now.getFullYear() ? {} : { year: "numeric" };
    return capitalised(this.#format(at, { weekday: "long", day: "numeric", month: "long", ...year }), this.#locale);
  }

  // What is to come: "today 17:40", "tomorrow 08:00", "Fri 08:00", "12 Dec 2026, 08:00".
  moment(at, now = new Date()) {
    const days = daysBetween(now, at);
    if (days === 0 || days === 1) return `${this.#relative(days, "day", "long")} ${this.time(at)}`;
    if (days > 1 && days < WEEK_DAYS) return `${this.#format(at, { weekday: "short" })} ${this.time(at)}`;
    return this.#format(at, { dateStyle: "medium", timeStyle: "short" });
  }

  time(at) {
    return this.#format(at, { timeStyle: "short" });
  }

  exactly(at) {
    return this.#format(at, { dateStyle: "full", timeStyle: "medium" });
  }

  brief(at) {
    return this.#format(at, { weekday: "short", hour: "2-digit", minute: "2-digit" });
  }

  // Making a format is slow, and each row needs some.
  #format(at, options) {
    const key = JSON.stringify(options);
    if (!this.#formats.has(key)) this.#formats.set(key, new Intl.DateTimeFormat(this.#locale, options));
    return this.#formats.get(key).format(at);
  }

  #relative(number, unit, style = "short") {
    const key = `relative ${style}`;
    if (!this.#formats.has(key)) this.#formats.set(key, new Intl.RelativeTimeFormat(this.#locale, { numeric: "auto", style }));
    return this.#formats.get(key).format(number, unit);
  }
}

// Whole calendar days from one time to a later one; a day with a change of the clocks counts as one, too.
export function daysBetween(from, to) {
  return Math.round((midnight(to) - midnight(from)) / DAY_MS);
}

function midnight(at) {
  return new Date(at.getFullYear(), at.getMonth(), at.getDate());
}

function capitalised(text, locale) {
  const [first = "", ...rest] = text;
  return first.toLocaleUpperCase(locale) + rest.join("");
}
