"""Notifications of many items that change at 10 Hz: how many arrive, how late, and whether every item is among them."""

import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench import wire
from bench.processes import Server
from bench.raw_client import RawClient
from bench.report import percentile
from bench.subscription import Subscription
from bench.wire import WireError

_SEVERITY = 0xC000_0000
"""Bits of a StatusCode that are 0 when it is Good."""
_PAUSE, _FEWEST_BURSTS = 0.02, 5
"""Messages that lie further apart (s) belong to different bursts."""
_OVERFLOW = 0x480
"""The item's queue overflowed (OPC 10000-4 7.39.1): values are missing before this one."""


@dataclass(frozen=True)
class Delivery:
    """What came in a window, and what the two sides took for it."""

    delivered: float
    """Notifications a second."""
    written: float
    """Changes a second that the server's own driver made."""
    missing: float
    """Share of the changes in the window that did not come."""
    lag_p50: float
    """From source timestamp to arrival, ms."""
    lag_p99: float
    seen: float
    """Share of the items that were among the notifications."""
    overflowed: float
    """Share of the notifications that say that values before them were lost."""
    client: float
    """Share of a core."""
    server: float

    @property
    def note(self) -> str:
        """What else is to be said: nothing when all that changed was delivered."""
        words = [f"{report_share(self.missing)} of the changes not delivered"] if self.missing > 0.01 else []
        if self.seen < 1:
            words.append(f"{report_share(1 - self.seen)} of the items never came")
        return "; ".join(words)


def report_share(share: float) -> str:
    """Return a share in percent."""
    return f"{100 * share:.0f} %"


def deliver(
    server: Server, client: RawClient, identifiers: list[str], interval: float, queue: int, seconds: float
) -> Delivery:
    """Monitor the items, have all of them change, and take what comes for some seconds, interval in ms.

    Answers are kept as they come and decoded when the clock has stopped. WireError when nothing comes or a value is
    not Good.
    """
    subscription = Subscription(client, interval)
    subscription.monitor(identifiers, queue=queue)
    server.process.steer(changing=len(identifiers))
    try:
        warm = time.monotonic() + max(1.0, seconds / 2)
        for _ in subscription.answers(lambda: time.monotonic() > warm, poll=0.05):
            pass  # the initial values, and the first changes
        before, spent, other = server.process.steer()["written"], time.process_time(), server.process.cpu_seconds()
        began = time.perf_counter()
        end = time.monotonic() + seconds
        answers = list(subscription.answers(lambda: time.monotonic() > end, poll=0.05))
        elapsed = time.perf_counter() - began
        spent, other = time.process_time() - spent, server.process.cpu_seconds() - other
        written = server.process.steer()["written"] - before
    finally:
        server.process.steer(changing=0)
    lags, seen, lost, counts = _decoded(answers, len(identifiers))
    if not len(lags):
        raise WireError(f"no notification came in {seconds:g} s")
    return Delivery(
        delivered=_rate([arrival / 1e7 for arrival, _ in answers], counts, elapsed),
        written=written / elapsed,
        # One round of changes may be on its way at either end of the window.
        missing=max(0.0, (written - len(lags) - len(identifiers)) / max(written, 1)),
        lag_p50=percentile(lags, 0.5),
        lag_p99=percentile(lags, 0.99),
        seen=float(seen.mean()),
        overflowed=lost / len(lags),
        client=spent / elapsed,
        server=other / elapsed,
    )


def _rate(arrivals: list[float], counts: list[int], elapsed: float) -> float:
    """Return notifications a second: what came after the first burst, by the time from its end to that of the last.

    Changes come in bursts, ten a second: a window cut anywhere would be wrong by one of them. Without pauses between
    messages it is what came in the window.
    """
    ends = [at for at, after in zip(arrivals, [*arrivals[1:], math.inf], strict=True) if after - at > _PAUSE]
    if len(ends) < _FEWEST_BURSTS:
        return sum(counts) / elapsed
    later = sum(count for at, count in zip(arrivals, counts, strict=True) if at > ends[0])
    return later / (ends[-1] - ends[0])


def _decoded(
    answers: list[tuple[int, bytes]], items: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], int, list[int]]:
    """Return lags (ms), which items were seen, how many notifications tell of an overflow, how many an answer has."""
    lags: list[NDArray[np.float64]] = []
    seen = np.zeros(items, np.bool_)
    lost, counts = 0, list[int]()
    for arrival, body in answers:
        counts.append(0)
        for values in wire.data_changes(body):
            if (values.statuses & _SEVERITY).any():
                raise WireError("a notification is not Good")
            lags.append((arrival - values.sources) / 1e4)
            counts[-1] += len(values)
            lost += int(((values.statuses & _OVERFLOW) == _OVERFLOW).sum())
            seen[values.handles] = True  # an IndexError would be a handle that nobody asked for
    lag = np.concatenate(lags) if lags else np.empty(0)
    return lag, seen, lost, counts
