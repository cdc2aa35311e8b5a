// The emergency stop: asks for confirmation, shows each latch with its first cause, and releases it in two steps.
import { command } from "./api.js";
import { toast } from "./dialogs.js";
import { known, make, text, when } from "./known.js";
import { onFrame, values } from "./live.js";

const byId = (id) => document.getElementById(id);
const nameOf = (machine) => (machine === known.root ? text("estop_all") : machine.split(".").pop());
const shown = (machine, part) => values.get(`${machine}.EmergencyStop${part}`)?.[0];
let drawn = "", resetting = null, code = "";

export function openStop(machine) {
  byId("stop-machine").value = machine ?? known.root;
  byId("stop-dialog").showModal();
  byId("stop-confirm").focus();
}

async function stop(event) {
  event.preventDefault();
  const machine = byId("stop-machine").value;
  byId("stop-confirm").disabled = true;
  try {
    await command(`${machine}.EmergencyStop`, { Reason: byId("stop-reason").value });
    toast(text("estop_done", nameOf(machine)));
  } catch (error) {
    toast(text("failed", error.message), true);
  } finally {
    byId("stop-confirm").disabled = false;
    byId("stop-dialog").close();
  }
}

function cause(machine) {
  return text("latch_cause", shown(machine, "Reason") || "?", shown(machine, "By") || "?", shown(machine, "Origin") || "?",
    when(shown(machine, "Time") ?? 0));
}

function showLatches() {
  const latched = known.latches.filter((machine) => shown(machine, "Active") === true);
  const state = latched.map((machine) => `${machine}:${cause(machine)}`).join("|");
  if (state === drawn) return;
  drawn = state;
  byId("latches").replaceChildren(...latched.map((machine) => make("div", { class: "latch", role: "alert", "data-latch": machine },
    make("strong", {}, text("latched", nameOf(machine))), make("span", {}, cause(machine)),
    make("button", { onclick: () => openReset(machine) }, text("reset")))));
}

function openReset(machine) {
  resetting = machine;
  code = "";
  byId("reset-title").textContent = text("reset_title", nameOf(machine));
  byId("reset-text").textContent = text("reset_first", cause(machine));
  byId("reset-error").textContent = "";
  byId("reset-ask").hidden = false;
  byId("reset-confirm").hidden = true;
  byId("reset-dialog").showModal();
}

async function callReset(given) {
  byId("reset-error").textContent = "";
  try {
    const answer = await command(`${resetting}.ResetEmergencyStop`, { [known.resetArgument]: given });
    return Object.values(answer.outputs)[0] ?? "";
  } catch (error) {
    byId("reset-error").textContent = error.message;
    return null;
  }
}

async function askForRelease() {
  const given = await callReset("");
  if (!given) return;
  code = given;
  byId("reset-text").textContent = text("reset_sure", nameOf(resetting));
  byId("reset-ask").hidden = true;
  byId("reset-confirm").hidden = false;
  byId("reset-confirm").focus();
}

async function release() {
  if (await callReset(code) === null) return;
  byId("reset-dialog").close();
  toast(text("reset_done", nameOf(resetting)));
}

byId("estop").addEventListener("click", () => openStop());
byId("stop-dialog").querySelector("form").addEventListener("submit", stop);
byId("reset-ask").addEventListener("click", askForRelease);
byId("reset-confirm").addEventListener("click", release);
onFrame(showLatches);
