// A break from everything, and the hours that stay quiet.

import { el } from "../inbox/dom.js";

const HOUR_MS = 3_600_000;
const MORNING = 8;
const PAUSE_MS = 800;
const USUAL = { start: "22:00", end: "07:00", days: [1, 2, 3, 4, 5, 6, 7] };

export function times(shown, { words, choose }) {
  return el("div", { class: "times" }, mute(shown, { words, choose }), quiet(shown, { words, choose }));
}

function mute({ mute_until: until }, { words, choose }) {
  const now = new Date();
  const isMuted = until !== null && new Date(until) > now;
  const offer = (label, at) => {
    const said = at ? words.say("mutedUntil", { time: words.when.moment(at) }) : words.say("unmuted");
    return el("button", { class: "offer", part: "button", type: "button", text: words.say(label), data: { name: label }, on: { click: () => choose({ mute_until: at && at.toISOString() }, said) } });
  };
  const tomorrow = new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1, MORNING);
  return el(
    "div",
    { class: "time", part: "mute" },
    el("h3", { text: words.say("mute") }),
    isMuted ? el("p", { class: "muted-until", text: words.say("mutedUntil", { time: words.when.moment(new Date(until)) }) }) : null,
    el("div", { class: "offers" }, isMuted ? offer("unmute", null) : null, offer("muteHour", new Date(now.getTime() + HOUR_MS)), offer("muteTomorrow", tomorrow)),
  );
}

function quiet({ quiet_hours: hours }, { words, choose }) {
  const box = el("input", { class: "switch", part: "switch", type: "checkbox", role: "switch", checked: hours !== null, data: { name: "quiet" } });
  const field = (name, label) => el("label", { class: "field" }, el("span", { text: words.say(label) }), el("input", { type: "time", required: true, value: (hours ?? USUAL)[name], data: { name: `quiet-${name}` } }));
  const [start, end] = [field("start", "quietFrom"), field("end", "quietTo")];
  const wanted = () => ({ days: (hours ?? USUAL).days, start: start.lastChild.value, end: end.lastChild.value });
  const save = () => {
    const { start: from, end: to } = wanted();
    const isNone = Boolean(from) && from === to;
    end.lastChild.setCustomValidity(isNone ? words.say("quietSame") : "");
    if (!box.checked) choose({ quiet_hours: null }, words.say("quietOff"));
    else if (isNone) end.lastChild.reportValidity();
    else if (from && to) choose({ quiet_hours: wanted() }, words.say("quietOn", { start: from, end: to }));
  };
  box.addEventListener("change", save);
  // A time changes with each key: it is saved when the person has paused, or has left
  let pause = null;
  const saveTyped = () => {
    if (pause !== null && box.checked) save();
    clearTimeout(pause);
    pause = null;
  };
  for (const part of [start.lastChild, end.lastChild]) {
    part.addEventListener("change", () => {
      clearTimeout(pause);
      pause = setTimeout(saveTyped, PAUSE_MS);
    });
    part.addEventListener("blur", saveTyped);
  }
  return el("div", { class: "time", part: "quiet-hours" }, el("h3", { text: words.say("quiet") }), el("label", { class: "cell" }, box, el("span", { text: words.say("quietKeep") })), el("div", { class: "fields" }, start, end));
}
