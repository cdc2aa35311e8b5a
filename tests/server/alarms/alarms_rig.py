"""A small plant with one condition of every kind, and the alarm engine over it: no server, no network."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from address_space import Plant, Role, load_plant
from address_space.model import Condition
from server.alarms import Alarms, Snapshot
from server.ports import CommandError
from server.security.principal import Principal, authenticated
from server.store import Store, now_ticks
from server.store.ticks import TICKS_PER_SECOND

ALARMS = """
      Level:
        {input: X, high_high: 20, high: 10, low: -10, low_low: -20, deadband: 2, severity: 500,
         severities: {high_high: 800, low: 300}, message: Level}
      Free:
        {input: X, exclusive: false, high_high: 20, high: 10, low: -10, low_low: -20, deadband: 2, severity: 500,
         message: Free}
      Rate: {kind: rate_of_change, input: X, high_high: 20, high: 5, low: -5, deadband: 1, severity: 500, message: Rate}
      Off: {kind: off_normal, input: S, normal: [A, B], severity: 500, message: Off}
      Trip: {kind: trip, input: S, tripped: C, severity: 500, message: Trip}
      Deviation:
        {kind: deviation, input: X, setpoint: Z, high_high: 10, high: 5, low: -5, deadband: 1, severity: 500,
         message: Deviation}
      Discrepancy:
        {kind: discrepancy, input: X, target: Z, tolerance: 4, deadband: 1, severity: 500, message: Discrepancy}
      Rule: {when: X > 10 and Z < 5, severity: 500, message: Rule}
      Vision: {kind: vision, input: B, severity: 500, message: Vision}
"""
ONE = "\n      High: {input: X, high: 50, severity: 500, message: Too high}\n"
_PLANT = """\
plant: {{name: Plant, type: PlantType}}
enumerations:
  State: [A, B, C]
types:
  PlantType: {{description: The plant}}
  MarkType:
    description: Tells that all before was seen
    variables:
      A: {{type: Double, description: First}}
      B: {{type: Double, description: Second}}
    alarms:
      Mark: {{when: A > 0 and B > 0, severity: 1, message: Mark}}
  MachineType:
    description: A machine
    variables:
      X: {{type: Double, unit: bar, range: [-1000, 1000], description: Measured}}
      Z: {{type: Double, unit: bar, range: [-1000, 1000], description: Wanted}}
      S: {{enum: State, description: State}}
      B: {{type: Boolean, description: Seen}}
    alarms:{alarms}
sources:
  wire: {{kind: physics}}
objects:
  "M[1..{count}]": {{type: MachineType, source: wire}}
  ZMark: {{type: MarkType}}
