"""The emergency stop: a latched state machine a machine, and one for the whole plant.

Normal → (anyone authenticated, on any plane; the machine's own button) → Latched → (a reset, asked for by the right
role, with its cause gone) → Latched, code issued → (the same person confirms with the code) → Normal, the machine
Stopped. The latch and its first cause survive a restart. This is an information system and no safety function
(IEC 60204-1, ISO 13850): the emergency stop that protects people is wired.
"""

import asyncio
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from address_space.model import Command, Machine, Plant, Variable
from server import logs, quality
from server.commands import Commands
from server.ports import CommandError, Source
from server.security.principal import Principal
from server.state import State
from server.store import Batch, Cursor, Store, now_ticks
from server.store.values import VALUE_DTYPES

log = logs.get(__name__)

CODE_LIFETIME_S = 60.0
_REFUSED_WHILE_LATCHED = "Start"


@dataclass(frozen=True, slots=True)
class Cause:
    """The first cause of a stop: why, who, from where, when (ticks)."""

    reason: str
    by: str
    origin: str
    time: int


@dataclass(frozen=True, slots=True)
class _Reset:
    """A reset asked for and not confirmed yet."""

    code: str
    by: str
    until: float


class EmergencyStops:
    """Every latch of the plant, and the commands EmergencyStop and ResetEmergencyStop."""

    def __init__(
        self, plant: Plant, store: Store, state: State, commands: Commands, sources: Mapping[str, Source]
    ) -> None:
        self._plant = plant
        self._store = store
        self._state = state
        self._sources = sources
        self._causes: dict[str, Cause] = {}
        self._resets: dict[str, _Reset] = {}
        self._stops: Counter[str] = Counter()
        commands.register("EmergencyStop", self._on_stop)
        commands.register("ResetEmergencyStop", self._on_reset)
        commands.guard(self._refuse_start)

    def latched(self, machine: Machine) -> bool:
        """Whether a machine must stand still: its own latch or the plant's is set."""
        return machine.path in self._causes or self._plant.root.path in self._causes

    def restore(self) -> None:
        """Take up the latches of the last run, and show every machine's latch in the store."""
        for path, cause in self._state.latches().items():
            if self._plant.find_machine(path) is None:
                log.error("a latched emergency stop names a machine that the plant file no longer has", machine=path)
                continue
            self._causes[path] = Cause(**cause)
            log.warning("emergency stop is still latched", machine=path, **cause)
        for machine in self._plant.objects:
            if machine.type.emergency_stop is not None:
                self._show(machine)

    async def assert_latches(self, source: str) -> None:
        """Have a source stop its latched machines: called whenever it has started."""
        latched = [m for m in self._machines(self._plant.root) if m.source == source and self.latched(m)]
        failures = await asyncio.gather(*(self._act(m, active=True) for m in latched), return_exceptions=True)
        for failure in failures:
            if failure is not None:
                raise failure

    async def run(self) -> None:
        """Watch the physical buttons: a pressed one latches its machine, be it pressed ever so shortly."""
        buttons = {
            machine.variables[stop.button].id: machine
            for machine in self._plant.objects
            if (stop := machine.type.emergency_stop) is not None and stop.button is not None
        }
        ids = np.fromiter(buttons, np.int64, len(buttons))
        watched = np.zeros(len(self._store), np.bool_)
        watched[ids] = True
        cursor = self._store.journal.cursor("emergency stop buttons", watched)
        pressed = ids[self._store.values(ids) == 1]
        try:
            while True:
                if len(pressed):
                    await asyncio.gather(*(self._press(buttons[id_]) for id_ in pressed.tolist()))
                batch = await self._news(cursor, watched)
                rows = watched[batch.ids] & (batch.bits == 1) & ~quality.is_bad(batch.statuses)
                pressed = np.union1d(batch.ids[rows], ids[self._store.values(ids) == 1])
        finally:
            cursor.close()

    async def _news(self, cursor: Cursor, watched: NDArray[np.bool_]) -> Batch:
        """Return the next rows of the journal among which there is a button."""
        while True:
            await cursor.wait()
            batch = cursor.read(max_rows=self._store.journal.rows)
            if watched[batch.ids].any():
                return batch

    async def _press(self, machine: Machine) -> None:
        if machine.path in self._causes:
            return
        try:
            await self._stop(machine, Cause("button pressed", "button", machine.path, now_ticks()))
        except CommandError as error:
            log.error("the emergency stop of a button is not complete", machine=machine.path, error=str(error))

    async def _on_stop(
        self, command: Command, arguments: tuple[Any, ...], principal: Principal, origin: str
    ) -> tuple[Any, ...]:
        await self._stop(command.machine, Cause(arguments[0], principal.name, origin, now_ticks()))
        return ()

    async def _stop(self, target: Machine, cause: Cause) -> None:
        """Act first, then remember, then answer: the machine stops even when the disk is full."""
        first = target.path not in self._causes
        if first:
            self._causes[target.path] = cause
        self._stops[target.path] += 1
        self._resets.pop(target.path, None)
        self._show(target)
        machines = self._machines(target)
        failures = await asyncio.gather(
            *(self._act(machine, active=True) for machine in machines), return_exceptions=True
        )
        if first:
            log.warning("emergency stop", machine=target.path, reason=cause.reason, by=cause.by, origin=cause.origin)
        await self._keep(target)
        unreached = [
            f"{machine.path} ({failure})"
            for machine, failure in zip(machines, failures, strict=True)
            if isinstance(failure, BaseException)
        ]
        if unreached:
            message = f"latched, and stopped again as soon as it answers: {', '.join(unreached)}"
            raise CommandError(quality.BAD_NO_COMMUNICATION, message)

    async def _keep(self, target: Machine) -> None:
        """Keep the latch on disk: with every stop, for the first one may have found the disk full."""
        cause = self._causes.get(target.path)
        if cause is None:
            return
        try:
            await self._state.latch(target.path, asdict(cause))
        except sqlite3.Error as error:
            log.error("emergency stop is latched but would not survive a restart", error=str(error))
            message = f"{target.path} is stopped, but the latch could not be kept on disk: {error}"
            raise CommandError(quality.BAD_RESOURCE_UNAVAILABLE, message) from error

    async def _on_reset(
        self, command: Command, arguments: tuple[Any, ...], principal: Principal, _origin: str
    ) -> tuple[Any, ...]:
        target, code = command.machine, arguments[0]
        if target.path not in self._causes:
            raise CommandError(
                quality.BAD_INVALID_STATE, f"{target.path} is not stopped by an emergency stop of its own"
            )
        self._refuse_reset(target)
        if not code:
            reset = _Reset(secrets.token_hex(3).upper(), principal.name, time.monotonic() + CODE_LIFETIME_S)
            self._resets[target.path] = reset
            return (reset.code,)
        reset = self._resets.pop(target.path, None)
        if reset is None or time.monotonic() > reset.until:
            message = f"no reset of {target.path} waits for confirmation: call with an empty code first"
            raise CommandError(quality.BAD_INVALID_STATE, message)
        if not secrets.compare_digest(reset.code.encode(), code.upper().encode()) or reset.by != principal.name:
            message = "the code is not the one that was given to you: call with an empty code for a new one"
            raise CommandError(quality.BAD_INVALID_ARGUMENT, message, (quality.BAD_OUT_OF_RANGE,))
        await self._release(target)
        return ("",)

    async def _release(self, target: Machine) -> None:
        """Forget on disk first: a latch that cannot be removed there stays, and so does one that is set meanwhile."""
        stops = self._stops[target.path]
        try:
            await self._state.release(target.path)
        except sqlite3.Error as error:
            message = f"the latch of {target.path} could not be released on disk: {error}"
            raise CommandError(quality.BAD_RESOURCE_UNAVAILABLE, message) from error
        if self._stops[target.path] != stops:
            raise CommandError(quality.BAD_INVALID_STATE, f"{target.path} was stopped again while it was being reset")
        cause = self._causes.pop(target.path)
        machines = self._machines(target)
        try:
            for machine in machines:
                if not self.latched(machine):  # asked each time: a stop may come while another machine is released
                    await self._act(machine, active=False)
        except Exception:
            self._causes.setdefault(target.path, cause)
            await asyncio.gather(*(self._act(machine, active=True) for machine in machines), return_exceptions=True)
            await self._keep(target)
            raise
        log.warning("emergency stop released", machine=target.path)
        self._show(target)

    def _refuse_reset(self, target: Machine) -> None:
        for machine in self._machines(target):
            stop = machine.type.emergency_stop
            if stop is None:
                continue
            if stop.button is not None and self._good(machine, (stop.button,)) != {stop.button: 0}:
                raise CommandError(
                    quality.BAD_INVALID_STATE, f"the button of {machine.path} is pressed, or not known not to be"
                )
            if stop.standstill is not None:
                values = self._good(machine, stop.standstill.names)
                if not values or not stop.standstill({name: np.array([value]) for name, value in values.items()})[0]:
                    message = f"{machine.path} is not known to stand still ({stop.standstill.text})"
                    raise CommandError(quality.BAD_INVALID_STATE, message)

    def _good(self, machine: Machine, names: tuple[str, ...]) -> dict[str, float]:
        """Return numbers of variables by name; nothing unless all are Good now: an old value proves nothing."""
        ids = np.array([machine.variables[name].id for name in names], np.int64)
        if not quality.is_good(self._store.statuses(ids)).all():
            return {}
        return dict(zip(names, self._store.values(ids).tolist(), strict=True))

    def _refuse_start(self, command: Command) -> None:
        if command.declaration.name == _REFUSED_WHILE_LATCHED and self.latched(command.machine):
            message = f"{command.machine.path} is stopped by an emergency stop: reset it first"
            raise CommandError(quality.BAD_INVALID_STATE, message)

    def _machines(self, target: Machine) -> tuple[Machine, ...]:
        """Return the machines that a stop of `target` stops: itself, or for the plant every one that is fed."""
        if target is not self._plant.root:
            return (target,)
        return tuple(m for m in self._plant.machines if m.type.emergency_stop is not None and m.source is not None)

    async def _act(self, machine: Machine, *, active: bool) -> None:
        source = self._sources.get(machine.source or "")
        if source is None:
            raise CommandError(quality.BAD_NOT_CONNECTED, f"nothing feeds {machine.path}")
        await source.emergency_stop(machine, active)

    def _show(self, machine: Machine) -> None:
        cause = self._causes.get(machine.path)
        values: dict[str, Any] = {"EmergencyStopActive": cause is not None}
        shown = cause or Cause("", "", "", 0)
        values |= {
            "EmergencyStopReason": shown.reason,
            "EmergencyStopBy": shown.by,
            "EmergencyStopOrigin": shown.origin,
        }
        values["EmergencyStopTime"] = shown.time
        for name, value in values.items():
            self._set(machine.variables[name], value)

    def _set(self, variable: Variable, value: Any) -> None:
        column = np.array([value], VALUE_DTYPES[variable.declaration.type])
        self._store.write(np.array([variable.id], np.int64), column, now_ticks())
