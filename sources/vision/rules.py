"""The rules of a camera: which objects count, in which zone, for how long. Pure: no clock, no pictures."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from sources.vision.boxes import Boxes
from sources.vision.rule_settings import DAYS, Rule, Schedule

_CONFIDENCE = 0.5
"""What a rule asks for where neither it nor the model says."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What models saw in one or many pictures: names[n], scores float32[n], boxes float32[n, 4] in shares (0 to 1).

    `picture` int64[n] says in which of several pictures; all zeros for a single one.
    """

    names: NDArray[np.str_]
    scores: NDArray[np.float32]
    boxes: Boxes
    picture: NDArray[np.int64]

    @classmethod
    def of(cls, names: Sequence[str], scores: Sequence[float], boxes: Sequence[Sequence[float]]) -> "Seen":
        """Return what one picture shows."""
        corners = np.array(boxes, np.float32).reshape(-1, 4)
        return cls(np.array(names, np.str_), np.array(scores, np.float32), corners, np.zeros(len(corners), np.int64))


def inside(points: NDArray[np.float64], polygon: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which of points float64[n, 2] lie in a polygon float64[m, 2] (even-odd rule; a crossing a ray counts)."""
    x, y = points[:, :1], points[:, 1:]
    x0, y0 = polygon[:, 0], polygon[:, 1]
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    spans = (y0 > y) != (y1 > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = x0 + (y - y0) / (y1 - y0) * (x1 - x0)
    return np.count_nonzero(spans & (x < crossing), axis=1) % 2 == 1


def feet(boxes: Boxes) -> NDArray[np.float64]:
    """Return the middle of each box's bottom edge: where what stands there stands, float64[n, 2]."""
    return np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1).astype(np.float64)


