"""Gets lines into a database: in requests of a good size, and round those that it refuses."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from gateways.influx.dead_letter import Rejected
from gateways.influx.peer import Peer, PeerError, RefusedError
from gateways.influx.protocol import Lines

_MOST_BYTES = 1_000_000
"""Of a request: InfluxDB 3 takes 10 MB, aiohttp wants no more than 1 MiB in one piece on the event loop."""
_IN_FLIGHT = 2
"""Requests at a time: the next is on the way while the database works on one."""
_MOST_SEARCHES = 200
"""Requests to find the wrong lines of one request before the rest of what is suspected is given up."""


@dataclass(slots=True)
class _Search:
    """How many requests are left to find wrong lines with."""

    left: int = _MOST_SEARCHES


async def write(peer: Peer, lines: Lines, most_lines: int) -> tuple[list[Rejected], set[int]]:
    """Write all lines; returns those that the database refused, and the samples that they are of. Raises PeerError.

    Writing a line twice does no harm, so that a request of which a part was taken can be sent again.
    """
    rejected: list[Rejected] = []
    samples: set[int] = set()
    parts = lines.parts(most_lines, _MOST_BYTES)

    async def send() -> None:
        for part in parts:
            found = await _write(peer, part, _Search())
            rejected.extend(one for _, one in found)
            samples.update(row for row, _ in found)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_IN_FLIGHT if len(lines) > most_lines else 1):
                group.create_task(send())
    except* PeerError as errors:
        raise first(errors) from errors
    return rejected, samples


def first(group: BaseExceptionGroup[PeerError]) -> PeerError:
    """Return the first error of a group, however deep."""
    error = group.exceptions[0]
    return first(error) if isinstance(error, BaseExceptionGroup) else error


async def _write(peer: Peer, lines: Lines, search: _Search) -> list[tuple[int, Rejected]]:
    """Write a request's worth; returns (sample, rejected line) of each refused one."""
    if not len(lines):
        return []
    try:
        await peer.write(lines.body)
    except RefusedError as error:
        refused = error.refused
    else:
        return []
    if not (refused.about_lines or refused.too_large):
        raise PeerError(refused.reason, refused.retry_after)
    search.left -= 1
    named = {number: why for number, why in refused.lines.items() if number < len(lines)}
    if named and search.left > 0:
        found = [_rejected(lines, number, why) for number, why in sorted(named.items())]
        return found + await _write(peer, lines.without(set(named)), search)
    if len(lines) == 1 or search.left <= 0:
        return [_rejected(lines, number, refused.reason) for number in range(len(lines))]
    middle = len(lines) // 2
    halves: Sequence[Lines] = (lines.cut(0, middle), lines.cut(middle, len(lines)))
    return [found for half in halves for found in await _write(peer, half, search)]


def _rejected(lines: Lines, number: int, reason: str) -> tuple[int, Rejected]:
    return int(lines.rows[number]), Rejected(lines.line(number).decode("utf-8", "replace"), reason)
