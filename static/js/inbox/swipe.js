// A finger drawn across a row: towards the end marks it read or unread, towards the start archives it, and further on snoozes.
// What will happen stands behind the row while it moves; letting go before that changes nothing.

import { el, icon } from "./dom.js";

const MIN_PX = 10; // a finger that rests is never quite still
const ACT_PX = 72;
const FAR = 0.55; // of the row's width

// `actions.swipes(id)` → {end, start, far}, each [command, icon, words] or null, or null; `actions.one(command, id)` does it.
export function swipeable(rows, actions) {
  let drag = null;

  rows.addEventListener("pointerdown", (event) => {
    const row = event.pointerType === "mouse" || !event.isPrimary ? null : event.target.closest(".row");
    const onwards = row && getComputedStyle(row).direction === "rtl" ? -1 : 1; // towards a line's end
    drag = row && { row, item: row.firstElementChild, width: row.offsetWidth, onwards, x: event.clientX, y: event.clientY, behind: null, chosen: null };
  });

  rows.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const x = (event.clientX - drag.x) * drag.onwards;
    if (!drag.behind) {
      if (Math.abs(event.clientY - drag.y) > MIN_PX) drag = null; // that is scrolling
      if (!drag || Math.abs(x) < MIN_PX) return;
      drag.offers = actions.swipes(drag.row.dataset.id);
      if (!drag.offers) return void (drag = null); // it has left the list under the finger
      drag.behind = el("div", { class: "behind", "aria-hidden": "true" });
      drag.row.prepend(drag.behind);
      drag.row.classList.add("is-swiped");
    }
    const { start, end, far } = drag.offers;
    const isFar = -x > drag.width * FAR;
    const offer = x > 0 ? end : isFar && far ? far : start;
    const isReached = offer && Math.abs(x) >= ACT_PX;
    drag.chosen = isReached ? offer[0] : null;
    drag.behind.className = `behind ${x > 0 ? "to-end" : "to-start"}${isReached ? " is-reached" : ""}`;
    if (drag.shown !== offer) drag.behind.replaceChildren(...(offer ? [icon(offer[1], 20), el("span", { text: offer[2] })] : []));
    drag.shown = offer;
    drag.item.style.transform = `translateX(${(offer ? x : x / 6) * drag.onwards}px)`;
  });

  const end = (isDone) => {
    if (!drag?.behind) return void (drag = null);
    const { row, item, behind, chosen } = drag;
    drag = null;
    item.style.transform = "";
    behind.remove();
    row.classList.remove("is-swiped");
    if (isDone && chosen) actions.one(chosen, row.dataset.id);
  };
  rows.addEventListener("pointerup", () => end(true));
  rows.addEventListener("pointercancel", () => end(false));
}
