"""What bench.opcua measures: its rows, and the figures of a run."""

from dataclasses import dataclass, field

from bench.plants import Layout
from bench.report import Samples

MAIN = Layout(machines=100, values=200, setpoints=10)
LARGE = Layout(machines=2000, values=100, setpoints=1)
"""For 200,000 monitored items."""
EMPTY = Layout(1, 1, 1)
STARTS = {"start_empty": EMPTY, "start_5k": Layout(50, 90, 10), "start_100k": Layout(1000, 90, 10)}
ITEMS = {"10k": 10_000, "20k": 20_000, "200k": 200_000}


@dataclass(frozen=True)
class Measure:
    """One row of the results; `target` is what Plantree is to reach."""

    key: str
    title: str
    unit: str
    more_is_better: bool
    target: float | None = None

    def verdict(self, value: float) -> str:
        """Return the target with whether a figure of Plantree meets it; 2 % are the edges of a window."""
        if self.target is None:
            return ""
        met = value >= 0.98 * self.target if self.more_is_better else value <= self.target
        return f"{'≥' if self.more_is_better else '≤'} {self.target:,.0f}: {'met' if met else 'missed'}"


def _notifications(size: str, target: float, lag: float | None = None) -> tuple[Measure, ...]:
    items = f"{ITEMS[size]:,} items at 10 Hz"
    return (
        Measure(f"notify_{size}", f"Notifications, {items} ({10 * ITEMS[size]:,}/s)", "notifications/s", True, target),
        Measure(f"lag_{size}_p50", f"Lag of {items}, p50", "ms", False),
        Measure(f"lag_{size}_p99", f"Lag of {items}, p99", "ms", False, lag),
    )


REQUESTS = (
    Measure("read_1000", "Reads, 1,000 values a request", "values/s", True, 5_000_000),
    Measure("read_1000_8", "Reads, 1,000 values a request, 8 under way", "values/s", True),
    Measure("read_1", "Reads, 1 value a request", "requests/s", True, 13_500),
    Measure("read_1_8", "Reads, 1 value a request, 8 under way", "requests/s", True),
    Measure("write_1000", "Writes, 1,000 set-points a request", "values/s", True, 1_500_000),
    Measure("write_1", "Writes, 1 set-point a request", "requests/s", True),
    Measure("write_1_8", "Writes, 1 set-point a request, 8 under way", "requests/s", True),
    Measure("call", "Method calls that set a set-point", "calls/s", True, 8_000),
    Measure("call_8", "Method calls that set a set-point, 8 under way", "calls/s", True),
)
MEASURES = (
    *REQUESTS,
    *_notifications("10k", 100_000, 110),
    *_notifications("20k", 200_000),
    *_notifications("200k", 2_000_000),
    Measure("start_empty", "Start-up, empty plant", "s", False),
    Measure("start_5k", "Start-up, 5,000 variables, over that of an empty plant", "s", False, 1),
    Measure("start_100k", "Start-up, 100,000 variables", "s", False, 5),
    Measure("memory", f"Resident memory, {MAIN.variables:,} variables, when up", "MB", False),
    Measure("memory_read", "Resident memory, all of them read, 20,000 monitored", "MB", False),
    Measure("memory_100k", "Resident memory, 100,000 variables, when up", "MB", False),
)


@dataclass
class Results:
    """Figures and processor shares by measure and server."""

    kinds: tuple[str, ...]
    figures: dict[tuple[str, str], Samples] = field(default_factory=dict)
    client: dict[tuple[str, str], Samples] = field(default_factory=dict)
    server: dict[tuple[str, str], Samples] = field(default_factory=dict)
    notes: dict[tuple[str, str], str] = field(default_factory=dict)
    """What else is to be said of a figure, by measure and server."""

    def add(self, key: str, kind: str, value: float) -> None:
        """Add a round's figure."""
        self.figures.setdefault((key, kind), Samples()).values.append(value)

    def fail(self, key: str, kind: str, note: str) -> None:
        """Note why there is no figure."""
        self.figures.setdefault((key, kind), Samples()).note = note

    def shares(self, key: str, kind: str, client: float, server: float) -> None:
        """Add a round's shares of a core."""
        for target, used in ((self.client, client), (self.server, server)):
            target.setdefault((key, kind), Samples()).values.append(100 * used)

    def of(self, key: str, kind: str) -> Samples:
        """Return the figures of a measure and a server; an empty Samples where there are none."""
        return self.figures.get((key, kind), Samples())

    def ratio(self, measure: Measure, peer: str) -> Samples:
        """Return how many times better Plantree is than a peer, one value a round; below 1: worse."""
        ours, theirs = self.of(measure.key, "plantree"), self.of(measure.key, peer)
        return ours.over(theirs) if measure.more_is_better else theirs.over(ours)
