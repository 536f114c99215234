// Times as people say them: "5 min ago", then by calendar days: "Yesterday 17:40", "Fri 03:44", "12 Nov". Days are the
// reader's own: what happened an hour before midnight happened yesterday.

const MINUTE = 60;
const HOUR = 3600;
const DAY_MS = 86_400_000;
const WEEK_DAYS = 7; // from then on a weekday's name would mean two days

export class When {
  #words;
  #zone;
  #formats = new Map();

  // `words` say the locale; `zone`: an IANA time zone; undefined: the browser's.
  constructor(words, zone) {
    this.#words = words;
    this.#zone = zone;
  }

  ago(at, now = new Date()) {
    const seconds = Math.max(0, (now - at) / 1000);
    const days = this.daysBetween(at, now);
    if (seconds < 45) return this.#words.say("justNow");
    if (seconds < HOUR) return this.#relative(-Math.max(1, Math.floor(seconds / MINUTE)), "minute");
    if (days <= 0) return this.#relative(-Math.floor(seconds / HOUR), "hour");
    if (days < WEEK_DAYS) return `${days === 1 ? this.day(at, now) : this.#format(at, { weekday: "short" })} ${this.time(at)}`;
    return this.#format(at, this.#date(at).year === this.#date(now).year ? { day: "numeric", month: "short" } : { dateStyle: "medium" });
  }

  // A day's heading: "Today", "Yesterday", "Friday", "Thursday, 12 November".
  day(at, now = new Date()) {
    const days = this.daysBetween(at, now);
    if (days >= -1 && days <= 1) return capitalised(this.#relative(-days, "day", "long"), this.#words.locale);
    if (days > 1 && days < WEEK_DAYS) return capitalised(this.#format(at, { weekday: "long" }), this.#words.locale);
    const year = this.#date(at).year === this.#date(now).year ? {} : { year: "numeric" };
    return capitalised(this.#format(at, { weekday: "long", day: "numeric", month: "long", ...year }), this.#words.locale);
  }

  // What is to come: "today 17:40", "tomorrow 08:00", "Fri 08:00", "12 Dec 2026, 08:00".
  moment(at, now = new Date()) {
    const days = this.daysBetween(now, at);
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

  // Whole calendar days from one time to a later one; a day with a change of the clocks counts as one, too.
  daysBetween(from, to) {
    return this.dayNumber(to) - this.dayNumber(from);
  }

  // Of the calendar day, counted from 1970 in the reader's zone.
  dayNumber(at) {
    const { year, month, day } = this.#date(at);
    return Date.UTC(year, month - 1, day) / DAY_MS;
  }

  // What clocks in the reader's zone show: {year, month (from 1), day, hour, minute}.
  wall(at) {
    const numbers = this.#make("wall", () => new Intl.DateTimeFormat("en", { year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", hourCycle: "h23", timeZone: this.#zone }));
    return numbersOf(numbers, at);
  }

  // The time at which they show this; days and hours may overflow.
  atWall({ year, month, day, hour = 0, minute = 0 }) {
    const wanted = Date.UTC(year, month - 1, day, hour, minute);
    const shown = (at) => {
      const wall = this.wall(at);
      return Date.UTC(wall.year, wall.month - 1, wall.day, wall.hour, wall.minute);
    };
    const near = wanted + wanted - shown(wanted);
    return new Date(near + wanted - shown(near)); // once more: the clocks may change in between
  }

  #date(at) {
    const numbers = this.#make("date", () => new Intl.DateTimeFormat("en", { year: "numeric", month: "numeric", day: "numeric", timeZone: this.#zone }));
    return numbersOf(numbers, at);
  }

  // Making a format is slow, and each row needs some.
  #make(key, make) {
    if (!this.#formats.has(key)) this.#formats.set(key, make());
    return this.#formats.get(key);
  }

  #format(at, options) {
    return this.#make(JSON.stringify(options), () => new Intl.DateTimeFormat(this.#words.locale, { timeZone: this.#zone, ...options })).format(at);
  }

  #relative(number, unit, style = "short") {
    return this.#make(`relative ${style}`, () => new Intl.RelativeTimeFormat(this.#words.locale, { numeric: "auto", style })).format(number, unit);
  }
}

function capitalised(text, locale) {
  const [first = "", ...rest] = text;
  return first.toLocaleUpperCase(locale) + rest.join("");
}

function numbersOf(format, at) {
  return Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, Number(value)]));
}
