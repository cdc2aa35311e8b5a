// Snapshots of vision alarms, newest first.
import { reportPicture, snapshots } from "./api.js";
import { ask, attempt, field } from "./dialogs.js";
import { make, number, text, when } from "./known.js";

const list = document.getElementById("pictures"), boxes = document.getElementById("boxes");
const dialog = document.getElementById("picture-dialog");
let clean = false, shown = [];
const address = (it) => `/api/v1/snapshots/${encodeURIComponent(it.id)}${clean ? "?clean=true" : ""}`;
const about = (it) => `${it.camera.split(".").pop()} · ${it.detection.name} ${number(it.detection.confidence * 100, 0)} %`;

function open(it) {
  document.getElementById("picture-title").textContent = about(it);
  const picture = document.getElementById("picture");
  picture.src = address(it);
  picture.alt = about(it);
  const facts = [["time", when(Date.parse(it.time))], ["camera", it.camera], ["rule", it.rule], ["model", it.model_name], ["latency", `${number(it.latency, 0)} ms`], ["SHA-256", clean ? it.clean_sha256 : it.snapshot_sha256]];
  document.getElementById("picture-facts").replaceChildren(...facts.flatMap(([name, value]) => [make("dt", {}, text(name)), make("dd", {}, value)]));
  const button = document.getElementById("report-false-alarm");
  button.hidden = !it.may_report;
  button.onclick = () => { dialog.close(); report(it); };
  dialog.showModal();
}

const report = (it) => ask({ title: `${text("report_false_alarm")}: ${about(it)}`, confirm: text("report_false_alarm"), fields: [
  make("p", {}, text("report_false_alarm_about")), field("comment", text("remark"), { maxlength: 500 })] },
(given) => attempt.strict(() => reportPicture(it.id, given.comment || null)));

function draw() {
  list.replaceChildren(...shown.map((it) => make("li", { id: it.id }, make("button", { onclick: () => open(it), class: "picture" },
    make("img", { src: address(it), alt: about(it), loading: "lazy", width: 320, height: 240 }),
    make("span", {}, about(it)), make("small", {}, when(Date.parse(it.time)))))));
  document.getElementById("no-pictures").hidden = shown.length > 0;
}

async function load() {
  const found = await snapshots(200);
  shown = found.snapshots;
  draw();
  const wanted = shown.find((it) => `#${it.id}` === location.hash);
  if (wanted) open(wanted);
}

boxes?.addEventListener("click", () => {
  clean = !clean;
  boxes.setAttribute("aria-pressed", String(!clean));
  boxes.textContent = text(clean ? "clean" : "boxes");
  draw();
});
load().catch((error) => {
  const none = document.getElementById("no-pictures");
  none.textContent = text("failed", error.message);
  none.hidden = false;
});
