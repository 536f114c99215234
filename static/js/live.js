// What is marked `data-live="address"` is fetched again every `data-every` milliseconds and takes the place of what stood there,
// as long as somebody looks at it. What comes back without the mark has come to rest.

import { localise } from "./times.js";

const looks = () => document.visibilityState === "visible";

async function again(id) {
  const element = document.getElementById(id);
  if (!element?.dataset.live) return;
  const next = () => setTimeout(() => again(id), Number(element.dataset.every) || 5000);
  if (!looks() || element.contains(document.activeElement)) return next();
  try {
    const answer = await fetch(element.dataset.live, { headers: { Accept: "text/html" } });
    if (!answer.ok || answer.redirected) return next();
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(id);
    if (!fresh) return;
    localise(fresh);
    if (element.outerHTML !== fresh.outerHTML) element.replaceWith(fresh);
  } catch {
    return next(); // the server is away for a moment
  }
  const now = document.getElementById(id);
  if (now?.dataset.live) setTimeout(() => again(id), Number(now.dataset.every) || 5000);
}

for (const element of document.querySelectorAll("[data-live][id]")) setTimeout(() => again(element.id), Number(element.dataset.every) || 5000);
