"""Whole servers of cameras of the default plant's type, and what their conditions tell."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import yaml
from asyncua import Client, ua
from vision_rig import person_model

from address_space import DEFAULT_PLANT
from server.alarms.ports import Snapshot
from server.assembly import Plantree
from server.assembly import running as serving
from sources.vision.source import VisionSource
from tests.server.opcua.opcua_rig import nid, settings
from tests.server.opcua_conditions.conditions_rig import call


class Heard:
    """Every transition of a condition, by its path."""

    def __init__(self, plantree: Plantree) -> None:
        self.plantree = plantree
        self.told: list[Snapshot] = []
        plantree.alarms.listeners.append(self.told.extend)

    def of(self, path: str, kind: str) -> list[Snapshot]:
        return [one for one in self.told if one.condition.path == path and one.kind_of_event == kind]

    async def until(self, holds: Callable[[], Any], what: str, within: float = 20.0) -> Any:
        deadline = time.monotonic() + within
        while not (result := holds()):
            states = {path: state.blind for path, state in vision(self.plantree).states.items()}
            assert time.monotonic() < deadline, f"not within {within:g} s: {what}; {states}, {self.told}"
            await asyncio.sleep(0.02)
        return result

    def value(self, path: str) -> Any:
        return self.plantree.store.read(self.plantree.plant.variable(path).id)


def vision(plantree: Plantree) -> VisionSource:
    source = plantree.sources["vision"]
    assert isinstance(source, VisionSource)
    return source


@contextlib.asynccontextmanager
async def watched(folder: Path, data: Path, cameras: dict[str, Any]) -> AsyncIterator[Heard]:
    """Run a server of cameras of the default plant's type."""
    default = yaml.safe_load(DEFAULT_PLANT.read_text(encoding="utf-8"))
    source = {"kind": "vision", "models": {"person": person_model(data)}, "cameras": cameras, "priority": "normal"}
    plant = {
        "plant": {"name": "Plant", "type": "PlantType"},
        "types": {"PlantType": {"description": "A plant"}, "CameraType": default["types"]["CameraType"]},
        "sources": {"vision": source},
        "objects": {name: {"type": "CameraType", "source": "vision"} for name in cameras},
    }
    file = folder / "plant.yaml"
    file.write_text(yaml.safe_dump(plant, sort_keys=False), encoding="utf-8")
    async with serving(settings(folder, file), gateways={}) as plantree:
        yield Heard(plantree)


async def file_of(client: Client, path: str) -> bytes:
    """Read a FileType object to its end (OPC 10000-20 4.2)."""
    opened = await call(client, nid(path), nid(f"{path}.Open"), ua.Variant(1, ua.VariantType.Byte))
    opened.StatusCode.check()
    handle = ua.Variant(opened.OutputArguments[0].Value, ua.VariantType.UInt32)
    data, length = b"", ua.Variant(1 << 16, ua.VariantType.Int32)
    while True:
        read = await call(client, nid(path), nid(f"{path}.Read"), handle, length)
        read.StatusCode.check()
        if not (part := read.OutputArguments[0].Value):
            break
        data += part
    (await call(client, nid(path), nid(f"{path}.Close"), handle)).StatusCode.check()
    return data
