"""ReadRawModifiedDetails over the wire: OPC 10000-11's own table of time domains, pages, rights."""

from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

from tests.server.opcua.opcua_rig import nid
from tests.server.opcua_history.history_server import (
    HistoryServer,
    Press,
    at,
    data_of,
    raw,
    read,
    rows,
    serving,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

MINUTE = 60.0
KEPT = [(0 * MINUTE, 0.0), (2 * MINUTE, 2.0), (3 * MINUTE, 3.0), (5 * MINUTE, 5.0), (6 * MINUTE, 6.0)]
"""Values at 0, 2, 3, 5 and 6 minutes, as in the examples of OPC 10000-11 4.5."""
NONE = "BadBoundNotFound"


@pytest.mark.parametrize(
    ("start", "end", "most", "bounds", "expected"),
    [
        (0, 5, 0, True, [0, 2, 3, 5]),
        (0, 5, 0, False, [0, 2, 3]),
        (1, 4, 0, True, [0, 2, 3, 5]),
        (1, 4, 0, False, [2, 3]),
        (5, 0, 0, True, [5, 3, 2, 0]),
        (5, 0, 0, False, [5, 3, 2]),
        (4, 1, 0, True, [5, 3, 2, 0]),
        (4, 1, 0, False, [3, 2]),
        (-1, 5, 0, True, [NONE, 0, 2, 3, 5]),
        (-1, 5, 0, False, [0, 2, 3]),
        (5, 7, 0, True, [5, 6, NONE]),
        (7, 5, 0, True, [NONE, 6, 5]),
        (0, None, 3, True, [0, 2, 3]),
        (0, None, 3, False, [0, 2, 3]),
        (1, None, 3, True, [0, 2, 3]),
        (1, None, 3, False, [2, 3, 5]),
        (None, 5, 3, True, [5, 3, 2]),
        (None, 5, 3, False, [5, 3, 2]),
        (None, 6, 3, False, [6, 5, 3]),
        (5, None, 3, False, [5, 6]),
        (0, 0, 0, True, [0]),
        (0, 0, 0, False, [0]),
        (1, 1, 0, True, [0, 2]),
        (1, 1, 0, False, []),
    ],
)
async def test_time_domains_of_the_standard(
    server: HistoryServer,
    press: Press,
    start: int | None,
    end: int | None,
    most: int,
    bounds: bool,
    expected: list[Any],
) -> None:
    await server.keep(press.speed, KEPT)
    details = raw(start if start is None else start * MINUTE, end if end is None else end * MINUTE, most, bounds=bounds)
    async with server.session() as client:
        (result,) = await read(client, details, press.speed)
    found = [status if status == NONE else second / MINUTE for second, _, status in rows(result)]
    assert found == expected
    assert not result.ContinuationPoint
    assert result.StatusCode.name == ("Good" if expected else "GoodNoData")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("page", [1, 2, 3, 7])
@pytest.mark.parametrize("bounds", [False, True])
async def test_pages_put_together_are_the_whole(
    server: HistoryServer, press: Press, reverse: bool, page: int, bounds: bool
) -> None:
    await server.keep(press.speed, [(second, float(second)) for second in range(20)])
    start, end = (15.5, 2.5) if reverse else (2.5, 15.5)
    async with server.session() as client:
        (whole,) = await read(client, raw(start, end, bounds=bounds), press.speed)
        found: list[Any] = []
        point: bytes | None = None
        for _ in range(30):
            (result,) = await read(client, raw(start, end, page, bounds=bounds), press.speed, points=[point])
            assert len(rows(result)) <= page
            found += rows(result)
            point = result.ContinuationPoint
            if not point:
                break
        assert found == rows(whole)
        assert len(found) == (15 if bounds else 13)


async def test_a_released_or_invented_point_is_not_known(server: HistoryServer, press: Press) -> None:
    await server.keep(press.speed, [(second, float(second)) for second in range(10)])
    async with server.session() as client:
        (first,) = await read(client, raw(0, 20, 3), press.speed)
        await read(client, raw(0, 20, 3), press.speed, points=[first.ContinuationPoint], release=True)
        (gone,) = await read(client, raw(0, 20, 3), press.speed, points=[first.ContinuationPoint])
        (other,) = await read(client, raw(0, 20, 3), press.speed)
        (wrong,) = await read(client, raw(0, 20, 3), press.count, points=[other.ContinuationPoint])
    assert gone.StatusCode.name == wrong.StatusCode.name == "BadContinuationPointInvalid"


async def test_a_point_belongs_to_its_session(server: HistoryServer, press: Press) -> None:
    await server.keep(press.speed, [(second, float(second)) for second in range(10)])
    async with server.session() as one, server.session("Engineer") as other:
        (first,) = await read(one, raw(0, 20, 3), press.speed)
        (stolen,) = await read(other, raw(0, 20, 3), press.speed, points=[first.ContinuationPoint])
        assert stolen.StatusCode.name == "BadContinuationPointInvalid"
        (rest,) = await read(one, raw(0, 20, 3), press.speed, points=[first.ContinuationPoint])
        assert [row[0] for row in rows(rest)] == [3, 4, 5]


async def test_there_are_no_more_points_than_announced(server: HistoryServer, press: Press) -> None:
    await server.keep(press.speed, [(second, float(second)) for second in range(10)])
    async with server.session() as client:
        results = await read(client, raw(0, 20, 1), *([press.speed] * 101))
        most = client.get_node(ua.NodeId(ua.ObjectIds.Server_ServerCapabilities_MaxHistoryContinuationPoints))
        assert await most.read_value() == 100
    names = [result.StatusCode.name for result in results]
    assert names.count("Good") == 100
    assert names[-1] == "BadNoContinuationPoints"


async def test_every_kind_of_value_and_status_comes_back(server: HistoryServer, press: Press) -> None:
    await server.keep(press.count, [(0, -5), (1, 7, 0x40900000), (2, 9, 0x80310000)])
    await server.keep(press.label, [(0, "Öl"), (1, None), (2, ""), (3, "x", 0x80310000)])
    async with server.session() as client:
        count, label = await read(client, raw(0, 9), press.count, press.label)
    assert rows(count) == [
        (0, -5, "Good"), (1, 7, "UncertainLastUsableValue"), (2, None, "BadNoCommunication"),
    ]  # fmt: skip
    assert [(row[1], row[2]) for row in rows(label)] == [
        ("Öl", "Good"), (None, "Good"), ("", "Good"), (None, "BadNoCommunication"),
    ]  # fmt: skip
    assert data_of(count).DataValues[0].Value.VariantType is ua.VariantType.Int32


async def test_pages_of_long_strings_fit_the_message(server: HistoryServer, press: Press) -> None:
    await server.keep(press.label, [(second, f"{second:04}" * 2500) for second in range(60)])
    async with server.session() as client:
        found: list[Any] = []
        point: bytes | None = None
        while True:
            (result,) = await read(client, raw(0, 99, 25), press.label, points=[point])
            found += rows(result)
            point = result.ContinuationPoint
            if not point:
                break
    assert [row[1][:4] for row in found] == [f"{second:04}" for second in range(60)]


@pytest.mark.parametrize(
    ("user", "below", "status"),
    [
        (None, ".Speed", "BadUserAccessDenied"),
        ("Observer", ".Speed", "Good"),
        ("Observer", ".Secret", "BadUserAccessDenied"),
        ("Engineer", ".Secret", "Good"),
        ("SecurityAdmin", ".Speed", "BadUserAccessDenied"),
        ("Observer", "", "BadHistoryOperationUnsupported"),
        ("Observer", ".Nothing", "BadNodeIdUnknown"),
    ],
)
async def test_who_may_read_what(
    server: HistoryServer, press: Press, user: str | None, below: str, status: str
) -> None:
    await server.keep(press.speed, KEPT)
    await server.keep(press.secret, KEPT)
    async with server.session(user) as client:
        (result,) = await read(client, raw(0, 600), press.path + below)
    assert result.StatusCode.name == status
    assert (len(rows(result)) if status == "Good" else 0) == (5 if status == "Good" else 0)


async def test_what_makes_no_sense_is_refused(server: HistoryServer, press: Press) -> None:
    async with server.session() as client:
        (alone,) = await read(client, raw(0, None), press.speed)
        (ranged,) = await read(client, raw(0, 5), press.speed, index_range="1")
        (stamped,) = await read(client, raw(0, 5), press.speed, timestamps=ua.TimestampsToReturn.Server)
        (events,) = await read(client, ua.ReadEventDetails(Filter=ua.EventFilter()), press.speed)
        with pytest.raises(ua.uaerrors.BadTimestampsToReturnInvalid):
            await read(client, raw(0, 5), press.speed, timestamps=ua.TimestampsToReturn.Neither)
        with pytest.raises(ua.uaerrors.BadNothingToDo):
            await read(client, raw(0, 5))
        with pytest.raises(ua.uaerrors.BadTooManyOperations):
            await read(client, raw(0, 5), *([press.speed] * 1001))
    assert alone.StatusCode.name == "BadHistoryOperationInvalid"
    assert ranged.StatusCode.name == "BadIndexRangeInvalid"
    assert stamped.StatusCode.name == "BadTimestampNotSupported"
    assert events.StatusCode.name == "BadHistoryOperationUnsupported"


async def test_asyncuas_own_history_call_after_a_restart(tmp_path: Path, press: Press) -> None:
    async with serving(tmp_path) as server:
        await server.keep(press.speed, KEPT)
    async with serving(tmp_path) as server, server.session() as client:
        found = await client.get_node(nid(press.speed)).read_raw_history(starttime=at(0), numvalues=3)
        assert [value.Value.Value for value in found] == [0.0, 2.0, 3.0]
