// Until when to put something away: some answers for most days, and any date.

import { el } from "./dom.js";
import { offer } from "./float.js";

const MORNING = 8;
const EVENING = 18;
const MAX_AHEAD_DAYS = 365;
const APART_MS = 1_800_000; // two answers nearer to each other are one
const HOUR_MS = 3_600_000;

function morning(now, days) {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() + days, MORNING);
}

// → [label, until], each a time of its own; the week begins on Monday. On a Sunday "next week" is tomorrow morning.
export function choices(now) {
  const all = [
    ["snoozeHour", new Date(now.getTime() + HOUR_MS)],
    ["snoozeEvening", new Date(now.getFullYear(), now.getMonth(), now.getDate(), EVENING)],
    ["snoozeTomorrow", morning(now, 1)],
    ["snoozeNextWeek", morning(now, 8 - (now.getDay() || 7))],
  ];
  return all.filter(([, until], index) => until > now && !all.slice(0, index).some(([, earlier]) => earlier > now && Math.abs(until - earlier) < APART_MS));
}

// Opens the choices beside `anchor`; `choose(until)` is called with what was chosen.
export function askUntil(float, anchor, words, choose) {
  const now = new Date();
  const offered = choices(now);
  const pick = (until) => {
    float.close();
    choose(until);
  };
  const suggested = [2, 3].map((days) => morning(now, days)).find((at) => offered.every(([, until]) => until - at !== 0));
  const field = el("input", { type: "datetime-local", "aria-label": words.say("dateAndTime"), required: true, min: local(now), max: local(morning(now, MAX_AHEAD_DAYS - 1)), value: local(suggested) });
  const form = el("form", { class: "until", novalidate: true }, field, el("button", { class: "small", type: "submit", text: words.say("actionSnooze") }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const until = new Date(field.value);
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
function local(at) {
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
