// Tab goes from group to group (`data-arrows`: the switches of a section, the links of a list), and arrow keys within
// one, as in a table: a group is one stop. What holds the stop is what had the focus last, else the first. Without
// JavaScript everything is a stop.

import htmx from "htmx.org";

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const PARTS = "a[href], button:not(:disabled, .fold, .more), input:not(:disabled):not([type=hidden])";
const last = new Map(); // a group's id → the id of the part that had the focus last

const parts = (element) => [...element.querySelectorAll(PARTS)].filter((part) => part.checkVisibility({ visibilityProperty: true }));

function draw() {
  for (const group of document.querySelectorAll("[data-arrows]")) {
    const all = parts(group);
    const stop = all.find((part) => part.id && part.id === last.get(group.id)) ?? all[0];
    for (const part of all) part.tabIndex = part === stop ? 0 : -1;
  }
}

// Switches stand below each other by their channel; what is no channel's is below the first of its line.
function place(part) {
  const cell = part.closest(".pref-cell");
  return cell ? [...cell.parentElement.children].indexOf(cell) : null;
}

// What is in the same column of a line, or nearest to it: a type has no switch for a channel that it does not use.
function nearest(line, part) {
  const column = place(part);
  const distance = (other) => {
    if (place(other) === column) return -1;
    return place(other) === null ? Infinity : Math.abs(place(other) - (column ?? 0));
  };
  return line?.reduce((best, other) => (distance(other) < distance(best) ? other : best)) ?? null;
}

function next(part, [down, right]) {
  const group = part.closest("[data-arrows]");
  const isGrid = group.querySelector(".pref-cells") !== null;
  const found = isGrid ? document.querySelectorAll("#choices .pref-head, #choices .pref-row") : [group];
  const lines = [...found].map(parts).filter((line) => line.length > 0);
  const at = lines.findIndex((line) => line.includes(part));
  if (down && isGrid) return nearest(lines[at + down], part);
  const isBackwards = right && getComputedStyle(group).direction === "rtl";
  return lines[at][lines[at].indexOf(part) + (isBackwards ? -right : down || right)] ?? null;
}

document.addEventListener("keydown", (event) => {
  const step = STEPS[event.key];
  if (!step || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (!event.target.matches(PARTS) || !event.target.closest("[data-arrows]")) return;
  event.preventDefault();
  next(event.target, step)?.focus();
});

document.addEventListener("focusin", ({ target }) => {
  const group = target.matches(PARTS) && target.closest("[data-arrows]");
  if (!group) return;
  last.set(group.id, target.id);
  for (const part of parts(group)) part.tabIndex = part === target ? 0 : -1;
});

htmx.on("htmx:after:swap", draw);
addEventListener("resize", draw);
document.addEventListener("click", (event) => event.target.closest(".fold, .more") && draw()); // what is unfolded needs its stop
draw();
