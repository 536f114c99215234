// Until when to put something away: some answers for most days, and any date.

import { el } from "./dom.js";
import { offer } from "./float.js";

const MORNING = 8;
const EVENING = 18;
const MAX_AHEAD_DAYS = 365;
const APART_MS = 1_800_000; // two answers nearer to each other are one
const HOUR_MS = 3_600_000;

function at(hour, days, now, when) {
  const { year, month, day } = when.wall(now);
  return when.atWall({ year, month, day: day + days, hour });
}

// → [label, until], each a time of its own, by the reader's own clocks (`when`); the week begins on Monday. On a Sunday
// "next week" is tomorrow morning.
export function choices(now, when) {
  const { year, month, day } = when.wall(now);
  const weekday = new Date(Date.UTC(year, month - 1, day)).getUTCDay() || 7;
  const all = [
    ["snoozeHour", new Date(now.getTime() + HOUR_MS)],
    ["snoozeEvening", at(EVENING, 0, now, when)],
    ["snoozeTomorrow", at(MORNING, 1, now, when)],
    ["snoozeNextWeek", at(MORNING, 8 - weekday, now, when)],
  ];
  return all.filter(([, until], index) => until > now && !all.slice(0, index).some(([, earlier]) => earlier > now && Math.abs(until - earlier) < APART_MS));
}

// Opens the choices beside `anchor`; `choose(until)` is called with what was chosen.
export function askUntil(float, anchor, words, choose) {
  const now = new Date();
  const { when } = words;
  const offered = choices(now, when);
  const pick = (until) => {
    float.close();
    choose(until);
  };
  const suggested = [2, 3].map((days) => at(MORNING, days, now, when)).find((one) => offered.every(([, until]) => until - one !== 0));
  const field = el("input", { type: "datetime-local", "aria-label": words.say("dateAndTime"), required: true, min: written(now, when), max: written(at(MORNING, MAX_AHEAD_DAYS - 1, now, when), when), value: written(suggested, when) });
  const form = el("form", { class: "until", novalidate: true }, field, el("button", { class: "small", type: "submit", text: words.say("actionSnooze") }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const until = field.value ? read(field.value, when) : null;
    field.setCustomValidity(until > new Date() ? "" : words.say("snoozePast"));
    if (form.reportValidity()) pick(until);
  });
  field.addEventListener("input", () => field.setCustomValidity(""));
  float.open(
    anchor,
    words.say("snoozeUntil"),
    el("p", { class: "float-title", text: words.say("snoozeUntil") }),
    ...offered.map(([label, until]) => offer(words.say(label), () => pick(until), { hint: words.when.brief(until) })),
    form,
  );
}

// As the field writes it: in the person's own zone, without one.
function written(at, when) {
  const { year, month, day, hour, minute } = when.wall(at);
  return new Date(Date.UTC(year, month - 1, day, hour, minute)).toISOString().slice(0, 16);
}

function read(text, when) {
  const [year, month, day, hour, minute] = text.split(/\D/).map(Number);
  return when.atWall({ year, month, day, hour, minute });
}
