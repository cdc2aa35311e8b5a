// What the server has put into the page, and how values and times are written.
const element = document.getElementById("known");
export const known = element ? JSON.parse(element.textContent) : { texts: {}, variables: {}, statuses: {}, latches: [] };
export const language = document.documentElement.lang || "en";

export function text(key, ...values) {
  let found = known.texts[key] ?? key;
  values.forEach((value, place) => { found = found.replace(`{${place}}`, value); });
  return found;
}

// A name or message of an alarm in the language of the page.
export const said = (words) => known.said?.[words] ?? words;

const formats = new Map();
function decimals(places) {
  if (!formats.has(places))
    formats.set(places, new Intl.NumberFormat(language, { minimumFractionDigits: places, maximumFractionDigits: places }));
  return formats.get(places);
}
const clock = new Intl.DateTimeFormat(language, { timeStyle: "medium" });
const moment = new Intl.DateTimeFormat(language, { dateStyle: "short", timeStyle: "medium" });

export const number = (value, places) => decimals(places).format(value);
export const time = (ms) => clock.format(ms);
export function when(ms) {
  return new Date(ms).toDateString() === new Date().toDateString() ? clock.format(ms) : moment.format(ms);
}

export function age(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}

export const qualityOf = (status) => ["good", "uncertain", "bad", "bad"][status >>> 30];
export function statusName(status) {
  const code = (status & 0xffff0000) >>> 0;
  return known.statuses[status] ?? known.statuses[code] ?? `0x${status.toString(16).toUpperCase().padStart(8, "0")}`;
}

export function written(meta, value) {
  if (value === null || value === undefined) return "–";
  if (meta?.e) return meta.e[value] ?? String(value);
  if (typeof value === "boolean") return text(value ? "yes" : "no");
  if (meta?.t === "DateTime") return value > 0 ? when(value) : "–";
  if (typeof value === "number") return number(value, meta?.d ?? 2);
  return value === "" ? "–" : value;
}

export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}
