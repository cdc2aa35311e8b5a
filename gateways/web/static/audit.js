// The audit trail, newest first, page by page.
import { audit } from "./api.js";
import { make, text, when } from "./known.js";

const PAGE = 100;
const rows = document.getElementById("audit-rows"), wanted = document.getElementById("audit-filter"), older = document.getElementById("older");
let next = null; // where to go on

function row(it) {
  const bad = (it.status_code >>> 30) !== 0;
  return make("tr", { class: bad ? "refused" : "" },
    make("td", {}, when(Date.parse(it.time))), make("td", {}, it.who), make("td", {}, it.origin), make("td", {}, it.kind), make("td", {}, it.action),
    make("td", { class: "arguments" }, it.arguments.map((value) => JSON.stringify(value)).join(", ")),
    make("td", {}, bad ? `✕ ${it.status}` : it.status, it.message ? make("small", {}, it.message) : null));
}

function filter() {
  const words = wanted.value.trim().toLowerCase();
  for (const it of rows.children) it.hidden = Boolean(words) && !it.textContent.toLowerCase().includes(words);
}

async function load() {
  older.disabled = true;
  try {
    const query = { limit: PAGE, start: "1970-01-02T00:00:00Z" };
    if (next) query.after = next;
    const found = await audit(query);
    rows.append(...found.entries.map(row));
    next = found.next;
    older.disabled = !next;
    filter();
  } catch (error) { document.getElementById("audit-error").textContent = text("failed", error.message); }
}

wanted.addEventListener("input", filter);
older.addEventListener("click", load);
load();
