"""Whole servers on free ports of the loopback, and asyncua's own client against them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from asyncua import Client, ua

from address_space import DEFAULT_PLANT
from server.assembly import Plantree, running
from server.settings import HttpSettings, OpcUaSettings, Settings

PASSWORD = "correct horse battery"

PLANT = """\
plant: {name: Plant, type: PlantType}
enumerations:
  State: [Stopped, Running, EmergencyStopped]
types:
  PlantType: {description: The plant}
  PressType:
    description: A press
    nameplate: true
    variables:
      State: {enum: State, description: State}
      Speed: {type: Double, unit: r/min, range: [0, 2500], description: Speed}
      Secret: {type: Double, unit: kW, range: [0, 9], read_role: Engineer, initial: 7, description: Not for all}
      Target: {type: Double, unit: r/min, range: [0, 100], access: write, initial: 10, description: Wanted speed}
      Label: {type: String, access: write, initial: "", description: A text}
      Due: {type: DateTime, access: write, description: A time}
      Count: {type: Int32, description: Pieces}
    commands:
      Aim:
        description: Set the target
        sets: Target
        arguments: {Speed: {type: Double, range: [0, 50], description: New target}}
      Start: {description: Start}
    emergency_stop: {state: State, stopped: EmergencyStopped}
objects:
"""


def settings(folder: Path, plant: Path = DEFAULT_PLANT, **opcua: Any) -> Settings:
    return Settings(
        data_dir=folder / "data",
        certs_dir=folder / "certs",
        plant=plant,
        opcua=OpcUaSettings(**{"host": "127.0.0.1", "port": 0, "allow_none": True} | opcua),
        http=HttpSettings(port=0),
    )


def plant_file(folder: Path, objects: str = "  Press1: {type: PressType}\n") -> Path:
    file = folder / "plant.yaml"
    file.write_text(PLANT + objects, encoding="utf-8")
    return file


@contextlib.asynccontextmanager
async def small_server(folder: Path, objects: str = "  Press1: {type: PressType}\n") -> AsyncGenerator[Plantree]:
    """Run a server of presses that nothing feeds: the test writes to the store."""
    async with running(settings(folder, plant_file(folder, objects))) as plantree:
        yield plantree


@contextlib.asynccontextmanager
async def session(
    plantree: Plantree, user: str | None = None, locales: Sequence[str] = ("en",)
) -> AsyncGenerator[Client]:
    """Open a session on the unencrypted endpoint; a user is made with the role of its name."""
    client = Client(f"opc.tcp://127.0.0.1:{plantree.opcua.port}/plantree", timeout=30, watchdog_intervall=30)
    client.set_locale(locales)
    if user is not None:
        if user not in {known.name for known in plantree.users.list()}:
            await asyncio.to_thread(plantree.users.add, user, PASSWORD, [user])
        client.set_user(user)
        client.set_password(PASSWORD)
    async with client:
        yield client


def nid(path: str) -> ua.NodeId:
    return ua.NodeId(path, 2)


async def read(client: Client, items: Iterable[tuple[ua.NodeId, ua.AttributeIds]]) -> list[ua.DataValue]:
    """Read many attributes, a thousand at a time."""
    wanted = [ua.ReadValueId(NodeId=node, AttributeId=attribute) for node, attribute in items]
    found: list[ua.DataValue] = []
    for first in range(0, len(wanted), 1000):
        parameters = ua.ReadParameters(NodesToRead=wanted[first : first + 1000])
        found += await client.uaclient.read(parameters)
    return found


async def browse(client: Client, nodes: Sequence[ua.NodeId]) -> dict[ua.NodeId, list[ua.ReferenceDescription]]:
    """Browse nodes in both directions."""
    found: dict[ua.NodeId, list[ua.ReferenceDescription]] = {}
    for first in range(0, len(nodes), 200):
        part = nodes[first : first + 200]
        parameters = ua.BrowseParameters()
        for node in part:
            wanted = ua.BrowseDescription()
            wanted.NodeId = node
            wanted.BrowseDirection = ua.BrowseDirection.Both
            wanted.IncludeSubtypes = True
            wanted.ReferenceTypeId = ua.NodeId(ua.ObjectIds.References)
            wanted.ResultMask = 63
            parameters.NodesToBrowse.append(wanted)
        for node, result in zip(part, await client.uaclient.browse(parameters), strict=True):
            result.StatusCode.check()
            assert not result.ContinuationPoint
            found[node] = list(result.References or [])
    return found


class Changes:
    """What a subscription delivers, in order."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.data: list[ua.DataValue] = []
        self._came = asyncio.Event()

    def datachange_notification(self, _node: Any, value: Any, data: Any) -> None:
        self.values.append(value)
        self.data.append(data.monitored_item.Value)
        self._came.set()

    async def until(self, enough: Callable[[], bool], seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while not enough():
                await self._came.wait()
                self._came.clear()
