"""What the vision tests share: plants with cameras, a source that runs, a camera on HTTP, small clips."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from address_space import load_plant
from address_space.model import Plant, Variable
from server.evidence import Evidence, EvidenceRegister
from server.ports import SourceContext
from server.quality import GOOD
from server.store import Store
from sources.vision import create
from sources.vision.source import VisionSource

RULES = ("PersonInZone", "Person", "Fire")
BOOLEANS = ("Online", "Blind", "EvidenceKept", *RULES)
VARIABLES = {
    **{name: {"type": "Boolean"} for name in BOOLEANS},
    "FrameRate": {"type": "Double"},
    "InferenceLatency": {"type": "Double"},
    "BlindReason": {"type": "String"},
    "LastError": {"type": "String"},
    "LastDetectionClass": {"type": "String"},
    "LastDetectionConfidence": {"type": "Double"},
    "LastDetectionTime": {"type": "DateTime"},
    "DetectionCount": {"type": "UInt64"},
    "ObjectCount": {"type": "UInt32"},
    "Dropped": {"type": "UInt64"},
}
WHOLE = [[0, 0], [1, 0], [1, 1], [0, 1]]
QUICK = {"frames": 2, "of": 3, "hold": 0.2, "clear_after": 0.5, "confidence": 0.5}


def person_model(data: Path, **more: Any) -> dict[str, Any]:
    """Return the options of the reference model, persons only."""
    file = str(data / "models" / "yolox_nano.onnx")
    return {"file": file, "head": "yolox", "classes": {0: "person"}, "threads": 1, **more}


def make_plant(folder: Path, cameras: dict[str, Any], models: dict[str, Any] | None = None, **options: Any) -> Plant:
    """Return a plant of cameras, Plant.Camera1 …, fed by the source `eyes`."""
    evidence = {"folder": str(folder / "evidence"), "min_free": 0}
    source = {
        "kind": "vision",
        "models": models or {},
        "cameras": cameras,
        "evidence": evidence,
        "priority": "normal",
        **options,
    }
    data = {
        "plant": {"type": "PlantType"},
        "types": {
            "PlantType": {"description": "A plant"},
            "CameraType": {
                "description": "A camera",
                "variables": {name: {"description": name, **spec} for name, spec in VARIABLES.items()},
            },
        },
        "sources": {"eyes": source},
        "objects": {name: {"type": "CameraType", "source": "eyes"} for name in cameras},
    }
    file = folder / "plant.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    return load_plant(file)


@dataclass(frozen=True)
class Event:
    """A rule's variable that turned: its time in ticks, and with True the evidence that was offered before."""

    rule: str
    active: bool
    time: int
    evidence: Evidence | None


class Ears:
    """Reads the journal as an alarm engine does, and remembers."""

    def __init__(self, store: Store, evidence: EvidenceRegister) -> None:
        self._store, self._evidence = store, evidence
        self._cursor = store.journal.cursor("ears")
        self._events: list[Event] = []
        self._blind: list[tuple[str, str]] = []
        self._known: dict[int, Any] = {}

    @property
    def events(self) -> list[Event]:
        self._read()
        return self._events

    @property
    def blind(self) -> list[tuple[str, str]]:
        """Path and reason of each camera whose sight changed, '' for one that sees."""
        self._read()
        return self._blind

    def raised(self, rule: str) -> list[Event]:
        return [event for event in self.events if event.rule == rule and event.active]

    def cleared(self, rule: str) -> list[Event]:
        return [event for event in self.events if event.rule == rule and not event.active]

    def _read(self) -> None:
        while len(batch := self._cursor.read()):
            values = self._store.objects(batch)
            for id_, value, status, time_ in zip(
                batch.ids.tolist(), values, batch.statuses.tolist(), batch.source_timestamps.tolist(), strict=True
            ):
                if status == GOOD:
                    self._take(self._store.plant.variables[id_], value, time_)

    def _take(self, variable: Variable, value: Any, time_: int) -> None:
        before = self._known.get(variable.id)
        self._known[variable.id] = value
        if variable.name == "BlindReason" and value != (before or ""):
            self._blind.append((variable.path, value))
        elif variable.name in RULES and value != bool(before):
            evidence = self._evidence.take(variable, time_) if value else None
            self._events.append(Event(variable.name, value, time_, evidence))


