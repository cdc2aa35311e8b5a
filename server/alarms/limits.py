"""The limits in force: those of the plant file, but for those that somebody has changed."""

import math
from collections.abc import Iterable, Mapping

from asyncua.ua.status_codes import StatusCodes

from address_space.model import LIMITS, Condition, Plant
from server.alarms.evaluation import Group
from server.ports import CommandError


class Limits:
    """Looks limits up and changes them where they are evaluated."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self._places = {number: (it, place) for it in groups for place, number in enumerate(it.rows.tolist())}

    def place(self, condition: Condition) -> tuple[Group | None, int]:
        """Return the group of a condition and its place there; no group where no variable tells the condition."""
        return self._places.get(condition.id, (None, 0))

    def of(self, condition: Condition) -> dict[str, float]:
        """Return the limits in force by name."""
        group, place = self.place(condition)
        if group is None:
            return {}
        values: dict[str, float] = dict(zip(LIMITS, group.limits[:, place].tolist(), strict=True))
        return {name: values[name] for name in condition.declaration.limits}

    def check(self, condition: Condition, name: str, value: float) -> None:
        """Raise CommandError unless the limit exists and may have this value."""
        limits = self.of(condition)
        if name not in limits:
            raise CommandError(StatusCodes.BadNotFound, f"{condition.path} has no limit {name}")
        limits[name] = value
        order = [limits[it] for it in reversed(LIMITS) if it in limits]
        if not math.isfinite(value) or order != sorted(set(order)):
            raise CommandError(StatusCodes.BadOutOfRange, "limits are finite, with low_low < low < high < high_high")

    def put(self, condition: Condition, name: str, value: float) -> None:
        """Have a limit that was checked in force."""
        group, place = self.place(condition)
        if group is not None:
            group.limits[LIMITS.index(name), place] = value

    def restore(self, plant: Plant, kept: Mapping[str, Mapping[str, float]]) -> None:
        """Take over what was kept, as far as the plant still has it and its order is right."""
        for path, limits in kept.items():
            condition = plant.find_condition(path)
            if condition is None:
                continue
            for name in limits.keys() & condition.declaration.limits.keys():
                self.put(condition, name, limits[name])
