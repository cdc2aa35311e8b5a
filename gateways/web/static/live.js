// Live values: one WebSocket, elements found by data-path. What is not Good, or old, never looks alive.
import { age, known, qualityOf, statusName, text, time, written } from "./known.js";

const SILENCE_MS = 3000; // the server says something every second
const RETRY_MS = [250, 500, 1000, 2000, 3000];
export const values = new Map(); // path -> [value, status, source time in ms]
const listeners = [];
const elements = new Map();
let heard = 0, lostSince = 0, tries = 0, offset = 0, alarmCount = null, socket = null;

export const onFrame = (listener) => listeners.push(listener);
export const serverNow = () => Date.now() + offset;

export function adopt(root = document) {
  for (const element of root.querySelectorAll("[data-path][data-show]")) {
    const path = element.dataset.path;
    if (element.dataset.meta) known.variables[path] ??= JSON.parse(element.dataset.meta);
    if (!elements.has(path)) elements.set(path, new Set());
    elements.get(path).add(element);
    if (values.has(path)) paint(element, path, values.get(path));
  }
}

export function forget(root) {
  for (const element of root.querySelectorAll("[data-path][data-show]")) elements.get(element.dataset.path)?.delete(element);
}

function share(meta, value) {
  const [low, high] = meta?.r ?? [0, 1];
  return Math.min(1, Math.max(0, (value - low) / (high - low || 1)));
}

const painters = {
  value(element, meta, [value, status], quality) {
    let shown = quality === "bad" ? "—" : written(meta, value);
    if (quality === "uncertain") shown = `? ${shown}`;
    if (quality === "bad" && element.namespaceURI.includes("svg")) shown = "✕ —";
    if (element.textContent !== shown) element.textContent = shown;
    if (element.tagName !== "text") element.title = statusName(status);
  },
  pointer(element, meta, [value]) {
    const width = Number(element.dataset.width);
    const moved = `translateX(${(share(meta, value) * width).toFixed(1)}px)`;
    if (element.style.transform !== moved) element.style.transform = moved;
  },
  bar(element, meta, [value]) { element.style.left = `${(share(meta, value) * 100).toFixed(1)}%`; },
  on(element, meta, [value], quality) {
    const on = quality !== "bad" && (element.dataset.on ?? "").split(" ").includes(String(Number(value)));
    element.classList.toggle("on", on);
  },
  quality(element, meta, [, status, stamp], quality) {
    element.textContent = quality === "good" ? "Good" : `${statusName(status)} · ${age(serverNow() - stamp)}`;
  },
  stamp(element, meta, [, , stamp]) { element.textContent = stamp > 0 ? time(stamp) : "—"; },
};

function paint(element, path, found) {
  const quality = qualityOf(found[1]);
  if (element.dataset.quality !== quality) element.dataset.quality = quality;
  painters[element.dataset.show]?.(element, known.variables[path], found, quality);
}

function take(frame) {
  heard = Date.now();
  offset = frame.t - heard;
  if (document.body.dataset.link !== "live") setLink("live");
  for (const [path, found] of Object.entries(frame.v)) {
    values.set(path, found);
    const shown = elements.get(path);
    if (shown) for (const element of shown) paint(element, path, found);
  }
  const alarmsChanged = frame.a !== alarmCount;
  alarmCount = frame.a;
  for (const listener of listeners) listener(frame, alarmsChanged);
}

function setLink(state) {
  document.body.dataset.link = state;
  const words = document.getElementById("link-text");
  if (!words) return;
  if (state === "lost") lostSince ||= heard || Date.now();
  else lostSince = 0;
  words.textContent = state === "lost" ? text("lost") : text(state === "live" ? "live" : "connecting");
  document.getElementById("link").title = state === "lost" ? text("lost_since", time(lostSince)) : "";
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const mine = socket = new WebSocket(`${scheme}://${location.host}/live`);
  mine.addEventListener("message", (event) => {
    tries = 0;
    if (mine === socket) take(JSON.parse(event.data));
  });
  mine.addEventListener("close", (event) => {
    if (mine !== socket) return;
    setLink("lost");
    if (event.code === 4401) location.assign("/login");
    else setTimeout(connect, RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)]);
  });
}

function tick() {
  const now = Date.now();
  if (heard && now - heard > SILENCE_MS && document.body.dataset.link === "live") {
    setLink("lost");
    socket?.close(); // a dead link says nothing: start anew
  }
  const clock = document.getElementById("clock");
  if (clock) clock.textContent = document.body.dataset.link === "lost" ? time(lostSince) : time(serverNow());
  for (const element of document.querySelectorAll('[data-show="quality"]:not([data-quality="good"])')) {
    const found = values.get(element.dataset.path);
    if (found) paint(element, element.dataset.path, found);
  }
}

adopt();
connect();
setInterval(tick, 500);
window.addEventListener("offline", () => setLink("lost"));
