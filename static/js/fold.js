// On a phone the panels of the preference page are folded under their headings; what a link leads to, and what is wrong in a
// form, is unfolded. Without JavaScript all of them are open.

import htmx from "htmx.org";

const narrow = matchMedia("(max-width: 52rem)");
const open = new Set(); // ids of panels

function draw() {
  for (const panel of document.querySelectorAll(".prefs .panel[id]")) {
    if (panel.querySelector("[aria-invalid]")) open.add(panel.id);
    const button = panel.querySelector("h2 > .fold") ?? (narrow.matches ? made(panel) : null);
    const isFolded = narrow.matches && !open.has(panel.id);
    panel.classList.toggle("is-folded", isFolded);
    button?.setAttribute("aria-expanded", !isFolded);
    if (button) button.disabled = !narrow.matches;
  }
}

function made(panel) {
  const heading = panel.querySelector("h2");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "fold";
  button.append(...heading.childNodes);
  heading.append(button);
  button.addEventListener("click", () => {
    if (!open.delete(panel.id)) open.add(panel.id);
    draw();
  });
  return button;
}

function unfoldTarget() {
  const target = document.getElementById(location.hash.slice(1));
  const panel = target?.closest(".panel[id]");
  if (!panel || open.has(panel.id)) return;
  open.add(panel.id);
  draw();
  target.scrollIntoView();
}

htmx.on("htmx:after:swap", draw);
narrow.addEventListener("change", draw);
addEventListener("hashchange", unfoldTarget);
draw();
unfoldTarget();
