// What is done with a condition more rarely: suppression, service, enabling, limits, false alarms; for those who may.
import { alarmAt, onCondition, setLimits } from "./api.js";
import { ask, attempt, field, toast } from "./dialogs.js";
import { known, make, number, text } from "./known.js";

const LIMITS = ["high_high", "high", "low", "low_low"];
const may = (role) => known.roles.includes(role);
const written = (value, unit) => `${number(value, Number.isInteger(value) ? 0 : 2)}${unit && unit !== "1" ? ` ${unit}` : ""}`;

export const titled = (name, alarm) => `${text(name)}: ${alarm.message || alarm.condition.split(".").slice(1).join(".")}`;

// Asks before, and for a comment where the condition takes one.
const asking = (name, { commented = true, event = false } = {}) => (alarm) => ask({
  title: titled(name, alarm), confirm: text(name), fields: [
    make("p", {}, text(`${name}_about`)),
    ...(commented ? [field("comment", text("remark"), { maxlength: 500 })] : [])] },
(given) => attempt.strict(() => onCondition(alarm.condition, name,
  { ...(event ? { event_id: alarm.event_id } : {}), ...(commented ? { comment: given.comment || null } : {}) })));

const atOnce = (name) => (alarm) => attempt(() => onCondition(alarm.condition, name));

// The limits of now are asked for: no transition tells the list when somebody changes them.
const limits = (listed) => alarmAt(listed.condition).then(askForLimits, (error) => toast(text("failed", error.message), true));

function askForLimits(alarm) {
  const names = LIMITS.filter((name) => name in alarm.limits);
  ask({ title: titled("limits", alarm), confirm: text("write"), fields: names.map((name) => {
    const label = field(name, text(name), { type: "number", step: "any", required: true, value: alarm.limits[name] });
    label.append(make("small", {}, text("of_plant_file", written(alarm.declared_limits[name], alarm.unit))));
    return label;
  }) }, (given) => {
    const changed = Object.fromEntries(names.map((name) => [name, Number(given[name])]).filter(([name, value]) => value !== alarm.limits[name]));
    return Object.keys(changed).length ? attempt.strict(() => setLimits(alarm.condition, changed)) : null;
  });
}

const acts = {
  suppress: asking("suppress"), unsuppress: atOnce("unsuppress"),
  remove_from_service: asking("remove_from_service"), place_in_service: atOnce("place_in_service"),
  silence: atOnce("silence"), report_false_alarm: asking("report_false_alarm", { event: true }),
  disable: asking("disable", { commented: false }), enable: atOnce("enable"), limits,
};

function names(alarm) {
  const found = [];
  if (may(alarm.acknowledge_role) && alarm.enabled) {
    if (!alarm.branch) {
      found.push(alarm.suppressed ? "unsuppress" : "suppress", alarm.out_of_service ? "place_in_service" : "remove_from_service");
      if (alarm.active && !alarm.silenced) found.push("silence");
    }
    if (alarm.evidence) found.push("report_false_alarm");
  }
  if (may(alarm.configure_role) && !alarm.branch) {
    found.push(alarm.enabled ? "disable" : "enable");
    if (Object.keys(alarm.limits).length) found.push("limits");
  }
  return found;
}

// [name, label, what it does] of all that this user may do with this alarm as it is.
export const further = (alarm) => names(alarm).map((name) => [name, text(name), () => acts[name](alarm)]);
