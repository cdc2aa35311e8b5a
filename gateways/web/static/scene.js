// The plant in three dimensions: grey where all is normal, light where it runs, colour where there is an alarm.
import { onAlarms } from "./alarm-state.js";
import { qualityOf } from "./known.js";
import { onFrame, values } from "./live.js";
import { priority } from "./marks.js";
import * as three from "./vendor/three.js";

const canvas = document.getElementById("scene"), labels = document.getElementById("labels");
const machines = JSON.parse(document.getElementById("machines").textContent);
const UNIT = 1 / 60;
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const extent = new three.Box3();
let alarms = [], view = null, touched = false;

const box = (w, h, d, x, y, z) => { const g = new three.BoxGeometry(w, h, d); g.translate(x, y, z); return g; };
function cylinder(radius, length, x, y, z, turn) {
  const g = new three.CylinderGeometry(radius, radius, length, 28);
  if (turn === "z") g.rotateZ(Math.PI / 2);
  if (turn === "x") g.rotateX(Math.PI / 2);
  g.translate(x, y, z);
  return g;
}

// [geometry, whether it takes the state's colour]
const SHAPES = {
  generator: () => [[box(6.4, .4, 2.6, 0, .2, 0)], [box(3, 2, 2, -1.4, 1.4, 0), 1], [cylinder(1.05, 2, 1.6, 1.5, 0, "z"), 1], [cylinder(.25, .7, .4, 1.5, 0, "z")], [box(.7, 2, 2.2, -3, 1.4, 0)], [cylinder(.16, 1.8, -1.6, 3.2, .5)], [box(1.1, .7, .5, 1.6, 2.8, 0)]],
  meter: () => [[box(2, 2.6, 1.2, 0, 1.3, 0), 1], [cylinder(.12, 1.2, -.6, 3.2, 0)], [cylinder(.12, 1.2, 0, 3.2, 0)], [cylinder(.12, 1.2, .6, 3.2, 0)]],
  line: () => [[box(4.6, .3, 1.3, 0, 1, 0), 1], ...[-2, 0, 2].flatMap((x) => [[box(.2, .9, .2, x, .45, .5)], [box(.2, .9, .2, x, .45, -.5)]]), [box(1.4, 1.5, 1.7, 1, 1.9, 0), 1], [box(.5, .5, .5, -1.7, 1.4, 0)], [box(.5, .5, .5, -.7, 1.4, 0)]],
  camera: () => [[cylinder(.12, 2.4, 0, 1.2, 0)], [box(1.2, .6, .6, 0, 2.5, 0), 1], [cylinder(.22, .4, .75, 2.5, 0, "z")]],
  climate: () => [[box(1.6, .3, 1.6, 0, .15, 0)], [cylinder(.35, 2, 0, 1.3, 0), 1], [new three.SphereGeometry(.6, 24, 16).translate(0, .6, 0), 1]],
  machine: () => [[box(2.6, 2, 2, 0, 1, 0), 1]],
};

function colourOf(machine) {
  const own = alarms.filter((it) => it.machine === machine.path && it.active && !it.hidden);
  if (own.length) return css(`--p${Math.min(...own.map((it) => priority(it.severity)))}`);
  const found = machine.state ? values.get(machine.state) : null;
  if (!machine.state) return css("--resting");
  if (document.body.dataset.link !== "live" || !found || qualityOf(found[1]) === "bad") return css("--bad");
  const name = machine.names.length ? machine.names[Number(found[0])] : "Running";
  return css(["Running", "Normal", "Starting"].includes(name) ? "--running" : "--resting");
}

