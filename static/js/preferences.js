// Saves the form at each change, instead of by its button. htmx sends it and puts the server's answer in its place.

import htmx from "../vendor/htmx/htmx.esm.min.js";

const form = document.getElementById("preferences");
form.setAttribute("hx-post", form.getAttribute("action"));
form.setAttribute("hx-trigger", "change delay:150ms, submit");
form.setAttribute("hx-target", "this");
form.setAttribute("hx-swap", "outerMorph");
form.classList.add("saves-itself");
htmx.process(form);
