"""Events of the past from a store that gives the oldest first: all of them, once, in both directions."""

from collections.abc import Sequence

import pytest
from asyncua import ua

from server.opcua.events.ports import PlainEvent
from server.opcua.events.stored import Merged, Source, Stamped, StoreSource
from tests.server.opcua_events.events_rig import SERVER

HOUR = 3600 * 10_000_000


class Kept:
    """A store of events in memory, asked as `server.alarms` is."""

    def __init__(self, times: Sequence[int]) -> None:
        kind = ua.NodeId(ua.ObjectIds.BaseEventType)
        self.events: list[Stamped] = [
            (time, PlainEvent(kind, SERVER, "Server", str(number))) for number, time in enumerate(sorted(times))
        ]

    async def stored(self, since: int, until: int, limit: int) -> Sequence[Stamped]:
        return [it for it in self.events if since <= it[0] < until][: limit or None]


async def drained(source: Source) -> list[Stamped]:
    found: list[Stamped] = []
    while (one := await source.peek()) is not None:
        found.append(one)
        source.take()
    return found


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(
    "times",
    [
        [],
        [5],
        list(range(2000)),
        [7] * 1700,  # more of one time than are asked for at once
        [1] * 600 + [2] * 600 + [3] * 600,
        [number * HOUR * 5 for number in range(200)],
    ],
    ids=["none", "one", "many", "at once", "three times", "far apart"],
)
async def test_every_event_comes_once(times: list[int], newest_first: bool) -> None:
    kept = Kept(times)
    found = await drained(StoreSource(kept, 0, 2**62, newest_first=newest_first))
    assert found == (kept.events[::-1] if newest_first else kept.events)


@pytest.mark.parametrize("newest_first", [False, True])
async def test_bounds_are_kept(newest_first: bool) -> None:
    found = await drained(StoreSource(Kept(range(100)), 20, 30, newest_first=newest_first))
    assert sorted(time for time, _ in found) == list(range(20, 30))


async def test_an_open_start_ends_somewhere() -> None:
    found = await drained(StoreSource(Kept([10 * HOUR, 11 * HOUR]), -(2**62), 2**62, newest_first=True))
    assert [time for time, _ in found] == [11 * HOUR, 10 * HOUR]


@pytest.mark.parametrize("newest_first", [False, True])
async def test_sources_are_merged_by_time(newest_first: bool) -> None:
    stores = [Kept([number * step % 10**6 for number in range(700)]) for step in (7_919, 104_729, 611_953)]
    sources = [StoreSource(it, 0, 10**7, newest_first=newest_first) for it in stores]
    found = [time for time, _ in await drained(Merged(sources, newest_first=newest_first))]
    assert found == sorted((time for it in stores for time, _ in it.events), reverse=newest_first)
