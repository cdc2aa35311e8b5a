// The alarm list: what needs somebody first; worked with by mouse or keys.
import { alarms, onCondition } from "./api.js";
import { listOf, onAlarms } from "./alarm-state.js";
import { further, titled } from "./alarm-service.js";
import { ask, attempt, choice, field, menu } from "./dialogs.js";
import { make, text, when } from "./known.js";
import { onFrame } from "./live.js";
import { marker, priority } from "./marks.js";

const rows = document.getElementById("alarm-rows"), none = document.getElementById("alarm-none");
const showAll = document.getElementById("show-all");
let shown = [], everything = false;

const body = (alarm, more = {}) => ({ event_id: alarm.event_id, ...more });
const short = (path) => path.split(".").slice(1).join(".");

function states(alarm) {
  const words = [text(alarm.active ? "active" : "inactive")];
  if (alarm.exceeded.length) words[0] += ` (${alarm.exceeded.join(", ")})`;
  if (!alarm.enabled) words.splice(0, 1, text("disabled"));
  if (!alarm.acknowledged) words.push(text("unacked"));
  else if (!alarm.confirmed) words.push(text("unconfirmed"));
  if (alarm.shelving !== "Unshelved") words.push(text("shelved"));
  if (alarm.suppressed) words.push(text("suppressed"));
  if (alarm.out_of_service) words.push(text("out_of_service"));
  if (alarm.branch) words.push(text("earlier"));
  return words.join(", ");
}

const operations = {
  acknowledge: (alarm) => attempt(() => onCondition(alarm.condition, "acknowledge", body(alarm))),
  confirm: (alarm) => attempt(() => onCondition(alarm.condition, "confirm", body(alarm))),
  comment: (alarm) => ask({ title: titled("comment", alarm), confirm: text("comment"),
    fields: [field("comment", text("comment"), { required: true, maxlength: 500, value: alarm.comment })] },
  (given) => attempt.strict(() => onCondition(alarm.condition, "comment", body(alarm, { comment: given.comment })))),
  shelve: (alarm) => ask({ title: titled("shelve", alarm), confirm: text("shelve"), fields: [
    choice("time", text("shelve"), [[10, text("minutes", 10)], [60, text("hours", 1)], [480, text("hours", 8)], [0, text("one_shot")]]),
    field("comment", text("remark"), { maxlength: 500 })] },
  (given) => attempt.strict(() => Number(given.time)
    ? onCondition(alarm.condition, "shelve", { minutes: Number(given.time), comment: given.comment || null })
    : onCondition(alarm.condition, "one_shot_shelve", { comment: given.comment || null }))),
  unshelve: (alarm) => attempt(() => onCondition(alarm.condition, "unshelve", {})),
  more: (alarm) => menu(titled("more", alarm), further(alarm)),
};

function possible(alarm) {
  const found = [];
  if (!alarm.acknowledged) found.push("acknowledge");
  else if (!alarm.confirmed) found.push("confirm");
  if (alarm.event_id) found.push("comment");
  if (!alarm.branch) found.push(alarm.shelving === "Unshelved" ? "shelve" : "unshelve");
  if (further(alarm).length) found.push("more");
  return found;
}

const keyOf = (alarm) => `${alarm.condition}|${alarm.branch}`;

function row(alarm) {
  const level = priority(alarm.severity);
  const said = alarm.comment ? make("small", {}, `„${alarm.comment}“ ${alarm.user ? `(${alarm.user})` : ""}`) : null;
  const mark = marker(level, { over: !alarm.active, unseen: alarm.retain && !alarm.acknowledged });
  return make("tr", { tabindex: 0, "data-key": keyOf(alarm), "data-condition": alarm.condition,
    class: `${alarm.hidden ? "calm" : ""} ${alarm.acknowledged ? "" : "open"}` },
  make("td", { class: "column-priority" }, mark, make("span", { class: "unseen-text" }, `${text("priority")} ${level}`)),
  make("td", { class: "column-time" }, alarm.time ? when(Date.parse(alarm.time)) : "–"),
  make("td", { class: "column-source" }, make("a", { href: `/machine/${alarm.machine}` }, short(alarm.machine) || alarm.machine), make("small", {}, alarm.name)),
  make("td", { class: "column-message" }, alarm.message, said),
  make("td", { class: "column-state" }, states(alarm)),
  make("td", { class: "column-actions" }, ...possible(alarm).map((name) =>
    make("button", { "data-do": name, "aria-haspopup": name === "more" ? "dialog" : null, onclick: () => operations[name](alarm) }, text(name))),
  alarm.evidence ? make("a", { href: `/gallery#${alarm.evidence}` , class: "button" }, text("gallery")) : null));
}

function draw(found) {
  shown = found;
  const focused = document.activeElement?.closest?.("tr[data-key]")?.dataset.key;
  const doing = document.activeElement?.dataset?.do;
  rows.replaceChildren(...found.map(row));
  none.hidden = found.length > 0;
  none.textContent = text("nothing_standing");
  const again = focused && [...rows.children].find((it) => it.dataset.key === focused);
  if (again) (again.querySelector(`[data-do="${doing}"]`) ?? again).focus();
  document.getElementById("ack-all").disabled = !found.some((alarm) => alarm.retain && !alarm.acknowledged);
}

async function drawAll() {
  try { draw(listOf(await alarms(true))); } catch (error) { none.textContent = text("failed", error.message); none.hidden = false; }
}

// A dialog gives the focus back to what had it, which may have been drawn anew meanwhile.
let last = null;
rows.addEventListener("focusin", (event) => { last = event.target.closest("tr[data-key]")?.dataset.key; });
document.getElementById("ask-dialog").addEventListener("close", () => setTimeout(() => {
  if (document.activeElement === document.body) [...rows.children].find((it) => it.dataset.key === last)?.focus();
}));

document.addEventListener("keydown", (event) => {
  const here = document.activeElement?.closest?.("tr[data-key]");
  if (!here || event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  if (step) { event.preventDefault(); here[step]?.focus(); return; }
  const name = { a: "acknowledge", c: "confirm", m: "comment", s: "shelve", u: "unshelve", o: "more" }[event.key.toLowerCase()];
  const alarm = shown.find((it) => keyOf(it) === here.dataset.key);
  if (!name || !alarm || !possible(alarm).includes(name)) return;
  event.preventDefault();
  operations[name](alarm);
});

document.getElementById("ack-all").addEventListener("click", () => attempt(async () => {
  for (const alarm of shown.filter((it) => it.retain && !it.acknowledged)) await onCondition(alarm.condition, "acknowledge", body(alarm));
}));

showAll.addEventListener("click", () => {
  everything = !everything;
  showAll.setAttribute("aria-pressed", String(everything));
  showAll.textContent = text(everything ? "only_current" : "show_all");
  if (everything) drawAll(); else if (latest) draw(latest);
});

let latest = null;
onAlarms((found) => { latest = found; if (!everything) draw(found); });
onFrame((frame, changed) => { if (changed && everything) drawAll(); });
