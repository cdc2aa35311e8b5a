// Trends: mean, least and most of each interval from the historian; zoom asks for finer ones; new values follow.
import { aggregates, samples } from "./api.js";
import { known, make, number, qualityOf, text, when } from "./known.js";
import { onFrame, serverNow } from "./live.js";
import { init } from "./vendor/echarts.js";

const SPANS = { hour: 3600e3, day: 86400e3, week: 7 * 86400e3 };
const POINTS = 300, MOST = 6, RAW_BELOW_MS = 15 * 60e3;
const COLOURS = { light: ["#1c4f7c", "#8a4b08", "#2c6a4f", "#7a2f6b", "#4b5358", "#6b6500"],
  dark: ["#8fc1ee", "#f0b46a", "#86d1ae", "#dd9bd0", "#c3ccd2", "#d8d36a"] };
const DASHES = ["solid", "dashed", "dotted", [8, 3, 2, 3], [2, 6], [12, 4]];
const holder = document.getElementById("chart"), failed = document.getElementById("trend-error");
const chart = init(holder, null, { renderer: "canvas" });
let paths = holder.dataset.paths.split(" ").filter(Boolean), span = holder.dataset.span, zoom = null, asked = 0;
let curves = new Map();

const dark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const iso = (ms) => new Date(ms).toISOString();
const nameOf = (path) => known.variables[path]?.n ?? path;
const window_ = () => zoom ?? [serverNow() - SPANS[span], serverNow()];

async function curve(path, from, to) {
  if (to - from <= RAW_BELOW_MS || known.variables[path]?.e || known.variables[path]?.t === "Boolean") {
    const found = await samples(path, { start: iso(from), end: iso(to), limit: 5000 });
    return found.samples.map((it) => [Date.parse(it.source_timestamp), it.quality === "bad" ? null : Number(it.value)]);
  }
  const seconds = Math.max(1, Math.round((to - from) / POINTS / 1000));
  const query = { start: iso(from), end: iso(to), seconds };
  const found = await aggregates(path, { ...query, aggregate: "TimeAverage" });
  return found.intervals.map((it) => [Date.parse(it.time), it.value]);
}

async function load() {
  const mine = ++asked, [from, to] = window_();
  failed.textContent = "";
  chart.showLoading({ text: text("loading"), color: css("--accent"), textColor: css("--text"), maskColor: "transparent" });
  try {
    const found = await Promise.all(paths.map((path) => curve(path, from, to)));
    if (mine !== asked) return;
    curves = new Map(paths.map((path, place) => [path, found[place]]));
  } catch (error) {
    failed.textContent = text("failed", error.message);
    curves = new Map();
  }
  chart.hideLoading();
  draw(from, to);
}

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function axes(units) {
  return units.map((unit, place) => ({ type: "value", scale: true, name: unit || " ", nameTextStyle: { color: css("--dim") },
    position: place % 2 ? "right" : "left", offset: Math.floor(place / 2) * 52, axisLabel: { color: css("--dim") },
    axisLine: { show: true, lineStyle: { color: css("--line") } }, splitLine: { show: place === 0, lineStyle: { color: css("--sunken") } } }));
}

function draw(from, to) {
  const colours = COLOURS[dark() ? "dark" : "light"];
  const units = [...new Set(paths.map((path) => known.variables[path]?.u ?? ""))];
  const left = 48 + 52 * Math.floor((units.length - 1) / 2), right = units.length > 1 ? 48 + 52 * Math.floor((units.length - 2) / 2) : 20;
  chart.setOption({
    animation: false, aria: { enabled: true }, grid: { left, right, top: 36, bottom: 64 },
    textStyle: { fontFamily: css("--font") },
    tooltip: { trigger: "axis", renderMode: "richText", backgroundColor: css("--raised"), textStyle: { color: css("--text") },
      axisPointer: { lineStyle: { color: css("--edge") } }, valueFormatter: (value) => (value === null || value === undefined ? "—" : number(value, 2)) },
    xAxis: { type: "time", min: from, max: to, axisLabel: { color: css("--dim"), hideOverlap: true }, axisLine: { lineStyle: { color: css("--line") } } },
    yAxis: axes(units),
    dataZoom: [{ type: "inside", filterMode: "none" }, { type: "slider", filterMode: "none", height: 22, bottom: 10, borderColor: css("--line"), brushSelect: false,
      dataBackground: { lineStyle: { color: css("--edge") }, areaStyle: { color: css("--sunken") } },
      selectedDataBackground: { lineStyle: { color: css("--edge") }, areaStyle: { color: css("--track") } },
      handleStyle: { color: css("--raised"), borderColor: css("--edge") }, moveHandleStyle: { color: css("--line") },
      textStyle: { color: css("--dim") }, fillerColor: "rgba(120,140,160,.25)", labelFormatter: (value) => when(value) }],
    series: paths.map((path, place) => ({
      type: "line", name: nameOf(path), data: curves.get(path) ?? [], showSymbol: false, connectNulls: false, sampling: "lttb",
      step: known.variables[path]?.e || known.variables[path]?.t === "Boolean" ? "end" : false,
      yAxisIndex: units.indexOf(known.variables[path]?.u ?? ""), lineStyle: { width: 2, type: DASHES[place], color: colours[place] },
      itemStyle: { color: colours[place] }, markLine: limits(path, colours[place]) })),
  }, { notMerge: true });
  holder.dataset.points = String([...curves.values()].reduce((sum, it) => sum + it.length, 0));
  legend(colours);
  table();
}

