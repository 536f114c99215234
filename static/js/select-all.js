// The checkbox in a table's head selects all rows; the button beside it says how many, and waits for one.

for (const form of document.querySelectorAll("form[data-select]")) {
  const all = form.querySelector("[data-select-all]");
  const boxes = [...document.querySelectorAll(`input[name="ids"][form="${form.id}"], #${form.id} input[name="ids"]`)].filter((box) => !box.disabled);
  const button = form.querySelector("[data-select-button]");
  const words = button.textContent.trim();

  const show = () => {
    const chosen = boxes.filter((box) => box.checked).length;
    all.checked = chosen > 0 && chosen === boxes.length;
    all.indeterminate = chosen > 0 && chosen < boxes.length;
    button.disabled = chosen === 0;
    button.textContent = chosen ? `${words} (${chosen})` : words;
  };

  all.disabled = boxes.length === 0;
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    show();
  });
  for (const box of boxes) box.addEventListener("change", show);
  show();
}
