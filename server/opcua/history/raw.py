"""ReadRawModifiedDetails: samples as they were kept, in either direction, page by page (OPC 10000-11 6.5.3)."""

from dataclasses import dataclass, replace

from address_space.model import BuiltinType, Variable
from server.history import Historian, ReadRequest, Samples
from server.opcua.history import answers, codes
from server.opcua.history.requests import RawDetails

_LEAST, _MOST = -(2**63), 2**63 - 1
NOT_GIVEN = (0, _MOST)
"""DateTime.MinValue stands for a time that is not specified; some clients send the largest one."""


@dataclass(frozen=True, slots=True)
class RawRead:
    """What is still to be read of one variable.

    `low` <= timestamp < `high`; `left` is how many at most in all (0: any number), `page` how many a response;
    `first` is the time of the bounding value before all others, `last` of the one after them (ticks, None: none).
    """

    variable: Variable
    low: int
    high: int
    reverse: bool
    left: int
    page: int
    modified: bool
    first: int | None
    last: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """Encoded DataValues, and what is still to be read (None: nothing)."""

    result: int
    data: bytes
    rest: RawRead | None


def plan(variable: Variable, details: RawDetails) -> RawRead | int:
    """Return what a request asks for of one variable, or a bad StatusCode."""
    start = None if details.start in NOT_GIVEN else details.start
    end = None if details.end in NOT_GIVEN else details.end
    if (start is not None) + (end is not None) + (details.most > 0) < 2:
        return codes.BAD_HISTORY_OPERATION_INVALID
    if details.modified and details.bounds:
        return codes.BAD_INVALID_ARGUMENT  # bounds are for raw values alone
    reverse = start is None or (end is not None and end < start)
    near = start if start is not None else end
    if near is None:
        return codes.BAD_HISTORY_OPERATION_INVALID
    far = end if start is not None else None
    if reverse:
        low, high = (_LEAST if far is None else far + 1), near + 1
    else:
        low, high = near, (_MOST if far is None else far)
    if far == near:
        low, high = near, near + 1
    both = start is not None and end is not None
    first, last = (near if details.bounds else None), (far if details.bounds else None)
    left = 0 if both else details.most
    return RawRead(variable, low, high, reverse, left, details.most if both else 0, details.modified, first, last)


async def read(historian: Historian, wanted: RawRead, room: int, most: int) -> Page:
    """Return the next page of a read: at most `most` values and about `room` bytes."""
    limit = min(filter(None, (wanted.page, wanted.left, most, max(room // answers.BYTES_A_VALUE, 1))))
    if wanted.modified:
        return await _modified(historian, wanted, limit)
    parts: list[bytes] = []
    count = 0
    builtin = wanted.variable.declaration.type
    if wanted.first is not None:
        near = await _near(historian, wanted, wanted.first)
        if near is not None:
            parts.append(near)
            count += 1
    samples = await historian.read(_request(wanted, limit - count + 1))
    fitting = samples.take(slice(0, _fitting(samples, builtin, limit - count, room)))
    more = len(fitting) < len(samples)
    if len(fitting):
        parts.append(answers.values(fitting, builtin))
        count += len(fitting)
    if more:
        return _page(parts, count, _go_on(wanted, samples, len(fitting), count))
    if wanted.last is not None:
        if count >= limit:
            return _page(parts, count, _bound_alone(wanted))
        far = await _far(historian, wanted, wanted.last, samples)
        if far is not None:
            parts.append(far)
            count += 1
    return _page(parts, count, None)


def _page(parts: list[bytes], count: int, rest: RawRead | None) -> Page:
    return Page(codes.GOOD if count else codes.GOOD_NO_DATA, answers.data(b"".join(parts), count), rest)


def _request(wanted: RawRead, limit: int) -> ReadRequest:
    return ReadRequest(wanted.variable.id, wanted.low, wanted.high, limit, wanted.reverse)


def _fitting(samples: Samples, builtin: BuiltinType, limit: int, room: int) -> int:
    """Return how many samples go into this response; at least one, so that a read comes to its end."""
    if builtin is not BuiltinType.String:
        return min(limit, len(samples))
    count = 0
    for encoded in answers.text_values(samples)[:limit]:
        room -= len(encoded)
        if room < 0 and count:
            break
        count += 1
    return count


def _go_on(wanted: RawRead, samples: Samples, taken: int, count: int) -> RawRead | None:
    """Return the read from the first sample that was not taken; None where that was all that was asked for."""
    left = wanted.left
    if left:
        left -= count
        if left <= 0:
            return None
    following = int(samples.stamps[taken])
    if wanted.reverse:
        return replace(wanted, high=following + 1, left=left, first=None)
    return replace(wanted, low=following, left=left, first=None)


def _bound_alone(wanted: RawRead) -> RawRead:
    """Return a read of the bounding value at the end, which is all that is left."""
    at = {"high": wanted.low} if wanted.reverse else {"low": wanted.high}
    return replace(wanted, first=None, **at)


async def _near(historian: Historian, wanted: RawRead, stamp: int) -> bytes | None:
    """Return the bounding value at the start where no sample is right there."""
    variable = wanted.variable.id
    exact = await historian.read(ReadRequest(variable, stamp, stamp + 1))
    if len(exact):
        return None
    if wanted.reverse:
        found = await historian.read(ReadRequest(variable, stamp + 1, _MOST, 1))
    else:
        found = await historian.read(ReadRequest(variable, _LEAST, stamp, 1, reverse=True))
    if len(found) == 0:
        return answers.bound_not_found(stamp)
    return answers.values(found, wanted.variable.declaration.type)


async def _far(historian: Historian, wanted: RawRead, stamp: int, samples: Samples) -> bytes | None:
    """Return the bounding value at the end, where it is not among `samples` already."""
    if len(samples) and int(samples.stamps[-1]) == stamp:
        return None
    variable = wanted.variable.id
    if wanted.reverse:
        found = await historian.read(ReadRequest(variable, _LEAST, stamp + 1, 1, reverse=True))
    else:
        found = await historian.read(ReadRequest(variable, stamp, _MOST, 1))
    if len(found) == 0:
        return answers.bound_not_found(stamp)
    return answers.values(found, wanted.variable.declaration.type)


async def _modified(historian: Historian, wanted: RawRead, limit: int) -> Page:
    """Return samples that were changed; changes of one sample stay together: the next page begins after them."""
    found = await historian.modified(_request(wanted, limit + 1))
    rest: RawRead | None = None
    if len(found.samples) > limit:
        stamps = found.samples.stamps
        last = int(stamps[limit])
        keep = int((stamps[:limit] != last).sum())
        if keep == 0:  # more changes of one sample than a page holds: all of them
            found = await historian.modified(ReadRequest(wanted.variable.id, last, last + 1))
            keep = len(found.samples)
            last = last + (-1 if wanted.reverse else 1)
        else:
            found = replace(
                found, samples=found.samples.take(slice(0, keep)), types=found.types[:keep],
                times=found.times[:keep], users=found.users[:keep],
            )  # fmt: skip
        left = max(wanted.left - keep, 0)
        if not wanted.left or left:
            rest = replace(wanted, left=left, **({"high": last + 1} if wanted.reverse else {"low": last}))
    encoded = answers.values(found.samples, wanted.variable.declaration.type)
    status = codes.GOOD if len(found.samples) else codes.GOOD_NO_DATA
    return Page(status, answers.modified_data(encoded, found), rest)
