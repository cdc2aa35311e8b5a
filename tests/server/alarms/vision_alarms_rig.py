"""A machine with a vision alarm, and what a camera stores and offers before it raises it."""

import hashlib
import itertools
from pathlib import Path

from alarms_rig import Rig, plant_of

from address_space.model import Plant
from server.evidence import Detection, Evidence, EvidenceRegister
from server.store import now_ticks
from sources.vision.evidence import Archive, EvidenceStore, evidence_id
from sources.vision.settings import EvidenceSettings

ALARM = "\n      Seen: {kind: vision, input: B, severity: 950, confirm: true, message: Fire is seen}\n"


def camera_plant(folder: Path, alarm: str = ALARM) -> Plant:
    return plant_of(folder, alarm)


class Camera:
    """Writes evidence as the vision process does; `register` is what the server knows of it."""

    def __init__(self, folder: Path, **kept: object) -> None:
        self.store = EvidenceStore(folder / "vision", EvidenceSettings.model_validate({"min_free": 0, **kept}))
        self.register = EvidenceRegister()
        self.register.add(Archive(folder / "vision"))
        self._count = itertools.count(1)

    def evidence(self, at: int | None = None) -> Evidence:
        """Store two pictures, which are no pictures here: nobody looks at them."""
        frame_time, number = now_ticks() if at is None else at, next(self._count)
        id_ = evidence_id("Plant.M1", f"B{number}", frame_time)
        seen = Detection("fire", 0.91, (0.1, 0.2, 0.3, 0.4), "fire")
        found = Evidence(id_, "Plant.M1", "B", seen, frame_time, "fire v1", "ab" * 32, 41.5, "", "", "", "")
        return self.store.store(found, b"with boxes %d" % number, b"clean %d" % number)

    async def sees(self, rig: Rig) -> Evidence:
        """Raise the alarm; returns its evidence once the engine has told it."""
        found = self.evidence()
        self.register.offer(rig.plant.variable("Plant.M1.B"), found)
        rig.put(True, "M1.B", at=found.frame_time)
        await rig.seen()
        return found

    @staticmethod
    async def loses_sight(rig: Rig) -> None:
        await rig.set(False, "M1.B")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
