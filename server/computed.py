"""Computed variables: expressions over variables of the same machine, evaluated for all machines of a type at once."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from address_space.expressions import Expression
from address_space.model import BuiltinType, Plant
from server.quality import BAD_OUT_OF_RANGE, is_bad, worst
from server.store import Store
from server.store.values import VALUE_DTYPES


@dataclass(frozen=True)
class _Group:
    """One computed variable of m machines: ids of its inputs and of itself, each of shape (m,); its type's limits."""

    expression: Expression
    inputs: dict[str, NDArray[np.int64]]
    outputs: NDArray[np.int64]
    limits: tuple[float, float]


class Computed:
    """Keeps computed variables in step with their inputs: their status is the worst, their time the newest of these."""

    def __init__(self, plant: Plant, store: Store) -> None:
        self._store = store
        self._groups = list(_groups(plant))
        self._used = np.zeros(len(store), np.bool_)
        for group in self._groups:
            for ids in group.inputs.values():
                self._used[ids] = True

    async def run(self) -> None:
        """Follow the journal until cancelled."""
        if not self._groups:
            await asyncio.Event().wait()
        cursor = self._store.journal.cursor("computed", self._used)
        try:
            lost = -1
            while True:
                changed = cursor.read(max_rows=self._store.journal.rows).ids
                if cursor.lost != lost:  # at the start, and when some changes were overwritten unread
                    lost = cursor.lost
                    changed = np.arange(len(self._store))
                self.follow(changed)
                await cursor.wait()
                await asyncio.sleep(0)
        finally:
            cursor.close()

    def follow(self, changed: NDArray[np.int64]) -> None:
        """Evaluate what depends on the variables `changed`, ids of shape (n,)."""
        if not self._used[changed].any():
            return
        touched = np.zeros(len(self._store), np.bool_)
        touched[changed] = True
        for group in self._groups:
            rows = np.zeros(len(group.outputs), np.bool_)
            for ids in group.inputs.values():
                rows |= touched[ids]
            if rows.any():
                self._evaluate(group, rows)

    def _evaluate(self, group: _Group, rows: NDArray[np.bool_]) -> None:
        store = self._store
        ids = {name: column[rows] for name, column in group.inputs.items()}
        values = group.expression({name: store.values(column) for name, column in ids.items()})
        statuses = worst([store.statuses(column) for column in ids.values()])
        stamps = np.max([store.source_timestamps(column) for column in ids.values()], axis=0)
        least, most = group.limits
        with np.errstate(invalid="ignore"):
            fits = (np.rint(values) >= least) & (np.rint(values) <= most)
        statuses[~is_bad(statuses) & ~fits] = BAD_OUT_OF_RANGE
        store.write(group.outputs[rows], values, stamps, statuses)


def _groups(plant: Plant) -> Iterator[_Group]:
    for machine_type in plant.types.values():
        machines = [machine for machine in plant.objects if machine.type is machine_type]
        if not machines:
            continue
        first = np.array([machine.first_id for machine in machines], np.int64)
        offsets = {name: offset for offset, name in enumerate(machine_type.variables)}
        for name, declaration in machine_type.variables.items():
            expression = declaration.expression
            if expression is not None and expression.names:
                inputs = {used: first + offsets[used] for used in expression.names}
                yield _Group(expression, inputs, first + offsets[name], _limits(declaration.type))


def _limits(builtin: BuiltinType) -> tuple[float, float]:
    dtype = np.dtype(VALUE_DTYPES[builtin])
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return float(limits.min), float(limits.max)
