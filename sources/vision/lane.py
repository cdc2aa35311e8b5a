"""One camera in the vision process: its pictures, its sight, its rules, and what is told about it."""

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from threading import Event

from server import logs
from server.evidence import Detection, Evidence
from server.store import from_ticks
from sources.vision.blind import Sight
from sources.vision.capture import Capture
from sources.vision.draw import annotated, jpeg, title_of
from sources.vision.evidence import EvidenceStore, evidence_id
from sources.vision.inputs import Frame
from sources.vision.ports import VisionEvent
from sources.vision.rules import Outcome, RuleSet, Seen
from sources.vision.settings import CameraSettings
from sources.vision.wire import HEARTBEAT, Message, State

_RETRY = 1.0  # s between attempts to store evidence that could not be stored

Send = Callable[[Message], None]
log = logs.get(__name__)


class Lane:
    """A camera; `active` names the rules whose alarms a process before this one raised, `asks` what its models ask for.

    `conclude` and `tick` are called by one thread only.
    """

    def __init__(
        self,
        path: str,
        settings: CameraSettings,
        folder: Path,
        fresh: Event,
        store: EvidenceStore,
        active: Collection[str] = (),
        asks: Mapping[str, float] | None = None,
    ) -> None:
        self.path = path
        self.settings = settings
        self.capture = Capture(path, settings.input, folder, fresh)
        self._sight = Sight(settings.blind, time.monotonic())
        self._rules = RuleSet(settings.rules, settings.zones, asks)
        self._store, self._quality = store, store.quality
        self._active = {rule: rule in active for rule in self._rules.names}
        for rule in self._rules.names:
            if self._active[rule]:
                self._rules.resume(rule)
        self._retry_at = 0.0
        self._told_at = 0.0
        self._last: tuple[Detection, int] | None = None
        self._captured, self._latency, self._detected, self._objects = 0, 0.0, 0, 0

    def conclude(self, frame: Frame, detections: list[Detection], hashes: dict[str, str], send: Send) -> None:
        """Take what models saw in a picture: judge it, keep evidence, tell. `hashes`: the SHA-256 of each model."""
        blind = self._sight.look(frame.at, frame.picture, time.monotonic())
        seen = Seen.of(
            [detection.name for detection in detections],
            [detection.confidence for detection in detections],
            [detection.box for detection in detections],
        )
        outcomes = self._rules.update(frame.at, from_ticks(frame.captured), seen, blind=blind is not None)
        self._latency = (time.monotonic() - frame.at) * 1000
        self._captured = frame.captured
        self._objects = len(detections)
        self._detected += len(detections)
        if detections:
            self._last = (max(detections, key=lambda detection: detection.confidence), frame.captured)
        for rule, outcome in outcomes.items():
            self._settle(rule, outcome, frame, detections, hashes, send)
        self._tell(send, fresh=True)

    def tick(self, send: Send) -> None:
        """Without a picture: say that there is none, at once when that makes the camera blind, else now and then."""
        now, before = time.monotonic(), self._sight.reason
        blind = self._sight.wait(now, connected=self.capture.connected)
        if blind is None and not self._captured:
            return  # whether pictures will come is not known yet
        if blind != before or now - self._told_at >= HEARTBEAT:
            self._tell(send, fresh=False)

    def _settle(
        self, rule: str, outcome: Outcome, frame: Frame, detections: list[Detection], hashes: dict[str, str], send: Send
    ) -> None:
        """Tell a rule's transition; one that is raised only once its evidence is on the disk."""
        if outcome.active == self._active[rule]:
            return
        evidence: Evidence | None = None
        if outcome.active:
            evidence = self._keep(rule, outcome.object, frame, detections, hashes)
            if evidence is None:
                self._rules.withdraw(rule)
                send(self._store.status())
                return
        self._active[rule] = outcome.active
        send(VisionEvent(self.path, rule, outcome.active, frame.captured, evidence))
        if evidence is not None:
            send(self._store.status())

    def _keep(
        self, rule: str, decisive: int, frame: Frame, detections: list[Detection], hashes: dict[str, str]
    ) -> Evidence | None:
        """Store what an alarm is raised for; None when it cannot be, which is tried again with a later picture."""
        now = time.monotonic()
        if now < self._retry_at:
            return None
        detection = detections[decisive]
        moment = from_ticks(frame.captured)
        zones = [self.settings.zones[name] for name in self.settings.rules[rule].zones]
        title = title_of(self.path, rule, moment)
        drawn = annotated(frame.picture, detections, detection, zones, title)
        evidence = Evidence(
            id=evidence_id(self.path, rule, frame.captured),
            camera=self.path,
            rule=rule,
            detection=detection,
            frame_time=frame.captured,
            model_name=detection.model,
            model_sha256=hashes.get(detection.model, ""),
            latency=round(self._latency, 3),
            snapshot="",
            snapshot_sha256="",
            clean="",
            clean_sha256="",
        )
        try:
            return self._store.store(evidence, jpeg(drawn, self._quality), jpeg(frame.picture, self._quality))
        except OSError as error:
            self._retry_at = now + _RETRY
            log.error("an alarm is held back: its evidence cannot be stored", rule=rule, error=str(error))
            return None

    def _tell(self, send: Send, *, fresh: bool) -> None:
        now = time.monotonic()
        self._told_at = now
        last, last_time = self._last or (None, 0)
        send(
            State(
                camera=self.path,
                fresh=fresh,
                captured=self._captured,
                latency=round(self._latency, 3),
                rate=round(self.capture.rate(now), 3),
                arrived=self.capture.arrived,
                dropped=self.capture.dropped,
                detected=self._detected,
                objects=self._objects,
                blind=self._sight.reason,
                error=self.capture.error,
                rules=dict(self._active),
                last=last,
                last_time=last_time,
            )
        )
