// A section of the preference page shows the channels that its messages use; its button shows the others. Without
// JavaScript all of them are shown.

import htmx from "htmx.org";

const open = new Set(); // ids of sections

function draw() {
  for (const button of document.querySelectorAll(".pref button.more")) {
    const section = button.closest(".pref");
    const isOpen = open.has(section.id);
    section.classList.toggle("shows-more", isOpen);
    button.setAttribute("aria-expanded", isOpen);
  }
}

document.addEventListener("click", ({ target }) => {
  const section = target.closest("button.more")?.closest(".pref");
  if (!section) return;
  if (!open.delete(section.id)) open.add(section.id);
  draw();
});

htmx.on("htmx:after:swap", draw);
draw();
