// Names the cells of tables after their columns: on a phone each row is shown as a card (css/console.css). A cell with
// nothing in it has no name there, and one whose column's name is hidden an empty one.

const SEEN = "input:not([type=hidden]), select, textarea, img, svg";

const isEmpty = (cell) => !cell.textContent.trim() && !cell.querySelector(SEEN);

function name(table) {
  const heads = [...table.querySelectorAll(":scope > thead th")];
  const names = heads.map((head) => (head.querySelector(".visually-hidden") ? "" : head.textContent.replace(/[↑↓↕]/g, "").trim()));
  for (const row of table.querySelectorAll(":scope > :is(tbody, tfoot) > tr")) {
    [...row.cells].forEach((cell, index) => {
      if (isEmpty(cell)) delete cell.dataset.label;
      else if (index in names) cell.dataset.label = names[index];
    });
  }
}

const nameAll = () => document.querySelectorAll(".table-responsive > .table").forEach(name);
nameAll();
new MutationObserver(nameAll).observe(document.getElementById("main"), { childList: true, subtree: true });
