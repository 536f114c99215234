// The form of a broadcast: what does not matter for the choices made is hidden, the fields follow the event type, and the audience is
// counted anew when it changes. Without this, everything is shown and a button counts.

const form = document.getElementById("compose");
let asked = 0;

function show() {
  const chosen = new Set([...form.querySelectorAll("input[type=radio]:checked")].map((radio) => radio.value));
  for (const part of form.querySelectorAll("[data-when]")) part.hidden = !part.dataset.when.split(" ").some((value) => chosen.has(value));
}

async function count() {
  const mine = (asked += 1);
  const place = document.getElementById("count");
  place.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(form.dataset.count, { method: "POST", body: new FormData(form), headers: { "X-Partial": "count" } });
    const words = await answer.text();
    if (answer.ok && !answer.redirected && mine === asked) place.innerHTML = words;
  } catch {
    // the server is away for a moment: the next change asks again
  }
  if (mine === asked) place.removeAttribute("aria-busy");
}

if (form) {
  form.addEventListener("change", (event) => {
    show();
    if (event.target.name === "type") form.requestSubmit(form.querySelector("[name=step][value=edit]"));
    else if (event.target.closest("#whom")) count();
  });
  show();
  count();
}