def in_zones(boxes: Boxes, zones: Sequence[NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Return which boxes stand in one of the zones; all where there are none."""
    if not zones:
        return np.ones(len(boxes), np.bool_)
    points = feet(boxes)
    return np.any([inside(points, zone) for zone in zones], axis=0)


def counted(rule: Rule, seen: Seen, zones: Sequence[NDArray[np.float64]], *, raised: bool) -> NDArray[np.bool_]:
    """Return which objects count for the rule; `raised` lets those count that keep an alarm."""
    floor = np.full(len(seen.scores), _CONFIDENCE if rule.confidence is None else rule.confidence)
    for name, confidence in rule.confidences.items():
        floor[seen.names == name] = confidence
    if raised and rule.keep is not None:
        floor = np.minimum(floor, rule.keep)
    size = np.clip(seen.boxes[:, 2:] - seen.boxes[:, :2], 0, None)
    count = np.isin(seen.names, rule.classes) & (seen.scores >= np.float32(floor))
    count &= (size[:, 1] >= rule.min_height) & (size[:, 0] * size[:, 1] >= rule.min_area)
    count &= in_zones(seen.boxes, zones)
    if rule.kind == "missing":
        count &= ~_wears(rule, seen)
    return count


def hits(
    rule: Rule, seen: Seen, zones: Sequence[NDArray[np.float64]], pictures: int, *, raised: bool
) -> NDArray[np.bool_]:
    """Return in which of `pictures` pictures the rule is met, bool[pictures]."""
    count = counted(rule, seen, zones, raised=raised)
    return np.bincount(seen.picture[count], minlength=pictures) >= rule.count


def _asking(rule: Rule, thresholds: Mapping[str, float]) -> Rule:
    """Return a rule that asks for what models do, where it does not say itself."""
    if rule.confidence is not None:
        return rule
    return rule.model_copy(update={"confidences": {**thresholds, **rule.confidences}})


def _wears(rule: Rule, seen: Seen) -> NDArray[np.bool_]:
    """Return which objects have one of `without` in their upper part, in the same picture."""
    worn = np.isin(seen.names, rule.without) & (seen.scores >= np.float32(rule.without_confidence))
    centres = (seen.boxes[worn, :2] + seen.boxes[worn, 2:]) / 2
    x0, y0, x1, y1 = (column[:, None] for column in seen.boxes.T)
    within = (centres[:, 0] >= x0) & (centres[:, 0] <= x1) & (centres[:, 1] >= y0)
    within &= centres[:, 1] <= y0 + (y1 - y0) * np.float32(rule.upper)
    within &= seen.picture[:, None] == seen.picture[worn][None, :]
    return within.any(axis=1)


def scheduled(schedule: Sequence[Schedule], moment: datetime) -> bool:
    """Whether the rule counts at an aware `moment`; always without a schedule."""
    return not schedule or any(_within(part, moment.astimezone(ZoneInfo(part.timezone))) for part in schedule)


def _within(part: Schedule, local: datetime) -> bool:
    clock = local.time()
    if part.start < part.end:
        return DAYS[local.weekday()] in part.days and part.start <= clock < part.end
    if clock >= part.start:
        return DAYS[local.weekday()] in part.days
    yesterday = DAYS[(local - timedelta(days=1)).weekday()]  # the part of the night that began the day before
    return clock < part.end and yesterday in part.days


@dataclass(slots=True)
class Persistence:
    """Turns hits in single pictures into an alarm that neither flickers nor sticks.

    `frames` of the last `of` pictures, for `raise_after` s, raise; `hold` s after that, and `clear_after` s after the
    last hit, clears. Times are monotonic seconds.
    """

    frames: int
    of: int
    raise_after: float
    hold: float
    clear_after: float
    active: bool = False
    _recent: deque[bool] = field(default_factory=deque[bool])
    _met_since: float | None = None
    _raised_at: float = 0.0
    _last_hit: float = 0.0
    _resumed: bool = False

    @classmethod
    def by(cls, rule: Rule) -> "Persistence":
        """Return the persistence that a rule asks for."""
        return cls(rule.frames, rule.of, rule.raise_after, rule.hold, rule.clear_after)

    def update(self, now: float, hit: bool, *, blind: bool = False) -> bool:
        """Take one picture; return whether the alarm is active. A blind camera may raise it, but clears nothing."""
        self._recent.append(hit)
        while len(self._recent) > self.of:
            self._recent.popleft()
        if self._resumed:
            self._resumed, self._raised_at, self._last_hit = False, now, now
        if hit or blind:
            self._last_hit = now
        if self.active:
            quiet = not (hit or blind) and now - self._last_hit >= self.clear_after
            if quiet and now - self._raised_at >= self.hold:
                self.reset()
            return self.active
        if sum(self._recent) < self.frames:
            self._met_since = None
        elif self._met_since is None:
            self._met_since = now
        if self._met_since is not None and hit and now - self._met_since >= self.raise_after:
            self.active, self._raised_at = True, now
        return self.active

    def resume(self) -> None:
        """Be active as if raised with the next picture, however late that comes."""
        self.active, self._resumed = True, True

    def withdraw(self) -> None:
        """Take the alarm back as if it had not been raised: the next hit raises it."""
        self.active = False

    def reset(self) -> None:
        """Forget everything: no alarm, no hits."""
        self.active, self._met_since = False, None
        self._recent.clear()


@dataclass(frozen=True, slots=True)
class Outcome:
    """A rule after one picture: whether its alarm is active, and the number of the surest object that counts, or -1."""

    active: bool
    object: int


class RuleSet:
    """The rules of one camera, over time; `update` takes one picture's objects.

    `thresholds` are the confidences that the models ask for, by class; what a rule says goes before them.
    """

    def __init__(
        self,
        rules: Mapping[str, Rule],
        zones: Mapping[str, Sequence[tuple[float, float]]],
        thresholds: Mapping[str, float] | None = None,
    ) -> None:
        self._rules = {name: _asking(rule, thresholds or {}) for name, rule in rules.items() if rule.enabled}
        polygons = {name: np.array(corners, np.float64) for name, corners in zones.items()}
        self._zones = {name: [polygons[zone] for zone in rule.zones] for name, rule in self._rules.items()}
        self._state = {name: Persistence.by(rule) for name, rule in self._rules.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """The rules that are enabled."""
        return tuple(self._rules)

    def update(self, now: float, moment: datetime, seen: Seen, *, blind: bool = False) -> dict[str, Outcome]:
        """Take what one picture shows, taken at `now` (monotonic, s) and `moment`; return each rule's outcome."""
        outcomes: dict[str, Outcome] = {}
        for name, rule in self._rules.items():
            state = self._state[name]
            count = counted(rule, seen, self._zones[name], raised=state.active)
            if not scheduled(rule.schedule, moment):
                count[:] = False
            places = np.flatnonzero(count)
            surest = int(places[np.argmax(seen.scores[places])]) if len(places) else -1
            outcomes[name] = Outcome(state.update(now, len(places) >= rule.count, blind=blind), surest)
        return outcomes

    def resume(self, name: str) -> None:
        """Go on with an alarm that was raised before a restart; it clears as one that the next picture raises."""
        self._state[name].resume()

    def withdraw(self, name: str) -> None:
        """Take a rule's alarm back as if it had not been raised: the next picture that meets it raises it."""
        self._state[name].withdraw()
