"""Set-points: checked, actuated by their machine's source, then stored, and kept for a restart."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from address_space.model import BuiltinType, Machine, Plant, Variable
from server import logs, quality
from server.checks import checked_setpoint
from server.ports import CommandError, Put, Source
from server.security.principal import Principal
from server.state import State
from server.store import Store, now_ticks
from server.store.values import VALUE_DTYPES

log = logs.get(__name__)


class SetPoints:
    """The only way to change a set-point. `locks` are those of the machines: commands hold them too."""

    def __init__(
        self,
        plant: Plant,
        store: Store,
        state: State,
        sources: Mapping[str, Source],
        locks: defaultdict[str, asyncio.Lock],
    ) -> None:
        self._plant = plant
        self._store = store
        self._state = state
        self._sources = sources
        self._locks = locks

    async def put(self, puts: Sequence[Put], principal: Principal) -> list[CommandError | None]:
        """Write set-points in order; returns what went wrong with each. Those of one machine are stored together."""
        faults: list[CommandError | None] = [None] * len(puts)
        by_machine: dict[str, list[int]] = {}
        for index, put in enumerate(puts):
            try:
                _allowed(put.variable, principal)
                checked_setpoint(put.variable, put.value)
            except CommandError as error:
                faults[index] = error
            else:
                by_machine.setdefault(put.variable.path.rpartition(".")[0], []).append(index)
        for path, indexes in by_machine.items():
            async with self._locks[path]:
                accepted = await self._accepted(self._plant.machine(path), puts, indexes, faults)
                self._keep([puts[index] for index in accepted])
        return faults

    async def actuate(self, variable: Variable, value: Any, stamp: int) -> None:
        """Write one checked set-point of a machine whose lock is held; raises CommandError."""
        machine = self._plant.owner(variable)
        if machine.source is not None:
            await source_of(machine, self._sources).put(variable, value)
        self._keep([Put(variable, value, stamp)])

    def restore(self) -> None:
        """Bring kept set-points back into the store; those that no longer fit the plant file are left out."""
        for path, (value, stamp) in self._state.setpoints().items():
            variable = self._plant.find(path)
            if variable is None or not variable.declaration.writable:
                log.warning("kept set-point is no set-point of this plant any more", path=path)
                continue
            try:
                self._show([Put(variable, checked_setpoint(variable, value), stamp)])
            except CommandError as error:
                log.warning("kept set-point no longer fits", path=path, error=str(error))

    async def _accepted(
        self, machine: Machine, puts: Sequence[Put], indexes: list[int], faults: list[CommandError | None]
    ) -> list[int]:
        """Have the machine's source take set-points one by one; returns the indexes of those that it took."""
        if machine.source is None:
            return indexes
        accepted: list[int] = []
        for index in indexes:
            put = puts[index]
            try:
                await source_of(machine, self._sources).put(put.variable, put.value)
            except CommandError as error:
                faults[index] = error
            except Exception as error:
                log.error("set-point broke", path=put.variable.path, exc_info=error)
                faults[index] = CommandError(quality.BAD_UNEXPECTED_ERROR, f"{type(error).__name__}: {error}")
            else:
                accepted.append(index)
        return accepted

    def _keep(self, puts: Sequence[Put]) -> None:
        """Show set-points, and hand them to the state, which keeps them before the audit record that follows."""
        now = now_ticks()
        stamped = [Put(put.variable, put.value, put.source_timestamp or now) for put in puts]
        self._show(stamped)
        kept = self._state.post_setpoints((p.variable.path, p.value, p.source_timestamp or now) for p in stamped)
        kept.add_done_callback(_report)

    def _show(self, puts: Sequence[Put]) -> None:
        by_type: dict[BuiltinType, list[Put]] = {}
        for put in puts:
            by_type.setdefault(put.variable.declaration.type, []).append(put)
        for builtin, some in by_type.items():
            ids = np.array([put.variable.id for put in some], np.int64)
            values = np.array([put.value for put in some], VALUE_DTYPES[builtin])
            self._store.write(ids, values, np.array([put.source_timestamp for put in some], np.int64))


def source_of(machine: Machine, sources: Mapping[str, Source]) -> Source:
    """Return what feeds a machine; raises CommandError where nothing does."""
    source = sources.get(machine.source or "")
    if source is None:
        raise CommandError(quality.BAD_NOT_CONNECTED, f"nothing feeds {machine.path}: it cannot be commanded")
    return source


def _allowed(variable: Variable, principal: Principal) -> None:
    role = variable.declaration.write_role
    if role is None:
        raise CommandError(quality.BAD_NOT_WRITABLE, f"{variable.path} is not writable")
    if not principal.has(role):
        raise CommandError(quality.BAD_USER_ACCESS_DENIED, f"writing {variable.path} needs the role {role}")


def _report(kept: Future[None]) -> None:
    error = kept.exception()
    if error is not None:
        log.error("set-points are in force but not kept for a restart", error=str(error))
