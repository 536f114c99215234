// The checkbox in a table's head selects all rows; the buttons beside it say how many, and wait for one.

for (const form of document.querySelectorAll("form[data-select]")) {
  const all = form.querySelector("[data-select-all]");
  const boxes = [...document.querySelectorAll(`input[name="ids"][form="${form.id}"], #${form.id} input[name="ids"]`)].filter((box) => !box.disabled);
  const buttons = [...form.querySelectorAll("[data-select-button]")].map((button) => [button, button.textContent.trim()]);

  const show = () => {
    const chosen = boxes.filter((box) => box.checked).length;
    all.checked = chosen > 0 && chosen === boxes.length;
    all.indeterminate = chosen > 0 && chosen < boxes.length;
    for (const [button, words] of buttons) {
      button.disabled = chosen === 0;
      button.textContent = chosen ? `${words} (${chosen})` : words;
    }
  };

  all.disabled = boxes.length === 0;
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    show();
  });
  for (const box of boxes) box.addEventListener("change", show);
  show();
}
