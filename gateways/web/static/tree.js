// The address space, with the keys of the ARIA tree pattern; branches and attributes come when they are asked for.
import { adopt, forget } from "./live.js";

const POLL_MS = 2000; // of a value that is none of the plant's, which the live stream has not
const SEARCH_MS = 200;
const tree = document.getElementById("tree"), panel = document.getElementById("node"), found = document.getElementById("found");
const branches = tree.parentElement;
const items = () => [...tree.querySelectorAll('[role="treeitem"]')].filter((it) => it.offsetParent !== null);
const groupOf = (item) => item.querySelector(":scope > [role=group]");
const childOf = (group, node) => [...group.children].find((it) => it.dataset.node === node);
let chosen = new URLSearchParams(location.search).get("path") ?? "";

async function part(name, path) {
  const answer = await fetch(`/tree/${name}?path=${encodeURIComponent(path)}`, { credentials: "same-origin" });
  if (answer.redirected || answer.status === 401) { location.assign("/login"); return null; }
  return answer.ok ? answer.text() : null;
}

function focus(item) {
  tree.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
  item.tabIndex = 0;
  item.focus();
}

async function expand(item, open = true) {
  const group = groupOf(item);
  if (open && !group.dataset.loaded) {
    const branch = await part("children", item.dataset.node);
    if (branch === null) return;
    if (!group.dataset.loaded) group.innerHTML = branch; // made and escaped by the server
    group.dataset.loaded = "true";
    adopt(group);
  }
  if (group.dataset.loaded && !group.children.length) item.removeAttribute("aria-expanded"); // there is nothing below
  else item.setAttribute("aria-expanded", String(open));
}

async function show(path) {
  const details = await part("node", path);
  if (details === null) return false;
  forget(panel);
  panel.innerHTML = details;
  adopt(panel);
  return true;
}

function select(item) {
  for (const it of tree.querySelectorAll('[aria-selected="true"]')) it.setAttribute("aria-selected", "false");
  item?.setAttribute("aria-selected", "true");
  chosen = item?.dataset.node ?? chosen;
  history.replaceState(null, "", `/tree?path=${encodeURIComponent(chosen)}`);
}

async function choose(item) {
  if (await show(item.dataset.node)) select(item);
}

// Opens the branches down to a node, and chooses it.
async function go(path) {
  if (!await show(path)) return;
  const way = JSON.parse(await part("way", path) ?? "[]");
  let item = null, group = tree;
  for (const node of way) {
    const next = childOf(group, node);
    if (!next) break;
    item = next;
    group = groupOf(item);
    if (node !== way.at(-1)) await expand(item);
  }
  chosen = path;
  select(item?.dataset.node === path ? item : null);
  if (item) focus(item);
}

tree.addEventListener("click", async (event) => {
  const item = event.target.closest('[role="treeitem"]');
  if (!item) return;
  const toggles = event.target.classList.contains("twist") || item.getAttribute("aria-selected") === "true";
  focus(item);
  await Promise.all([expand(item, toggles ? item.getAttribute("aria-expanded") !== "true" : true), choose(item)]);
});

tree.addEventListener("keydown", (event) => {
  const item = document.activeElement.closest('[role="treeitem"]');
  if (!item) return;
  const seen = items(), place = seen.indexOf(item), open = item.getAttribute("aria-expanded");
  const parent = item.parentElement.closest('[role="treeitem"]');
  const done = {
    ArrowDown: () => seen[place + 1] && focus(seen[place + 1]),
    ArrowUp: () => seen[place - 1] && focus(seen[place - 1]),
    ArrowRight: () => (open === "false" ? expand(item) : open && seen[place + 1] && focus(seen[place + 1])),
    ArrowLeft: () => (open === "true" ? expand(item, false) : parent && focus(parent)),
    Home: () => focus(seen[0]), End: () => focus(seen.at(-1)),
    Enter: () => choose(item), " ": () => choose(item),
  }[event.key];
  if (!done) return;
  event.preventDefault();
  done();
});

for (const place of [panel, found]) place.addEventListener("click", (event) => {
  const path = event.target.closest("[data-go]")?.dataset.go;
  if (!path || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  if (place === found) { search.value = ""; showFound(""); }
  go(path);
});

// The answer to the last question alone is shown, whichever comes last.
const search = document.getElementById("tree-search");
let asked = 0, waiting = 0;
async function showFound(words) {
  const mine = ++asked;
  const hits = words ? await part("found", words) : "";
  if (mine !== asked || hits === null) return;
  found.innerHTML = hits;
  found.hidden = !words;
  branches.scrollTop = 0;
  tree.hidden = Boolean(words);
}
search.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => showFound(search.value.trim()), SEARCH_MS);
});

setInterval(async () => {
  const list = panel.querySelector("[data-poll]");
  if (!list || document.hidden) return;
  const answer = await part("node", chosen);
  if (answer === null || !list.isConnected) return;
  const fresh = document.createElement("template");
  fresh.innerHTML = answer;
  for (const name of ["Value", "StatusCode", "SourceTimestamp"]) {
    const to = list.querySelector(`[data-attribute="${name}"]`), from = fresh.content.querySelector(`[data-attribute="${name}"]`);
    if (to && from && to.textContent !== from.textContent) to.textContent = from.textContent;
  }
}, POLL_MS);

{
  const first = tree.querySelector('[aria-selected="true"]') ?? tree.querySelector('[role="treeitem"]');
  if (first) first.tabIndex = 0;
  if (first) branches.scrollTop = first.getBoundingClientRect().top - branches.getBoundingClientRect().top - branches.clientHeight / 2;
}
