"""Set-points that take effect at once, in columns: nothing per value in Python, and no task to wait for.

What does not fit (a machine that must be asked over a wire, one that is being commanded, a value out of range, no
right) is left to `SetPoints`, which does it one by one and says what was wrong.
"""

import asyncio
import math
import sqlite3
import struct
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from address_space.model import BuiltinType, Plant, Variable
from server.audit import AuditWatcher, Put
from server.ports import Source, StoreFed
from server.security.principal import Principal
from server.state import State
from server.store import Store, now_ticks
from server.store.values import VALUE_DTYPES, VALUE_FORMATS

_NOT_IN_COLUMNS = (BuiltinType.String, BuiltinType.DateTime)


@dataclass(frozen=True, slots=True)
class Column:
    """Set-points of one built-in type: their ids (n,), least and greatest values (n,), and places in the request."""

    builtin: BuiltinType
    ids: NDArray[np.int64]
    low: NDArray[Any]
    high: NDArray[Any]
    positions: NDArray[np.int64]

    @classmethod
    def made(
        cls, builtin: BuiltinType, ids: Sequence[int], limits: Sequence[tuple[Any, Any]], positions: NDArray[np.int64]
    ) -> "Column":
        """Return a column of these ids, with (least, greatest) values."""
        dtype = VALUE_DTYPES[builtin]
        low, high = (np.array(ends, dtype) for ends in zip(*limits, strict=True))
        return cls(builtin, np.array(ids, np.int64), low, high, positions)


@dataclass(frozen=True, slots=True)
class Single:
    """The only set-point of a request, for the way without arrays: id, machine (path), limits, and how it is packed."""

    id: int
    machine: str
    low: float
    high: float
    form: struct.Struct


@dataclass(slots=True)
class PutPlan:
    """Set-points that one principal may write together: `count` of them, on `machines` (paths)."""

    count: int
    columns: tuple[Column, ...]
    machines: tuple[str, ...]
    paths: tuple[tuple[int, tuple[str, ...]], ...]
    """Built-in type and paths of each column: how the state names them."""
    single: Single | None = None
    """Where `count` is 1."""
    layout: int | None = None
    """The number under which the state knows `paths`; None until it does."""


