// Machines of the mimic are links: arrow keys go between them.
const cells = () => [...document.querySelectorAll("svg.mimic a[data-machine]")].filter((cell) => cell.closest("svg").getBoundingClientRect().width > 0);

document.addEventListener("keydown", (event) => {
  const here = document.activeElement?.closest?.("a[data-machine]");
  const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!here || !way) return;
  event.preventDefault();
  const middle = (cell) => { const box = cell.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; };
  const [x, y] = middle(here);
  const far = (cell) => {
    const [cx, cy] = middle(cell);
    const along = (cx - x) * way[0] + (cy - y) * way[1], across = Math.abs((cx - x) * way[1]) + Math.abs((cy - y) * way[0]);
    return along > 4 ? along + 2 * across : Infinity;
  };
  const next = cells().filter((cell) => cell !== here).sort((a, b) => far(a) - far(b))[0];
  if (next && far(next) < Infinity) next.focus();
});
