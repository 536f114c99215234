// Names the cells of tables after their columns: on a phone each row is shown as a card (css/console.css).

function name(table) {
  const names = [...table.querySelectorAll(":scope > thead th")].map((head) => head.textContent.replace(/[↑↓↕]/g, "").trim());
  for (const row of table.tBodies[0]?.rows ?? []) {
    [...row.cells].forEach((cell, index) => {
      if (names[index]) cell.dataset.label = names[index];
    });
  }
}

const nameAll = () => document.querySelectorAll(".table-responsive > .table").forEach(name);
nameAll();
new MutationObserver(nameAll).observe(document.getElementById("main"), { childList: true, subtree: true });
