// The form of a broadcast: its fields follow the event type, and the audience is counted anew when it changes. Without this, buttons do
// both.

const form = document.getElementById("compose");
let asked = 0;

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
    if (event.target.name === "type") form.requestSubmit(form.querySelector("[name=step][value=edit]"));
    else if (event.target.name === "channels" || event.target.closest("#whom")) count();
  });
  count();
}
