"""ReadProcessedDetails and ReadAtTimeDetails over the wire."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

from server.store import to_ticks
from tests.server.opcua.opcua_rig import nid
from tests.server.opcua_history.history_server import (
    HistoryServer,
    Press,
    at,
    at_time,
    codes,
    data_of,
    processed,
    raw,
    read,
    rows,
    serving,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALCULATED, INTERPOLATED, PARTIAL = 0x401, 0x402, 0x404
SUB_NORMAL, UNCERTAIN, BAD = 0x40A40000, 0x40900000, 0x80310000


async def test_several_aggregates_of_several_variables_at_once(server: HistoryServer, press: Press) -> None:
    await server.keep(press.speed, [(second, float(second)) for second in range(-5, 65)])
    await server.keep(press.count, [(second, second) for second in range(-5, 65)])
    details = processed(0, 60, 30, "Average", "Maximum", "Count", "Range")
    async with server.session() as client:
        results = await read(client, details, press.speed, press.count, press.count, press.speed)
    average, most, count, span = results
    assert [row[:2] for row in rows(average)] == [(0, 14.5), (30, 44.5)]
    assert [row[:2] for row in rows(most)] == [(0, 29), (30, 59)]
    assert data_of(most).DataValues[0].Value.VariantType is ua.VariantType.Int32
    assert [row[:2] for row in rows(count)] == [(0, 30), (30, 30)]
    assert [row[:2] for row in rows(span)] == [(0, 29.0), (30, 29.0)]
    assert codes(average) == [CALCULATED, CALCULATED]


async def test_backwards_is_the_same_from_the_other_end(server: HistoryServer, press: Press) -> None:
    await server.keep(press.speed, [(second + 0.5, float(second)) for second in range(-5, 65)])
    async with server.session() as client:
        (forward,) = await read(client, processed(0, 60, 20, "Average"), press.speed)
        (backward,) = await read(client, processed(60, 0, 20, "Average"), press.speed)
    assert [row[1] for row in rows(backward)] == [row[1] for row in rows(forward)][::-1]
    assert [row[0] for row in rows(backward)] == [60, 40, 20]


async def test_an_interval_that_the_end_cuts_is_partial(server: HistoryServer, press: Press) -> None:
    await server.keep(press.speed, [(second, 1.0) for second in range(-5, 65)])
    async with server.session() as client:
        (result,) = await read(client, processed(0, 50, 20, "Count"), press.speed)
        (one,) = await read(client, processed(0, 50, 0, "Count"), press.speed)
    assert [row[:2] for row in rows(result)] == [(0, 20), (20, 20), (40, 10)]
    assert codes(result) == [CALCULATED, CALCULATED, CALCULATED | PARTIAL]
    assert [row[:2] for row in rows(one)] == [(0, 50)]


async def test_what_holds_until_it_changes_is_stepped(server: HistoryServer, press: Press) -> None:
    await server.keep(press.state, [(0, 0), (10, 2), (30, 1)])
    await server.keep(press.speed, [(0, 0.0), (10, 20.0), (30, 0.0)])
    details = processed(5, 25, 5, "Interpolative", "Interpolative")
    async with server.session() as client:
        state, speed = await read(client, details, press.state, press.speed)
    assert [row[1] for row in rows(state)] == [0, 2, 2, 2]
    assert [row[1] for row in rows(speed)] == [10.0, 20.0, 15.0, 10.0]
    assert codes(speed) == [INTERPOLATED, 0, INTERPOLATED, INTERPOLATED]


async def test_a_clients_configuration_overrides_the_servers(server: HistoryServer, press: Press) -> None:
    await server.keep(press.speed, [(0, 10.0), (10, 20.0, UNCERTAIN), (20, 30.0), (40, 0.0)])
    lenient = ua.AggregateConfiguration(
        UseServerCapabilitiesDefaults=False, TreatUncertainAsBad=False, PercentDataBad=100, PercentDataGood=100,
        UseSlopedExtrapolation=False,
    )  # fmt: skip
    wrong = ua.AggregateConfiguration(UseServerCapabilitiesDefaults=False, PercentDataBad=20, PercentDataGood=20)
    async with server.session() as client:
        (strict,) = await read(client, processed(10, 20, 0, "Interpolative"), press.speed)
        (other,) = await read(client, processed(10, 20, 0, "Interpolative", configuration=lenient), press.speed)
        (refused,) = await read(client, processed(10, 20, 0, "Average", configuration=wrong), press.speed)
    assert (rows(strict)[0][1], codes(strict)) == (20.0, [SUB_NORMAL | INTERPOLATED])
    assert codes(other) == [UNCERTAIN]
    assert refused.StatusCode.name == "BadAggregateConfigurationRejected"


async def test_a_day_by_the_second_comes_in_pages(server: HistoryServer, press: Press) -> None:
    await server.keep(press.speed, [(second * 3600, 1.0) for second in range(-1, 26)])
    async with server.session() as client:
        found: list[Any] = []
        point: bytes | None = None
        details = processed(0, 110_000, 1, "Interpolative")
        while True:
            (result,) = await read(client, details, press.speed, points=[point])
            found += rows(result)
            point = result.ContinuationPoint
            if not point:
                break
            assert len(rows(result)) <= 100_000
    assert len(found) == 110_000
    assert [row[0] for row in found[::10_000]] == [10_000 * place for place in range(11)]
    assert found[89_999][1] == 1.0


async def test_values_at_times(server: HistoryServer, press: Press) -> None:
    await server.keep(press.speed, [(0, 0.0), (10, 10.0), (20, 0.0, BAD), (30, 30.0)])
    await server.keep(press.label, [(0, "a"), (10, "b")])
    async with server.session() as client:
        (speed,) = await read(client, at_time(10, 5, -1, 25, 20, 31), press.speed)
        (simple,) = await read(client, at_time(5, 15, 25, simple=True), press.speed)
        (label,) = await read(client, at_time(5, 10, -1), press.label)
    assert [row[:2] for row in rows(speed)] == [(10, 10.0), (5, 5.0), (-1, None), (25, 25.0), (20, 20.0), (31, 30.0)]
    good = [0, INTERPOLATED, 0x809B0000]
    assert codes(speed) == [*good, *[SUB_NORMAL | INTERPOLATED] * 3]
    assert [row[1] for row in rows(simple)] == [5.0, 10.0, None]
    assert codes(simple) == [INTERPOLATED, SUB_NORMAL | INTERPOLATED, 0x809B0000]
    assert [row[1] for row in rows(label)] == ["a", "b", None]


async def test_strings_have_the_aggregates_that_need_no_numbers(server: HistoryServer, press: Press) -> None:
    await server.keep(press.label, [(0, "a"), (10, "b"), (20, "c", BAD)])
    details = processed(0, 15, 0, "Start", "End", "Count", "Average", "Interpolative", "DurationGood")
    async with server.session() as client:
        start, end, count, average, held, good = await read(client, details, *[press.label] * 6)
    assert rows(start)[0][1] == "a"
    assert rows(end)[0][1] == "b"
    assert rows(count)[0][1] == 2
    assert average.StatusCode.name == "BadAggregateInvalidInputs"
    assert rows(held)[0][1] == "a"
    assert rows(good)[0][1] == 15_000.0


async def test_what_cannot_be_worked_out_is_refused(server: HistoryServer, press: Press) -> None:
    unknown = processed(0, 60, 10, "Average")
    unknown.AggregateType = [ua.NodeId(ua.ObjectIds.AggregateFunction_AnnotationCount)]
    async with server.session() as client:
        (same,) = await read(client, processed(5, 5, 1, "Average"), press.speed)
        (none,) = await read(client, unknown, press.speed)
        (no_times,) = await read(client, at_time(), press.speed)
        with pytest.raises(ua.uaerrors.BadAggregateListMismatch):
            await read(client, processed(0, 60, 10, "Average", "Count"), press.speed)
    assert same.StatusCode.name == "BadInvalidArgument"
    assert none.StatusCode.name == "BadAggregateNotSupported"
    assert no_times.StatusCode.name == "BadInvalidTimestampArgument"


async def test_raw_and_processed_agree(server: HistoryServer, press: Press) -> None:
    await server.keep(press.speed, [(second / 7, float(second % 13)) for second in range(-50, 500)])
    async with server.session() as client:
        (everything,) = await read(client, raw(0, 60), press.speed)
        (total,) = await read(client, processed(0, 60, 0, "Count"), press.speed)
    assert rows(total)[0][1] == len(rows(everything))


async def test_minutes_and_hours_answer_where_the_samples_are_gone(tmp_path: Path) -> None:
    day = 86_400
    async with serving(tmp_path) as server, server.session() as client:
        path = "Plant.Press1.Speed"
        await server.keep(path, [(second, float(second)) for second in range(0, 7200, 20)])
        await asyncio.to_thread(server.historian.archive.seal)  # samples go a block at a time
        await server.keep(path, [(10 * day, 1.0), (10 * day + 60, 3.0)])
        names = ("Minimum", "Maximum", "Average", "Count", "Range")

        async def all_of(start: float, end: float, interval: float) -> dict[str, list[Any]]:
            found = await read(client, processed(start, end, interval, *names), *[path] * len(names))
            return {name: rows(result) for name, result in zip(names, found, strict=True)}

        spans = [(0, 7200, 3600), (60, 600, 60), (7200, 0, 1800), (0, 10 * day + 120, 5 * day)]
        with_samples = [await all_of(*span) for span in spans]
        assert await server.historian.prune(to_ticks(at(10 * day))) == 360
        assert await client.get_node(nid(path)).read_raw_history(at(0), at(day), return_bounds=False) == []
        for span, before in zip(spans[:2], with_samples, strict=False):
            assert await all_of(*span) == before
        backward = await all_of(*spans[2])
        assert [row[0] for row in backward["Average"]] == [7200, 5400, 3600, 1800]
        assert [row[1] for row in backward["Maximum"]] == [7180, 5380, 3580, 1780]
        last = await all_of(*spans[3])
        assert [row[1] for row in with_samples[3]["Count"]] == [360, 0, 2]
        assert [row[1] for row in last["Count"]] == [360, None, 2]  # nobody knows any more that there were none
        timed = await read(client, processed(0, 3600, 3600, "TimeAverage"), path)
        assert [row[2] for row in rows(timed[0])] == ["BadNoData"]
