"""Whether what planes show agrees with what OPC UA shows: pure comparison, for `python -m server verify`."""

import bisect
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from address_space.model import Plant
from gateways.observing import Observation, Plane

_WINDOW = 20_000_000
"""Ticks (2 s) around a sample's time in which its counterpart is looked for: more than any plane's resolution."""
_SHOWN = 5


@dataclass(slots=True)
class Agreement:
    """What became of one plane: variables and samples compared, and what differed, in sentences."""

    plane: str
    resolution: str
    variables: int = 0
    samples: int = 0
    older: int = 0
    """Samples from before the comparison began, which nothing can be said of."""
    missing: list[str] = field(default_factory=list[str])
    different: list[str] = field(default_factory=list[str])

    @property
    def holds(self) -> bool:
        """Whether every variable was seen, and every sample seen is one that OPC UA shows."""
        return not self.missing and not self.different and self.samples > 0


class Truth:
    """What OPC UA showed in a while: samples of each variable in the order of their source timestamps."""

    def __init__(self, samples: Iterable[Observation]) -> None:
        by_path: defaultdict[str, dict[tuple[int | None, int], Observation]] = defaultdict(dict)
        for sample in samples:
            by_path[sample.path][sample.source_timestamp, sample.status] = sample
        self._samples: Mapping[str, list[Observation]] = {
            path: sorted(found.values(), key=_time) for path, found in by_path.items()
        }
        self._times = {path: [_time(sample) for sample in found] for path, found in self._samples.items()}

    @property
    def paths(self) -> frozenset[str]:
        """Every variable that was seen."""
        return frozenset(self._samples)

    def near(self, path: str, ticks: int | None) -> Sequence[Observation]:
        """Return the samples of a variable that one of this time could be; all of them for a sample without a time."""
        samples = self._samples.get(path, [])
        if ticks is None:
            return samples
        times = self._times.get(path, [])
        return samples[bisect.bisect_left(times, ticks - _WINDOW) : bisect.bisect_right(times, ticks + _WINDOW)]

    def began_after(self, sample: Observation) -> bool:
        """Whether a sample is older than the first that is known of its variable."""
        times = self._times.get(sample.path)
        return sample.source_timestamp is not None and bool(times) and sample.source_timestamp < times[0]


def agree(plant: Plant, truth: Truth, plane: Plane) -> Agreement:
    """Compare every sample that a plane showed with what OPC UA showed of the same variable at that time."""
    result = Agreement(plane.name, plane.resolution)
    seen: set[str] = set()
    for sample in plane.observations:
        variable = plant.find(sample.path)
        if variable is None:
            result.different.append(f"{sample.path} is shown, but is no variable of the plant")
            continue
        candidates = truth.near(sample.path, sample.source_timestamp)
        same = any(plane.same(variable, candidate, sample) for candidate in candidates)
        if not same and truth.began_after(sample):
            result.older += 1
            continue
        seen.add(sample.path)
        result.samples += 1
        if not same:
            result.different.append(_sentence(sample, candidates))
    result.variables = len(seen)
    result.missing = sorted(truth.paths - seen)
    return result


def _time(sample: Observation) -> int:
    return sample.source_timestamp or 0


def _sentence(sample: Observation, candidates: Sequence[Observation]) -> str:
    nearest = sorted(candidates, key=lambda candidate: abs(_time(candidate) - _time(sample)))
    shown = ", ".join(_say(candidate) for candidate in nearest[:_SHOWN])
    more = f" and {len(candidates) - _SHOWN} more" if len(candidates) > _SHOWN else ""
    return f"{sample.path}: shows {_say(sample)}; OPC UA {shown + more or 'nothing near that time'}"


def _say(sample: Observation) -> str:
    return f"{sample.value!r} 0x{sample.status:08X} @{sample.source_timestamp}"
