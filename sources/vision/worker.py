"""The vision process: `python -m sources.vision.worker`, started by the source. Standard input is its configuration.

One line of JSON comes first; when standard input ends, the server is gone and so is this process. Standard output
carries messages (`wire`), standard error the log.
"""

import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import cv2

from server import logs
from server.evidence import Detection
from sources.vision.evidence import EvidenceStore
from sources.vision.heads import ModelError
from sources.vision.lane import Lane, Send
from sources.vision.priority import stand_behind
from sources.vision.settings import CameraSettings, Settings
from sources.vision.start import Start
from sources.vision.wire import Fault, Message, Ready, encode

if TYPE_CHECKING:
    from sources.vision.analyst import Analyst

_TICK = 0.1  # s between two looks at cameras without pictures
_UPKEEP, _RETRY = 60.0, 2.0  # s between two looks at the disk, and while nothing can be stored

log = logs.get(__name__)


class Worker:
    """All cameras and models of a source."""

    def __init__(self, start: Start, send: Send) -> None:
        settings, folder = start.settings, start.folder
        self._stop = threading.Event()
        self._send = send
        self._fresh = threading.Event()
        self._analysts = _analysts(settings, folder)
        self._hashes = {name: analyst.detector.network.sha256 for name, analyst in self._analysts.items()}
        self._store = EvidenceStore(start.evidence, settings.evidence)
        self._lanes = [
            Lane(path, camera, folder, self._fresh, self._store, start.active.get(path, ()), self._asks(camera))
            for path, camera in ((start.paths[name], camera) for name, camera in settings.cameras.items())
        ]

    def _asks(self, camera: CameraSettings) -> dict[str, float]:
        """Return the confidences that the models of a camera ask for, by class; of several, the first one's."""
        asked: dict[str, float] = {}
        for name in reversed(camera.models):
            asked |= self._analysts[name].detector.thresholds
        return asked

    def stop(self) -> None:
        """End `run`; for another thread."""
        self._stop.set()
        self._fresh.set()

    def run(self) -> None:
        """Look at what the cameras show until stopped."""
        self._send(Ready({name: analyst.detector.network.provider for name, analyst in self._analysts.items()}))
        looked_at = self._look_after()
        for lane in self._lanes:
            lane.capture.start()
        while not self._stop.is_set():
            self._fresh.wait(_TICK)
            self._fresh.clear()
            self.step()
            if time.monotonic() - looked_at >= (_RETRY if self._store.error else _UPKEEP):
                looked_at = self._look_after()
        for lane in self._lanes:
            lane.capture.stop()

    def _look_after(self) -> float:
        """See to the evidence; return when that was (monotonic, s)."""
        self._store.look_after()
        self._send(self._store.status())
        return time.monotonic()

    def step(self) -> None:
        """Take the newest picture of every camera that has one, and look at them together."""
        taken = [(lane, lane.capture.take()) for lane in self._lanes]
        frames = [(lane, frame) for lane, frame in taken if frame is not None]
        found: dict[str, list[Detection]] = {lane.path: [] for lane, _ in frames}
        for name, analyst in self._analysts.items():
            wanted = [(lane, frame) for lane, frame in frames if name in lane.settings.models]
            if wanted:
                results = analyst.detect([frame for _, frame in wanted])
                for (lane, _), detections in zip(wanted, results, strict=True):
                    found[lane.path] += detections
        for lane, frame in frames:
            lane.conclude(frame, found[lane.path], self._hashes, self._send)
        for lane, frame in taken:
            if frame is None:
                lane.tick(self._send)


def _analysts(settings: Settings, folder: Path) -> "dict[str, Analyst]":
    """Load the models that cameras name; ONNX Runtime is imported only where there are some."""
    wanted = {name for camera in settings.cameras.values() for name in camera.models}
    if not wanted:
        return {}
    from sources.vision.analyst import Analyst  # noqa: PLC0415

    return {name: Analyst(name, settings, folder) for name in settings.models if name in wanted}


def _serve(start: Start, output: BinaryIO) -> int:
    logs.configure(*start.log)
    settings = start.settings
    # The source has done so as well; threads that were started meanwhile may have inherited what was before.
    log.info("vision process", priority=stand_behind(os.getpid(), settings.priority, settings.nice))
    cv2.setNumThreads(1)  # captures and models have threads of their own
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # errors; that a camera is not there is said by us
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # likewise; its lines may have a URL's password
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", f"rtsp_transport;{settings.transport}")
    lock = threading.Lock()

    def send(message: Message) -> None:
        with lock:
            output.write(encode(message))
            output.flush()

    try:
        worker = Worker(start, send)
    except (ModelError, OSError) as error:
        send(Fault(str(error)))
        return 1
    threading.Thread(target=_until_end, args=(worker,), daemon=True).start()
    try:
        worker.run()
    except BrokenPipeError:
        log.warning("the server is gone; vision ends")
    except Exception as error:
        send(Fault(f"{type(error).__name__}: {error}"))
        log.exception("vision failed")
        return 1
    return 0


def _until_end(worker: Worker) -> None:
    """Stop the worker when standard input ends."""
    while sys.stdin.buffer.read(4096):
        pass
    worker.stop()


def main() -> None:
    """Run until standard input ends."""
    # What libraries print must not come between the messages.
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    code = _serve(Start.model_validate_json(sys.stdin.buffer.readline()), output)
    sys.stderr.flush()
    os._exit(code)  # a capture that hangs in a read would keep the process


if __name__ == "__main__":
    main()
