// The editor of templates: the preview follows what is typed, and nobody leaves by accident with words that are not saved.

const form = document.getElementById("editor");
const preview = document.getElementById("preview");
let timer, asked = 0, isChanged = false;

async function show() {
  const mine = (asked += 1);
  try {
    const answer = await fetch(form.dataset.preview, { method: "POST", body: new FormData(form), headers: { "X-Partial": "preview" } });
    const words = await answer.text();
    if (answer.ok && !answer.redirected && mine === asked) preview.innerHTML = words;
  } catch {
    // the server is away for a moment: the next key asks again
  }
}

form.addEventListener("input", () => {
  isChanged = true;
  clearTimeout(timer);
  timer = setTimeout(show, 300);
});
form.addEventListener("submit", () => { isChanged = false; });
window.addEventListener("beforeunload", (event) => { if (isChanged) event.preventDefault(); });