function build() {
  const renderer = new three.WebGLRenderer({ canvas, antialias: true });
  const scene = new three.Scene(), camera = new three.PerspectiveCamera(38, 1, .1, 200);
  const controls = new three.OrbitControls(camera, canvas);
  controls.maxPolarAngle = Math.PI / 2.1;
  controls.minDistance = 6;
  controls.maxDistance = 80;
  scene.add(new three.HemisphereLight(0xffffff, 0x70787f, 1.9));
  const sun = new three.DirectionalLight(0xffffff, 1.15);
  sun.position.set(6, 12, 8);
  scene.add(sun);
  const floor = new three.Mesh(new three.PlaneGeometry(60, 60), new three.MeshStandardMaterial({ roughness: 1 }));
  floor.rotation.x = -Math.PI / 2;
  scene.add(floor);
  const parts = machines.map((machine) => {
    const group = new three.Group();
    const state = new three.MeshStandardMaterial({ roughness: .75 }), body = new three.MeshStandardMaterial({ roughness: .85 });
    for (const [geometry, coloured] of (SHAPES[machine.symbol] ?? SHAPES.machine)()) {
      group.add(new three.Mesh(geometry, coloured ? state : body));
      group.add(new three.LineSegments(new three.EdgesGeometry(geometry, 30), new three.LineBasicMaterial({ color: 0x5c666e })));
    }
    group.position.set(machine.x * UNIT, 0, machine.y * UNIT * 1.35);
    scene.add(group);
    const label = document.createElement("span");
    label.textContent = machine.name;
    labels.append(label);
    return { machine, group, state, body, label, top: new three.Box3().setFromObject(group).max.y + .35 };
  });
  for (const part of parts) extent.union(new three.Box3().setFromObject(part.group));
  controls.addEventListener("start", () => { touched = true; });
  return { renderer, scene, camera, controls, floor, parts };
}

function paint() {
  for (const machine of machines) {
    const swatch = document.querySelector(`[data-swatch="${CSS.escape(machine.path)}"]`);
    if (swatch) swatch.style.background = colourOf(machine);
  }
  if (!view) return;
  view.scene.background = new three.Color(css("--panel"));
  view.floor.material.color.set(css("--page"));
  for (const part of view.parts) {
    part.state.color.set(colourOf(part.machine));
    part.body.color.set(css("--zone"));
  }
  draw();
}

let asked = false;
function draw() {
  if (asked || !view) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    view.renderer.render(view.scene, view.camera);
    for (const part of view.parts) {
      const at = new three.Vector3(part.group.position.x, part.top, part.group.position.z).project(view.camera);
      part.label.style.left = `${((at.x + 1) / 2 * width).toFixed(0)}px`;
      part.label.style.top = `${((1 - at.y) / 2 * height).toFixed(0)}px`;
    }
    canvas.dataset.drawn = String(Number(canvas.dataset.drawn ?? 0) + 1);
  });
}

function fit() {
  const { clientWidth: width, clientHeight: height } = canvas.parentElement;
  view.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
  view.renderer.setSize(width, height, false);
  view.camera.aspect = width / height;
  const size = extent.getSize(new three.Vector3()), middle = extent.getCenter(new three.Vector3());
  const across = Math.tan(view.camera.fov * Math.PI / 360);
  const far = Math.max(size.x / 2 / (across * view.camera.aspect), (size.z * .8 + size.y) / 2 / across) + size.z / 2;
  if (!touched) {
    view.controls.target.set(middle.x, .4, middle.z);
    view.camera.position.set(middle.x, far * .62, middle.z + far * .82);
    view.controls.update();
  }
  view.camera.updateProjectionMatrix();
  draw();
}

function turn(event) {
  const step = { ArrowLeft: [-.15, 0], ArrowRight: [.15, 0], ArrowUp: [0, -.1], ArrowDown: [0, .1] }[event.key];
  if (!step) return;
  event.preventDefault();
  touched = true;
  const offset = view.camera.position.clone().sub(view.controls.target);
  const flat = Math.hypot(offset.x, offset.z), length = offset.length();
  const around = Math.atan2(offset.x, offset.z) + step[0];
  const up = Math.min(1.45, Math.max(.1, Math.atan2(offset.y, flat) - step[1]));
  view.camera.position.set(Math.sin(around) * Math.cos(up) * length, Math.sin(up) * length, Math.cos(around) * Math.cos(up) * length).add(view.controls.target);
  view.controls.update();
  draw();
}

try {
  view = build();
  view.controls.addEventListener("change", draw);
  canvas.addEventListener("keydown", turn);
  new ResizeObserver(fit).observe(canvas.parentElement);
} catch (error) { // no WebGL: the list says the same
  canvas.hidden = true;
  document.getElementById("no-webgl").hidden = false;
}
onAlarms((found) => { alarms = found; paint(); });
const states = new Set(machines.map((it) => it.state));
onFrame((frame) => { if (frame.first || Object.keys(frame.v).some((path) => states.has(path))) paint(); });
new MutationObserver(paint).observe(document.body, { attributes: true, attributeFilter: ["data-link"] });
document.addEventListener("themechange", paint);
paint();
