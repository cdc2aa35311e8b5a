"""The emergency stop against a simple model, in any order of stops, resets, starts and restarts; and on the physics."""

import asyncio
import tempfile
from pathlib import Path

import numpy as np
from core_rig import ORIGIN, SUPERVISOR, USER, Core
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from address_space import load_plant
from server import quality
from server.commands import Commands
from server.emergency_stop import EmergencyStops
from server.ports import CommandError, SourceContext
from server.state import State
from server.store import Store
from sources.physics.source import PhysicsSource

PRESSES = ("Press1", "Press2", "Press3")
TARGETS = ("", *PRESSES)


class StopMachine(RuleBasedStateMachine):
    """What is latched, and by which first cause, is all that the model knows."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.core = Core(Path(self.folder.name))
        self.runner.run(self._begin())
        self.causes: dict[str, str] = {}
        self.asked: dict[str, str] = {}
        self.count = 0

    async def _begin(self) -> None:
        self.core.stops.restore()

    def teardown(self) -> None:
        if hasattr(self, "core"):
            self.core.close()
            self.runner.close()
            self.folder.cleanup()

    def blocked(self, press: str) -> bool:
        return press in self.causes or "" in self.causes

    def run(self, path: str, *arguments: str) -> tuple[int, tuple[str, ...]]:
        async def work() -> tuple[int, tuple[str, ...]]:
            try:
                return 0, await self.core.do(path, *arguments)
            except CommandError as error:
                return error.status, ()

        return self.runner.run(work())

    @rule(which=st.sampled_from(TARGETS))
    def stop(self, which: str) -> None:
        self.count += 1
        reason = f"reason {self.count}"
        assert self.run(f"{which}.EmergencyStop".lstrip("."), reason) == (0, ())
        self.causes.setdefault(which, reason)
        self.asked.pop(which, None)

    @rule(which=st.sampled_from(TARGETS))
    def ask(self, which: str) -> None:
        status, outputs = self.run(f"{which}.ResetEmergencyStop".lstrip("."), "")
        assert (status == 0) == (which in self.causes)
        if outputs:
            self.asked[which] = outputs[0]

    @rule(which=st.sampled_from(TARGETS), right=st.booleans())
    def confirm(self, which: str, right: bool) -> None:
        code = self.asked.get(which, "NONE") if right else "NEVER"
        status, _ = self.run(f"{which}.ResetEmergencyStop".lstrip("."), code)
        asked = self.asked.pop(which, None)
        assert (status == 0) == (right and asked is not None)
        if status == 0:
            del self.causes[which]

    @rule(press=st.sampled_from(PRESSES))
    def start_and_stop(self, press: str) -> None:
        status, _ = self.run(f"{press}.Start")
        assert status == (quality.BAD_INVALID_STATE if self.blocked(press) else 0)
        if status == 0:
            assert self.run(f"{press}.Stop") == (0, ())

    @rule()
    def restart(self) -> None:
        async def work() -> None:
            self.core = await self.core.restarted()
            await self.core.stops.assert_latches("fake")
            await self.core.stops.assert_latches("other")

        self.runner.run(work())
        self.asked.clear()

    @invariant()
    def the_tree_and_the_machines_show_it(self) -> None:
        if not hasattr(self, "core"):
            return
        for target in TARGETS:
            at = f"{target}." if target else ""
            assert self.core.value(f"{at}EmergencyStopActive") is (target in self.causes)
            assert self.core.value(f"{at}EmergencyStopReason") == self.causes.get(target, "")
        stopped = self.core.source.stopped | self.core.other.stopped
        assert stopped == {f"Plant.{press}" for press in PRESSES if self.blocked(press)}


TestStopMachine = StopMachine.TestCase
TestStopMachine.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)


async def test_the_simulated_generator_stops_and_is_reset_at_standstill(tmp_path: Path) -> None:
    plant = load_plant()
    store, state = Store(plant, 4096), State(tmp_path / "state.sqlite")
    machines = tuple(machine for machine in plant.machines if machine.source == "physics")
    source = PhysicsSource(SourceContext("physics", plant, machines, store, plant.sources["physics"].options))
    commands = Commands(plant, store, state, {"physics": source})
    stops = EmergencyStops(plant, store, state, commands, {"physics": source})
    stops.restore()
    names = plant.machine("Plant.Generator1").variables

    def value(name: str) -> float:
        return float(store.values(np.array([names[name].id]))[0])

    async def refusal(name: str, argument: str) -> int:
        try:
            await commands.execute(f"Plant.Generator1.{name}", (argument,), SUPERVISOR, ORIGIN)
        except CommandError as error:
            return error.status
        return 0

    for _ in range(200):  # autostart: 20 s of the simulation
        source.advance(0.1)
    assert value("Speed") > 1400
    await commands.execute("Plant.Generator1.EmergencyStop", ("smoke",), USER, ORIGIN)
    assert value("State") == 5, "shown at once, not with the next step"
    assert await refusal("ResetEmergencyStop", "") == quality.BAD_INVALID_STATE, "it still turns"
    for _ in range(1200):
        source.advance(0.1)
    assert value("Speed") < 30
    assert value("State") == 5
    (code,) = await commands.execute("Plant.Generator1.ResetEmergencyStop", ("",), SUPERVISOR, ORIGIN)
    await commands.execute("Plant.Generator1.ResetEmergencyStop", (code,), SUPERVISOR, ORIGIN)
    assert value("State") == 0
    for _ in range(100):
        source.advance(0.1)
    assert value("State") == 0, "a reset does not start it"
    state.close()