"""
OPERATOR = authenticated("olga", frozenset({Role.Operator}))
ENGINEER = authenticated("egon", frozenset({Role.Engineer}))
USER = authenticated("ulf", frozenset())
ORIGIN = "test 127.0.0.1"
BAD = 0x80310000
Audited = tuple[str, str, str, list[Any], int]


def plant_of(folder: Path, alarms: str = ONE, count: int = 1) -> Plant:
    """Load a plant whose machines M1, M2 … have these alarms."""
    file = folder / "plant.yaml"
    file.write_text(_PLANT.format(alarms=alarms, count=count), encoding="utf-8")
    return load_plant(file)


class Rig:
    """The engine over a store; everything that it told is in `events`, and what it audited in `audited`."""

    def __init__(self, folder: Path, plant: Plant, *, journal: int = 1 << 16, **options: Any) -> None:
        self.plant, self.file = plant, folder / "alarms.sqlite"
        self.store = Store(plant, journal)
        self.events: list[Snapshot] = []
        self.audited: list[Audited] = []
        self.alarms = Alarms(plant, self.store, self.file, audit=self._audit, **options)
        self.alarms.listeners.append(self._listen)
        self._told = asyncio.Event()
        self._marks = 0
        self._tasks: list[asyncio.Task[Any]] = []

    def condition(self, path: str = "M1.High") -> Condition:
        found = self.plant.find_condition(f"Plant.{path}")
        assert found is not None
        return found

    def state(self, path: str = "M1.High") -> Snapshot:
        return self.alarms.state(self.condition(path))

    def kinds(self, path: str = "M1.High") -> list[str]:
        """Return what has happened to a condition and its branches, in order."""
        condition = self.condition(path)
        return [it.kind_of_event for it in self.events if it.condition is condition]

    def put(self, value: float, path: str = "M1.X", status: int = 0, at: int | None = None) -> None:
        ids = np.array([self.plant.variable(f"Plant.{path}").id])
        self.store.write(ids, np.array([value]), now_ticks() if at is None else at, status)

    def put_all(self, conditions: Sequence[Condition], value: float, status: int = 0) -> None:
        """Write one value to the inputs of many conditions at once."""
        ids = np.array([it.inputs[0].id for it in conditions])
        self.store.write(ids, np.full(len(ids), value), now_ticks(), status)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Start a task that has ended by the end of the test."""
        self._tasks.append(asyncio.create_task(work))
        return self._tasks[-1]

    async def seen_after(self, work: Callable[[], None]) -> None:
        """Do something, and wait until the engine has looked at it."""
        work()
        await self.seen()

    async def joined(self) -> None:
        await asyncio.gather(*self._tasks)

    async def seen(self) -> None:
        """Wait until the engine has looked at all that was written."""
        self._marks += 1
        high = self._marks % 2
        ids = np.array([self.plant.variable(f"Plant.ZMark.{name}").id for name in "AB"])
        self.store.write(ids, np.full(2, float(high)), now_ticks())
        await self.until(lambda: self.state("ZMark.Mark").active == bool(high))

    async def set(self, value: float, path: str = "M1.X", status: int = 0) -> None:
        """Write a value, and wait until the engine has looked at it."""
        self.put(value, path, status)
        await self.seen()

    async def until(self, holds: Callable[[], object], within: float = 10.0) -> None:
        """Wait until something holds; looked at whenever the engine has told something."""
        async with asyncio.timeout(within):
            while not holds():
                self._told.clear()
                await self._told.wait()

    async def shown(self, name: str, holds: Callable[[Any], object], within: float = 10.0) -> Any:
        """Return a figure of the tree once it is as it should be."""
        id_ = self.plant.variable(f"Plant.ServerDiagnostics.Alarms.{name}").id
        with contextlib.closing(self.store.journal.cursor("test")) as cursor:
            async with asyncio.timeout(within):
                while not holds(value := self.store.value(id_)):
                    cursor.read()
                    await cursor.wait()
        return value

    async def _audit(
        self, principal: Principal, origin: str, action: str, arguments: Sequence[Any], fault: CommandError | None
    ) -> None:
        self.audited.append((principal.name, origin, action, list(arguments), fault.status if fault else 0))

    def _listen(self, snapshots: Sequence[Snapshot]) -> None:
        self.events += snapshots
        self._told.set()


@contextlib.asynccontextmanager
async def running(folder: Path, plant: Plant, **options: Any) -> AsyncIterator[Rig]:
    """Have an engine run; another one over the same folder afterwards is a restart."""
    rig = Rig(folder, plant, **options)
    task = asyncio.create_task(rig.alarms.run())
    try:
        await rig.seen()
        rig.events.clear()
        yield rig
        await rig.joined()
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        rig.alarms.close()


@contextlib.asynccontextmanager
async def refused(rig: Rig, status: int) -> AsyncIterator[None]:
    """Check that what is done inside is refused with a status, audited as such, and changes and tells nothing."""
    before = [rig.alarms.state(it) for it in rig.plant.conditions], rig.alarms.retained(), len(rig.events)
    limits = [dict(rig.alarms.limits(it)) for it in rig.plant.conditions]
    audited = len(rig.audited)
    with pytest.raises(CommandError) as caught:
        yield
    assert caught.value.status == status, hex(caught.value.status)
    after = [rig.alarms.state(it) for it in rig.plant.conditions], rig.alarms.retained(), len(rig.events)
    assert after == before
    assert [dict(rig.alarms.limits(it)) for it in rig.plant.conditions] == limits
    assert [it[-1] for it in rig.audited[audited:]] == [status]


async def most_between_turns(rig: Rig, done: "asyncio.Task[Any]") -> int:
    """Return how many events were told at most, while a task went on, without others having their turn."""
    most, before = 0, len(rig.events)
    while not done.done():
        await asyncio.sleep(0)
        now = len(rig.events)
        most, before = max(most, now - before), now
    await done
    return most


def seconds(count: float) -> int:
    """Return ticks."""
    return int(count * TICKS_PER_SECOND)
