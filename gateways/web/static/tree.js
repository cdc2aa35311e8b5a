// The tree, with the keys of the ARIA tree pattern; a node's attributes come when it is chosen.
import { adopt, forget } from "./live.js";

const tree = document.getElementById("tree"), panel = document.getElementById("node");
const items = () => [...tree.querySelectorAll('[role="treeitem"]')].filter((it) => it.offsetParent !== null);
const find = (path) => tree.querySelector(`[data-node="${CSS.escape(path)}"]`);

function focus(item) {
  tree.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
  item.tabIndex = 0;
  item.focus();
}

function expand(item, open) {
  if (item.hasAttribute("aria-expanded")) item.setAttribute("aria-expanded", String(open));
}

async function choose(path, push = true) {
  const answer = await fetch(`/tree/node?path=${encodeURIComponent(path)}`, { credentials: "same-origin" });
  if (answer.redirected) { location.assign("/login"); return; }
  if (!answer.ok) return;
  forget(panel);
  panel.innerHTML = await answer.text(); // made and escaped by the server
  adopt(panel);
  for (const item of tree.querySelectorAll('[aria-selected="true"]')) item.setAttribute("aria-selected", "false");
  const item = find(path);
  for (let above = item; above && above !== tree; above = above.parentElement) expand(above, above === item ? above.getAttribute("aria-expanded") === "true" : true);
  item?.setAttribute("aria-selected", "true");
  if (push) history.replaceState(null, "", `/tree?path=${encodeURIComponent(path)}`);
}

tree.addEventListener("click", (event) => {
  const item = event.target.closest('[role="treeitem"]');
  if (!item) return;
  if (event.target.classList.contains("twist") || item.getAttribute("aria-selected") === "true") expand(item, item.getAttribute("aria-expanded") !== "true");
  else expand(item, true);
  focus(item);
  choose(item.dataset.node);
});

tree.addEventListener("keydown", (event) => {
  const item = document.activeElement.closest('[role="treeitem"]');
  if (!item) return;
  const seen = items(), place = seen.indexOf(item), open = item.getAttribute("aria-expanded");
  const parent = item.parentElement.closest('[role="treeitem"]');
  const done = {
    ArrowDown: () => seen[place + 1] && focus(seen[place + 1]),
    ArrowUp: () => seen[place - 1] && focus(seen[place - 1]),
    ArrowRight: () => (open === "false" ? expand(item, true) : open && seen[place + 1] && focus(seen[place + 1])),
    ArrowLeft: () => (open === "true" ? expand(item, false) : parent && focus(parent)),
    Home: () => focus(seen[0]), End: () => focus(seen.at(-1)),
    Enter: () => choose(item.dataset.node), " ": () => choose(item.dataset.node),
  }[event.key];
  if (!done) return;
  event.preventDefault();
  done();
});

panel.addEventListener("click", (event) => {
  const path = event.target.dataset?.go;
  if (!path || !find(path)) return;
  event.preventDefault();
  choose(path).then(() => focus(find(path)));
});

document.getElementById("tree-search").addEventListener("input", (event) => {
  const wanted = event.target.value.trim().toLowerCase();
  for (const item of tree.querySelectorAll('[role="treeitem"]')) {
    const hit = !wanted || item.dataset.node.toLowerCase().includes(wanted);
    item.hidden = !hit && !item.querySelector(`[data-node*="${CSS.escape(wanted)}" i]`);
    if (wanted && !item.hidden) expand(item, true);
  }
});

{
  const first = tree.querySelector('[aria-selected="true"]') ?? tree.querySelector('[role="treeitem"]');
  if (first) first.tabIndex = 0;
}
