"""A server of two cameras whose evidence the test stores, as the vision process would, before it raises an alarm."""

import contextlib
import itertools
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import numpy as np
from asyncua import Client, ua

from server.assembly import Plantree, running
from server.evidence import Evidence
from server.settings import HttpSettings
from server.store import now_ticks
from sources.vision.evidence import Archive, EvidenceStore
from sources.vision.settings import EvidenceSettings
from tests.server.evidence_rig import PLANT, seen
from tests.server.opcua.opcua_rig import nid, settings
from tests.server.opcua_conditions.conditions_rig import call

FIRE = "Plant.Camera1.FireAlarm"
SIZE = 150_000
"""Of a picture in bytes: more than one Read returns."""


class Cameras:
    """Stores what cameras see and raises their alarms."""

    def __init__(self, plantree: Plantree, folder: Path, **kept: object) -> None:
        self.plantree, self.folder = plantree, folder / "vision"
        self.store = EvidenceStore(self.folder, EvidenceSettings.model_validate({"min_free": 0, **kept}))
        plantree.evidence.add(Archive(self.folder))
        self._pictures = (np.random.default_rng(number).bytes(SIZE) for number in itertools.count(1))

    def see(self, rule: str = "Fire", camera: str = "Plant.Camera1") -> Evidence:
        """Store evidence and raise the rule's alarm; returns what was stored."""
        found = self.store.store(seen(rule, camera), next(self._pictures), next(self._pictures))
        variable = self.plantree.plant.variable(f"{camera}.{rule}")
        self.plantree.evidence.offer(variable, found)
        self.plantree.store.write(np.array([variable.id]), np.array([True]), found.frame_time)
        return found

    def lose(self, rule: str = "Fire", camera: str = "Plant.Camera1") -> None:
        """Have the rule see nothing any more."""
        variable = self.plantree.plant.variable(f"{camera}.{rule}")
        self.plantree.store.write(np.array([variable.id]), np.array([False]), now_ticks())


@contextlib.asynccontextmanager
async def cameras(folder: Path, kept: dict[str, Any] | None = None, **http: Any) -> AsyncGenerator[Cameras]:
    """Run the server; a second time over the same folder is a restart."""
    file = folder / "plant.yaml"
    file.write_text(PLANT, encoding="utf-8")
    found = settings(folder, file)
    if http:
        found = found.model_copy(update={"http": HttpSettings(port=0, **http)})
    async with running(found, gateways={}) as plantree:
        yield Cameras(plantree, folder, **(kept or {}))


class File:
    """A FileType object as a client uses it: methods by their NodeIds on the instance."""

    def __init__(self, client: Client, path: str) -> None:
        self.client, self.path = client, path
        self.handle = ua.Variant(0, ua.VariantType.UInt32)

    async def ask(self, method: str, *given: ua.Variant) -> ua.CallMethodResult:
        return await call(self.client, nid(self.path), nid(f"{self.path}.{method}"), *given)

    async def open(self, mode: int = 1) -> str:
        """Open; returns the StatusCode's name."""
        result = await self.ask("Open", ua.Variant(mode, ua.VariantType.Byte))
        if result.StatusCode.is_good():
            (self.handle,) = result.OutputArguments
            assert self.handle.VariantType is ua.VariantType.UInt32
        return result.StatusCode.name

    async def read(self, length: int = 1 << 20) -> bytes:
        result = await self.ask("Read", self.handle, ua.Variant(length, ua.VariantType.Int32))
        result.StatusCode.check()
        (data,) = result.OutputArguments
        assert data.VariantType is ua.VariantType.ByteString
        return bytes(data.Value or b"")

    async def close(self) -> str:
        return (await self.ask("Close", self.handle)).StatusCode.name

    async def whole(self) -> bytes:
        """Open, read to the end, close."""
        assert await self.open() == "Good"
        parts: list[bytes] = []
        while part := await self.read():
            parts.append(part)
        assert await self.close() == "Good"
        return b"".join(parts)
