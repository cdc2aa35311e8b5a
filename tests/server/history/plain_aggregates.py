"""Aggregates worked out slowly, one interval and one sample at a time: what the columns are compared with.

Samples are (time in ms, value, severity) with severity 0 Good, 1 Uncertain, 2 Bad. Intervals run forward, [low, high).
Results are (value or None, severity of the status or "no data").
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

Sample = tuple[int, float, int]
Result = tuple[float | None, int | str]
NO_DATA: Result = (None, "no data")


@dataclass(frozen=True)
class Plain:
    samples: Sequence[Sample]
    stepped: bool
    uncertain_is_bad: bool
    percent_bad: int
    percent_good: int

    def usable(self, sample: Sample) -> bool:
        return sample[2] == 0 or (sample[2] == 1 and not self.uncertain_is_bad)

    def inside(self, low: int, high: int) -> list[Sample]:
        return [sample for sample in self.samples if low <= sample[0] < high]

    def outside(self, low: int, high: int) -> bool:
        return not self.samples or high <= self.samples[0][0] or low > self.samples[-1][0]

    def share(self, good: float, bad: float, total: float) -> int:
        if total == 0 or 100 * good / total >= self.percent_good:
            return 0
        return 2 if 100 * bad / total >= self.percent_bad else 1

    def by_values(self, seen: Sequence[Sample]) -> int:
        return self.share(sum(s[2] == 0 for s in seen), sum(s[2] == 2 for s in seen), len(seen))

    def average(self, low: int, high: int) -> Result:
        seen = self.inside(low, high)
        good = [value for _, value, severity in seen if severity == 0]
        if self.outside(low, high) or not good:
            return NO_DATA
        severity = self.by_values(seen)
        return (None if severity == 2 else math.fsum(good) / len(good)), severity

    def count(self, low: int, high: int) -> Result:
        if self.outside(low, high):
            return NO_DATA
        seen = self.inside(low, high)
        severity = self.by_values(seen)
        return (None if severity == 2 else sum(s[2] == 0 for s in seen)), severity

    def _good(self, low: int, high: int) -> tuple[list[float], bool]:
        seen = self.inside(low, high)
        return [s[1] for s in seen if s[2] == 0], any(not self.usable(s) for s in seen)

    def minimum(self, low: int, high: int) -> Result:
        good, skipped = self._good(low, high)
        return (min(good), int(skipped)) if good else NO_DATA

    def maximum(self, low: int, high: int) -> Result:
        good, skipped = self._good(low, high)
        return (max(good), int(skipped)) if good else NO_DATA

    def span(self, low: int, high: int) -> Result:
        good, skipped = self._good(low, high)
        return (max(good) - min(good), int(skipped)) if good else NO_DATA

    def deviation(self, low: int, high: int) -> Result:
        good, _ = self._good(low, high)
        if not good:
            return NO_DATA
        skipped = any(s[2] != 0 for s in self.inside(low, high))
        return (statistics.pstdev(good) if len(good) > 1 else 0.0), int(skipped)

    def start(self, low: int, high: int) -> Result:
        seen = self.inside(low, high)
        return (seen[0][1] if seen[0][2] < 2 else None, seen[0][2]) if seen else NO_DATA

    def end(self, low: int, high: int) -> Result:
        seen = self.inside(low, high)
        return (seen[-1][1] if seen[-1][2] < 2 else None, seen[-1][2]) if seen else NO_DATA

    def delta(self, low: int, high: int) -> Result:
        seen = self.inside(low, high)
        good = [place for place, sample in enumerate(seen) if sample[2] == 0]
        if not good:
            return NO_DATA
        skipped = good[0] > 0 or good[-1] < len(seen) - 1
        return seen[good[-1]][1] - seen[good[0]][1], int(skipped)

    def interpolative(self, low: int, high: int) -> Result:
        del high
        return self.value_at(low)

    def value_at(self, time: int) -> Result:
        """Return what the variable had at a time, by the usable samples around it."""
        before = [place for place, s in enumerate(self.samples) if s[0] <= time and self.usable(s)]
        after = [place for place, s in enumerate(self.samples) if s[0] > time and self.usable(s)]
        if not before:
            return NO_DATA
        here = before[-1]
        stamp, value, severity = self.samples[here]
        if stamp == time:
            return value, severity
        if not after:
            return value, 1
        if self.stepped:
            skipped = any(stamp < s[0] <= time for s in self.samples)
            return value, int(severity > 0 or skipped)
        later = self.samples[after[0]]
        doubtful = severity > 0 or later[2] > 0 or after[0] > here + 1
        return value + (later[1] - value) * (time - stamp) / (later[0] - stamp), int(doubtful)

    def time_average(self, low: int, high: int) -> Result:
        """Return the mean of one value a millisecond, trapezoids where lines are drawn."""
        if self.outside(low, high) or not any(self.usable(s) for s in self.samples):
            return NO_DATA
        area, known, clear = 0.0, 0, True
        last = max(s[0] for s in self.samples if self.usable(s))
        for time in range(low, high):
            value, severity = self.value_at(time)
            if value is None:
                clear = False
                continue
            following = value
            if not self.stepped:
                following = self.value_at(time + 1)[0]
                assert following is not None
            area += (value + following) / 2
            known += 1
            between = not self.stepped and self.value_at_doubt(time)
            clear = clear and severity == 0 and not between and time < last
        return (area / known, 0 if clear else 1) if known else NO_DATA

    def value_at_doubt(self, time: int) -> bool:
        """Whether the line that leaves `time` is drawn over samples that cannot be used, or to an Uncertain one."""
        here = max(place for place, s in enumerate(self.samples) if s[0] <= time and self.usable(s))
        after = [place for place, s in enumerate(self.samples) if s[0] > time and self.usable(s)]
        return bool(after) and (after[0] > here + 1 or self.samples[after[0]][2] > 0)

    def _quality(self, time: int, low: int) -> int | None:
        """Return the quality of the millisecond from `time`, None after the last sample's own millisecond."""
        before = [place for place, s in enumerate(self.samples) if s[0] <= time]
        if not before:
            return 2
        here = before[-1]
        stamp, _, severity = self.samples[here]
        usable = self.usable(self.samples[here])
        if here == len(self.samples) - 1 and usable and time > stamp:
            return None
        if stamp >= low:
            return 2 if severity == 1 and self.uncertain_is_bad else severity
        if severity == 2:
            return 2
        if not usable:
            return 1 if self.stepped and here < len(self.samples) - 1 else 2
        if self.stepped:
            return severity
        following = self.samples[here + 1] if here + 1 < len(self.samples) else None
        clear = following is not None and severity == 0 and following[2] == 0 and self.usable(following)
        return 0 if clear else 1

    def duration_good(self, low: int, high: int) -> Result:
        if self.outside(low, high):
            return NO_DATA
        return float(sum(self._quality(time, low) == 0 for time in range(low, high))), 0

    def percent_bad_time(self, low: int, high: int) -> Result:
        if self.outside(low, high):
            return NO_DATA
        qualities = [quality for time in range(low, high) if (quality := self._quality(time, low)) is not None]
        return 100 * sum(quality == 2 for quality in qualities) / len(qualities), 0
