// Times as people say them: "5 min ago", and the exact one for whoever asks.

const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const brief = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const dateWithYear = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;

export function ago(at, now = new Date()) {
  const seconds = Math.max(0, (now - at) / 1000);
  if (seconds < 45) return "just now";
  if (seconds < HOUR) return relative.format(-Math.max(1, Math.round(seconds / MINUTE)), "minute");
  if (seconds < DAY) return relative.format(-Math.floor(seconds / HOUR), "hour");
  if (seconds < 7 * DAY) return relative.format(-Math.floor(seconds / DAY), "day");
  return (at.getFullYear() === now.getFullYear() ? date : dateWithYear).format(at);
}

export function moment(at) {
  return brief.format(at);
}

export function exactly(at) {
  return exact.format(at);
}
