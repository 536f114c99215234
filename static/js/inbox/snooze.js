// Until when to put something away: three answers for most days, and any date.

import { el } from "./dom.js";
import { offer } from "./float.js";
import { moment } from "./when.js";

const MORNING = 8;
const MAX_AHEAD_DAYS = 365;
const brief = new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit" });

function morning(now, days) {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() + days, MORNING);
}

// → [words, until]; the week begins on Monday.
function choices(now) {
  return [
    ["In an hour", new Date(now.getTime() + 3_600_000)],
    ["Tomorrow morning", morning(now, 1)],
    ["Next week", morning(now, 8 - (now.getDay() || 7))],
  ];
}

// Opens the choices beside `anchor`; `choose(until, words)` is called with what was chosen.
export function askUntil(float, anchor, choose) {
  const now = new Date();
  const pick = (until) => {
    float.close();
    choose(until, `until ${moment(until)}`);
  };
  const field = el("input", { type: "datetime-local", "aria-label": "Date and time", required: true, min: local(now), max: local(morning(now, MAX_AHEAD_DAYS - 1)), value: local(morning(now, 2)) });
  const form = el("form", { class: "until", novalidate: true }, field, el("button", { class: "small", type: "submit", text: "Snooze" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const until = new Date(field.value);
    field.setCustomValidity(until > new Date() ? "" : "Choose a time in the future, within a year.");
    if (form.reportValidity()) pick(until);
  });
  field.addEventListener("input", () => field.setCustomValidity(""));
  float.open(
    anchor,
    "Snooze until",
    el("p", { class: "float-title", text: "Snooze until" }),
    ...choices(now).map(([words, until]) => offer(words, () => pick(until), { hint: brief.format(until) })),
    form,
  );
}

// As the field writes it: in the person's own zone, without one.
function local(at) {
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
