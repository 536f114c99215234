// Puts every <time datetime> into the reader's own zone and language. Without JavaScript they stand there in UTC, where no
// zone is known.

import { dateFormat } from "./dates.js";

const usual = dateFormat({ dateStyle: "medium", timeStyle: "short" });
const exact = dateFormat({ year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

export function localise(root) {
  for (const element of root.querySelectorAll("time[datetime]:not([data-local])")) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    element.title = element.textContent;
    element.textContent = ("exact" in element.dataset ? exact : usual).format(at);
    element.dataset.local = "";
  }
}

localise(document);
document.addEventListener("htmx:after:swap", () => localise(document));