function limits(path, colour) {
  const found = Object.entries(known.variables[path]?.l ?? {});
  if (!found.length || paths.length > 2) return undefined;
  return { silent: true, symbol: "none", lineStyle: { color: colour, type: "dotted", opacity: .7 },
    label: { color: css("--dim"), formatter: "{b}", position: "insideEndTop" }, data: found.map(([name, value]) => ({ name, yAxis: value })) };
}

function legend(colours) {
  document.getElementById("curves").replaceChildren(...paths.map((path, place) => make("li", {},
    make("span", { class: "sample", style: `border-top:3px ${["solid", "dashed", "dotted"][place % 3]} ${colours[place]}` }),
    make("span", {}, nameOf(path)),
    make("button", { class: "plain", "aria-label": text("remove", nameOf(path)), onclick: () => change(paths.filter((it) => it !== path)) }, "×"))));
}

function table() {
  const rows = paths.map((path) => {
    const numbers = (curves.get(path) ?? []).map((it) => it[1]).filter((it) => it !== null && Number.isFinite(it));
    const places = known.variables[path]?.d ?? 2;
    const cell = (value) => make("td", {}, numbers.length ? number(value, places) : "—");
    return make("tr", {}, make("th", { scope: "row" }, nameOf(path)), cell(Math.min(...numbers)), cell(Math.max(...numbers)),
      cell(numbers.reduce((sum, it) => sum + it, 0) / numbers.length), make("td", {}, known.variables[path]?.u ?? ""));
  });
  const heads = ["variable", "least", "most", "mean"].map((key) => make("th", { scope: "col" }, text(key)));
  document.getElementById("trend-table").replaceChildren(make("table", { class: "list" }, make("thead", {}, make("tr", {}, ...heads, make("td", {}))), make("tbody", {}, ...rows)));
}

function change(next) {
  paths = next.slice(0, MOST);
  const query = new URLSearchParams([...paths.map((path) => ["path", path]), ["span", span]]);
  history.replaceState(null, "", `/trends?${query}`);
  load();
}

document.getElementById("add").addEventListener("change", (event) => {
  const path = event.target.value;
  event.target.value = "";
  if (paths.length >= MOST) failed.textContent = text("too_many", MOST);
  else if (path && !paths.includes(path)) change([...paths, path]);
});

for (const button of document.querySelectorAll("[data-span]"))
  button.addEventListener("click", () => {
    span = button.dataset.span;
    zoom = null;
    for (const other of document.querySelectorAll("[data-span]")) other.setAttribute("aria-pressed", String(other === button));
    change(paths);
  });

// A zoom narrower than a third of what is loaded asks for finer points.
let waiting = 0;
chart.on("datazoom", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    const part = chart.getOption().dataZoom[0];
    if (part.end - part.start > 34) return;
    zoom = [Math.round(part.startValue), Math.round(part.endValue)];
    if (zoom[1] - zoom[0] > 2000) load();
  }, 350);
});

function scale(factor, shift = 0) {
  // The later end stays: what is newest matters most.
  const [from, to] = window_(), end = Math.min(to + shift * (to - from), serverNow());
  zoom = [Math.round(end - (to - from) * factor), Math.round(end)];
  load();
}

holder.addEventListener("keydown", (event) => {
  const done = { "+": () => scale(.5), "-": () => scale(2), ArrowLeft: () => scale(1, -.25), ArrowRight: () => scale(1, .25), Escape: reset }[event.key];
  if (done) { event.preventDefault(); done(); }
});
function reset() { zoom = null; load(); }
holder.addEventListener("dblclick", reset);
document.addEventListener("themechange", () => draw(...window_()));
new ResizeObserver(() => chart.resize()).observe(holder);

let followed = 0;
onFrame((frame) => {
  if (zoom || !curves.size || frame.t - followed < 1000) return;
  followed = frame.t;
  const [from, to] = window_();
  for (const path of paths) {
    const found = frame.v[path], points = curves.get(path);
    if (!found || !points) continue;
    points.push([found[2], qualityOf(found[1]) === "bad" ? null : Number(found[0])]);
    while (points.length && points[0][0] < from - 60e3) points.shift();
  }
  chart.setOption({ xAxis: { min: from, max: to }, series: paths.map((path) => ({ data: curves.get(path) ?? [] })) });
});

load();
