// The list of current alarms, fetched when the live stream says that it changed; shown in the bar and on the mimic.
import { alarms } from "./api.js";
import { text, make, said } from "./known.js";
import { onFrame } from "./live.js";
import { marker, priority } from "./marks.js";

const listeners = [];
let current = [], wanted = false, busy = false, fetched = false;
export const onAlarms = (listener) => { listeners.push(listener); if (fetched) listener(current); };
export const listOf = (answer) => (Array.isArray(answer) ? answer : answer.alarms ?? answer.items ?? [])
  .map((alarm) => ({ ...alarm, name: said(alarm.name), message: said(alarm.message) }));

export async function refresh() {
  wanted = true;
  if (busy) return;
  busy = true;
  try {
    while (wanted) {
      wanted = false;
      current = listOf(await alarms(false));
      fetched = true;
      show();
    }
  } catch (error) {
    document.getElementById("alarm-text").textContent = text("failed", error.message);
  } finally { busy = false; }
}

function show() {
  const counted = current.filter((alarm) => !alarm.hidden);
  showBar(counted);
  showMarks(counted);
  for (const listener of listeners) listener(current);
}

function showBar(counted) {
  const counts = document.getElementById("alarm-counts");
  counts.replaceChildren(...[1, 2, 3, 4].flatMap((level) => {
    const those = counted.filter((alarm) => priority(alarm.severity) === level);
    if (!those.length) return [];
    const unseen = those.some((alarm) => !alarm.acknowledged);
    return [make("span", { class: "count" }, marker(level, { unseen }), ` ${those.length}`)];
  }));
  const first = counted[0];
  const open = counted.filter((alarm) => !alarm.acknowledged).length;
  document.getElementById("alarm-text").textContent = first
    ? `${text("unacknowledged", open)} · ${first.machine.split(".").pop()}: ${first.message}` : text("no_alarms");
}

function showMarks(counted) {
  const active = counted.filter((alarm) => alarm.active || !alarm.acknowledged);
  for (const place of document.querySelectorAll("[data-marks]")) {
    const own = active.filter((alarm) => alarm.machine === place.dataset.marks);
    const worst = own.length ? Math.min(...own.map((alarm) => priority(alarm.severity))) : 0;
    const those = own.filter((alarm) => priority(alarm.severity) === worst);
    place.replaceChildren(...(worst ? [marker(worst, {
      over: !those.some((alarm) => alarm.active), unseen: those.some((alarm) => !alarm.acknowledged),
    })] : []));
    if (worst) {
      place.setAttribute("role", "img");
      place.setAttribute("aria-label", `${text("alarm")}: ${those.map((alarm) => alarm.message).join("; ")}`);
    } else for (const name of ["role", "aria-label"]) place.removeAttribute(name);
  }
  for (const row of document.querySelectorAll(".alarmed")) row.setAttribute("class", row.getAttribute("class").replace(/ alarmed.*/, ""));
  for (const alarm of active.filter((it) => it.active && it.input).reverse())
    for (const element of document.querySelectorAll(`[data-path="${CSS.escape(alarm.input)}"][data-show="value"]`)) {
      const row = element.closest(".row");
      if (row && !row.classList.contains("alarmed")) row.setAttribute("class", `${row.getAttribute("class")} alarmed mark-${priority(alarm.severity)}`);
    }
}

onFrame((frame, changed) => { if (changed) refresh(); });
