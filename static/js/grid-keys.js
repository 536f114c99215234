// Arrow keys go from switch to switch in the grid, as in a table. Tab goes on working.

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const grid = document.getElementById("choices");

grid.addEventListener("keydown", (event) => {
  const step = STEPS[event.key];
  if (!step || !event.target.matches(".pref-cell .switch") || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const rows = [...grid.querySelectorAll(".pref-cells")].map((cells) => [...cells.querySelectorAll(".switch")]);
  let row = rows.findIndex((switches) => switches.includes(event.target));
  let column = rows[row].indexOf(event.target);
  do {
    row += step[0];
    column += step[1];
  } while (rows[row]?.[column]?.disabled);
  rows[row]?.[column]?.focus();
});
