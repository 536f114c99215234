// Reads the wall again and again, without reloading the page: a screen that nobody stands at must survive a restart of
// the server. Says since when the figures have been old.

import { localise } from "./times.js";

const wall = document.getElementById("wall");
const state = document.getElementById("wall-state");
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const every = Number(wall.dataset.every);
let figuresOf = new Date();

async function read() {
  try {
    const answer = await fetch(location.href, { cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer", signal: AbortSignal.timeout(every) });
    if (answer.status === 404) return say("bad", "This link no longer works");
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    wall.replaceChildren(...page.getElementById("wall").childNodes);
    localise(wall);
    figuresOf = new Date();
    say("good", `Live, ${clock.format(figuresOf)}`);
  } catch {
    say("bad", `No answer, figures of ${clock.format(figuresOf)}`);
  }
}

function say(tone, words) {
  state.className = `state ${tone}`;
  state.textContent = words;
}

say("good", `Live, ${clock.format(figuresOf)}`);
setInterval(read, every);