class Rig:
    """A source on a real store."""

    def __init__(self, plant: Plant) -> None:
        self.plant, self.store = plant, Store(plant)
        self.evidence = EvidenceRegister()
        source = create(context_of(plant, self.store, self.evidence))
        assert isinstance(source, VisionSource)
        self.source, self.ears = source, Ears(self.store, self.evidence)
        self.task: asyncio.Task[None] | None = None

    def value(self, path: str) -> Any:
        return self.store.value(self.plant.variable(path).id)

    def status(self, path: str) -> int:
        return int(self.store.statuses(np.array([self.plant.variable(path).id]))[0])

    def stamp(self, path: str) -> int:
        return int(self.store.source_timestamps(np.array([self.plant.variable(path).id]))[0])


def context_of(plant: Plant, store: Store, evidence: EvidenceRegister | None = None) -> SourceContext:
    machines = tuple(machine for machine in plant.machines if machine.source == "eyes")
    return SourceContext("eyes", plant, machines, store, plant.sources["eyes"].options, evidence)


@contextlib.asynccontextmanager
async def running(plant: Plant) -> AsyncIterator[Rig]:
    """Run the source of a plant for the time of a `with` block; its failure is the test's."""
    rig = Rig(plant)
    rig.task = task = asyncio.create_task(rig.source.run())
    try:
        yield rig
    finally:
        task.cancel()  # one that has failed already was looked at by `until`
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()


async def until(rig: Rig, holds: Callable[[], Any], what: str, within: float = 12.0) -> Any:
    """Return what `holds` returns once that is true; the source's own error, or AssertionError naming `what`."""
    deadline = time.monotonic() + within
    while not (result := holds()):
        if rig.task is not None and rig.task.done():
            rig.task.result()
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}; {rig.source.states}"
        await asyncio.sleep(0.02)
    return result


def pictures(clip: Path, count: int | None = None) -> list[np.ndarray]:
    """Return the pictures of a clip."""
    capture, result = cv2.VideoCapture(str(clip)), []
    while (count is None or len(result) < count) and (read := capture.read())[0]:
        result.append(np.asarray(read[1]))
    assert result
    return result


def write_clip(file: Path, frames: Sequence[np.ndarray], fps: float = 10.0) -> Path:
    """Write a clip with next to no loss (motion JPEG)."""
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), fps, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return file


class HttpCamera:
    """A network camera: motion JPEG over HTTP (multipart/x-mixed-replace), which can be unplugged and plugged in."""

    def __init__(self, frames: Sequence[np.ndarray], fps: float = 10.0) -> None:
        self.jpegs = [cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames]
        self.step = 1 / fps
        self.plugged = threading.Event()
        self.plugged.set()
        self.sent = 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/camera"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not camera.plugged.is_set():
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                with contextlib.suppress(OSError):
                    self._stream()

            def _stream(self) -> None:
                due = time.monotonic()
                while camera.plugged.is_set():
                    data = camera.jpegs[camera.sent % len(camera.jpegs)]
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                    self.wfile.write(head.encode() + data + b"\r\n")
                    camera.sent += 1
                    due += camera.step
                    time.sleep(max(0.0, due - time.monotonic()))

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler


@contextlib.contextmanager
def http_camera(frames: Sequence[np.ndarray], fps: float = 10.0) -> Iterator[HttpCamera]:
    """Serve a camera for the time of a `with` block."""
    camera = HttpCamera(frames, fps)
    thread = threading.Thread(target=camera.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield camera
    finally:
        camera.plugged.clear()
        camera.server.shutdown()
        thread.join()
        camera.server.server_close()