class AtOnce:
    """The short way for set-points; `locks` are those of the machines, which commands under way hold."""

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
        self.watcher: AuditWatcher | None = None
        """Is told of what is written, when it asks to be."""

    def plan(self, variables: Sequence[Variable], principal: Principal) -> PutPlan | None:
        """Return how a principal may write these set-points in columns; None when the long way must be taken."""
        found = [self._limits(variable, principal) for variable in variables]
        limits = [pair for pair in found if pair is not None]
        if not limits or len(limits) < len(found):
            return None
        types = np.array([variable.declaration.type for variable in variables])
        columns: list[Column] = []
        for builtin in np.unique(types):
            positions = np.flatnonzero(types == builtin)
            chosen = positions.tolist()
            ids = [variables[position].id for position in chosen]
            columns.append(Column.made(BuiltinType(builtin), ids, [limits[it] for it in chosen], positions))
        paths = tuple(
            (int(column.builtin), tuple(variables[position].path for position in column.positions.tolist()))
            for column in columns
        )
        machines = dict.fromkeys(self._plant.owner(variable).path for variable in variables)
        single = _single(columns[0], next(iter(machines))) if len(variables) == 1 else None
        return PutPlan(len(variables), tuple(columns), tuple(machines), paths, single)

    def put(
        self,
        plan: PutPlan,
        values: Sequence[NDArray[Any]],
        stamps: NDArray[np.int64] | None,
        principal: Principal,
        origin: str,
        action: str | None = None,
    ) -> bool:
        """Write one array of values a column of the plan; False, and nothing has changed, when it cannot be at once.

        `stamps` are source timestamps in ticks in the request's order, shape (count,); None is now. `action` is what
        the audit trail shows for a command: its path and arguments (a JSON list).
        """
        if any(path in self._locks and self._locks[path].locked() for path in plan.machines):
            return False
        for column, given in zip(plan.columns, values, strict=True):
            if not ((given >= column.low) & (given <= column.high)).all():
                return False
        now = now_ticks()
        who = (now, principal.name, origin)
        columns = self._bytes(plan, values, stamps, now)
        try:
            if not self._keep(plan, who, action, *columns):
                return False
        except sqlite3.Error:
            return False  # the long way tries again, and says what is wrong
        for column, given in zip(plan.columns, values, strict=True):
            self._store.write(column.ids, given, now if stamps is None else stamps[column.positions])
        if self.watcher is not None and self.watcher.wanted():
            self._tell(plan, who, action, *columns)
        return True

    def put_one(
        self,
        plan: PutPlan,
        single: Single,
        value: float,
        stamp: int | None,
        principal: Principal,
        origin: str,
        action: str | None = None,
    ) -> bool:
        """Do as `put` with a plan of one set-point, its `single`, and without arrays."""
        lock = self._locks.get(single.machine)
        if lock is not None and lock.locked():
            return False
        if not single.low <= value <= single.high:
            return False
        now = now_ticks()
        if plan.layout is None:
            plan.layout = self._state.new_layout(plan.paths)
            if plan.layout is None:
                return False
        when = now if stamp is None else stamp
        try:
            packed, before = single.form.pack(value), self._store.packed_value(single.id)
            who, stamps = (now, principal.name, origin), when.to_bytes(8, "little")
            if not self._state.keep_put(plan.layout, who, action, packed, stamps, before):
                return False
        except (sqlite3.Error, struct.error, OverflowError):
            return False
        self._store.write_one(single.id, value, when)
        if self.watcher is not None and self.watcher.wanted():
            self._tell(plan, who, action, packed, stamps, before)
        return True

    def _bytes(
        self, plan: PutPlan, values: Sequence[NDArray[Any]], stamps: NDArray[np.int64] | None, now: int
    ) -> tuple[bytes, bytes, bytes]:
        """Return values, source timestamps and the values before, column behind column."""
        if stamps is None:
            times = now.to_bytes(8, "little")
        else:
            times = np.concatenate([stamps[column.positions] for column in plan.columns]).tobytes()
        before = [self._store.table(it.builtin)["value"][self._store.rows(it.ids)].tobytes() for it in plan.columns]
        return b"".join(column.tobytes() for column in values), times, b"".join(before)

    def _keep(
        self, plan: PutPlan, who: tuple[int, str, str], action: str | None, values: bytes, stamps: bytes, olds: bytes
    ) -> bool:
        if plan.layout is None:
            plan.layout = self._state.new_layout(plan.paths)
            if plan.layout is None:
                return False
        return self._state.keep_put(plan.layout, who, action, values, stamps, olds)

    def _tell(
        self, plan: PutPlan, who: tuple[int, str, str], action: str | None, values: bytes, stamps: bytes, olds: bytes
    ) -> None:
        if self.watcher is None or plan.layout is None:
            return
        number = self._state.puts.newest.get(plan.layout, 0)
        self.watcher.told_put(Put(number, *who, action, plan.paths, values, stamps, olds))

    def _limits(self, variable: Variable, principal: Principal) -> tuple[float, float] | None:
        """Return the least and the greatest value that a set-point takes at once, None when it does not."""
        declaration = variable.declaration
        if declaration.type in _NOT_IN_COLUMNS or declaration.write_role is None:
            return None
        if not declaration.writable or not principal.has(declaration.write_role):
            return None
        able = self._source_limits(variable)
        if able is None:
            return None
        low, high = declaration.range or (-math.inf, math.inf)
        if declaration.enumeration is not None:
            low, high = max(low, 0), min(high, len(declaration.enumeration.values) - 1)
        return _of_type(declaration.type, max(low, able[0]), min(high, able[1]))

    def _source_limits(self, variable: Variable) -> tuple[float, float] | None:
        machine = self._plant.owner(variable)
        if machine.source is None:
            return -math.inf, math.inf
        source = self._sources.get(machine.source)
        return source.takes(variable) if isinstance(source, StoreFed) else None


def _single(column: Column, machine: str) -> Single:
    form = struct.Struct("<" + VALUE_FORMATS[column.builtin])
    return Single(int(column.ids[0]), machine, column.low[0].item(), column.high[0].item(), form)


def _of_type(builtin: BuiltinType, low: float, high: float) -> tuple[Any, Any]:
    """Return limits as values of a type: what every value of it must be within."""
    if builtin is BuiltinType.Boolean:
        return False, True
    dtype = np.dtype(VALUE_DTYPES[builtin])
    if dtype.kind == "f":
        most = float(np.finfo(dtype).max)
        return max(low, -most), min(high, most)
    most_int = np.iinfo(dtype)
    least = int(most_int.min) if low < most_int.min else math.ceil(low)
    return least, int(most_int.max) if high > most_int.max else math.floor(high)
