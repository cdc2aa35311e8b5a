"""HistoryUpdate over the wire: what Engineers may change, what stays readable of before, and the audit trail."""

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
    processed,
    raw,
    read,
    rows,
    serving,
    update,
    when,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

INSERT, REPLACE, UPDATE = (getattr(ua.PerformUpdateType, name) for name in ("Insert", "Replace", "Update"))
INSERTED, REPLACED = "GoodEntryInserted", "GoodEntryReplaced"


def values(path: str, how: ua.PerformUpdateType, *rows: tuple[float, Any]) -> ua.UpdateDataDetails:
    details = ua.UpdateDataDetails(NodeId=nid(path), PerformInsertReplace=how)
    for second, value in rows:
        found = ua.DataValue(ua.Variant(value, ua.VariantType.Double), SourceTimestamp=at(second))
        details.UpdateValues.append(found)
    return details


def names(result: ua.HistoryUpdateResult) -> list[str]:
    return [code.name for code in result.OperationResults]


async def history(server: HistoryServer, path: str) -> list[Any]:
    async with server.session() as client:
        (result,) = await read(client, raw(-1000, 1000), path)
    return [row[:2] for row in rows(result)]


async def test_insert_replace_and_update(server: HistoryServer, press: Press) -> None:
    await server.keep(press.speed, [(0, 0.0), (10, 10.0)])
    async with server.session("Engineer") as client:
        (inserted,) = await update(client, values(press.speed, INSERT, (5, 5.0), (10, 99.0)))
        (replaced,) = await update(client, values(press.speed, REPLACE, (10, 11.0), (11, 99.0)))
        (updated,) = await update(client, values(press.speed, UPDATE, (0, 1.0), (20, 20.0)))
    assert names(inserted) == [INSERTED, "BadEntryExists"]
    assert names(replaced) == [REPLACED, "BadNoEntryExists"]
    assert names(updated) == [REPLACED, INSERTED]
    assert await history(server, press.speed) == [(0, 1.0), (5, 5.0), (10, 11.0), (20, 20.0)]


async def test_what_was_before_is_read_as_modified(server: HistoryServer, press: Press) -> None:
    await server.keep(press.speed, [(0, 0.0), (10, 10.0), (20, 20.0)])
    async with server.session("Engineer") as client:
        await update(client, values(press.speed, REPLACE, (10, 11.0)))
        await update(client, values(press.speed, REPLACE, (10, 12.0)))
        gone = ua.DeleteAtTimeDetails(NodeId=nid(press.speed), ReqTimes=[at(20)])
        await update(client, gone)
        (result,) = await read(client, raw(0, 100, modified=True), press.speed)
        (first,) = await read(client, raw(0, 100, 1, modified=True), press.speed)
        (rest,) = await read(client, raw(0, 100, 1, modified=True), press.speed, points=[first.ContinuationPoint])
        (refused,) = await read(client, raw(0, 100, modified=True, bounds=True), press.speed)
    assert [row[:2] for row in rows(result)] == [(10, 10.0), (10, 11.0), (20, 20.0)]
    infos = data_of(result).ModificationInfos
    assert [info.UpdateType.name for info in infos] == ["Replace", "Replace", "Delete"]
    assert {info.UserName for info in infos} == {"Engineer"}
    assert all(when(info.ModificationTime) > 0 for info in infos)
    assert [row[:2] for row in rows(first) + rows(rest)] == [(10, 10.0), (10, 11.0), (20, 20.0)]
    assert refused.StatusCode.name == "BadInvalidArgument"


async def test_delete_a_stretch(server: HistoryServer, press: Press) -> None:
    await server.keep(press.speed, [(second, float(second)) for second in range(10)])
    stretch = ua.DeleteRawModifiedDetails(nid(press.speed), False, at(3), at(7))
    async with server.session("Engineer") as client:
        first, second = await update(client, stretch, stretch)
        (count,) = await read(client, processed(0, 10, 0, "Count"), press.speed)
        forget = ua.DeleteRawModifiedDetails(nid(press.speed), True, at(3), at(7))
        (forgotten,) = await update(client, forget)
        (modified,) = await read(client, raw(0, 100, modified=True), press.speed)
    assert (first.StatusCode.name, second.StatusCode.name) == ("Good", "GoodNoData")
    assert [row[0] for row in await history(server, press.speed)] == [0, 1, 2, 7, 8, 9]
    assert rows(count)[0][1] == 6
    assert forgotten.StatusCode.name == "Good"
    assert modified.StatusCode.name == "GoodNoData"


@pytest.mark.parametrize("user", [None, "Observer", "Operator"])
async def test_only_engineers_change_history(server: HistoryServer, press: Press, user: str | None) -> None:
    await server.keep(press.speed, [(0, 0.0)])
    async with server.session(user) as client:
        (result,) = await update(client, values(press.speed, INSERT, (5, 5.0)))
    assert result.StatusCode.name == "BadUserAccessDenied"
    assert await history(server, press.speed) == [(0, 0.0)]
    assert server.audited[-1][4] == ua.StatusCodes.BadUserAccessDenied


async def test_every_change_is_on_the_audit_trail(server: HistoryServer, press: Press) -> None:
    async with server.session("Engineer") as client:
        await update(client, values(press.speed, INSERT, (5, 5.0), (6, 6.0)))
    who, origin, action, arguments, fault = server.audited[-1]
    assert (who, action, fault) == ("Engineer", f"HistoryUpdate {press.speed}", None)
    assert origin.startswith("opcua 127.0.0.1")
    assert arguments[:3] == ["update", int(INSERT), 2]


async def test_values_of_another_type_or_without_time_are_refused(server: HistoryServer, press: Press) -> None:
    wrong = values(press.speed, INSERT, (5, 5.0), (6, 6.0))
    wrong.UpdateValues[0] = ua.DataValue(ua.Variant(5, ua.VariantType.Int32), SourceTimestamp=at(5))
    wrong.UpdateValues.append(ua.DataValue(ua.Variant(7.0), SourceTimestamp=None))
    async with server.session("Engineer") as client:
        (result,) = await update(client, wrong)
    assert names(result) == ["BadTypeMismatch", INSERTED, "BadInvalidTimestamp"]
    assert await history(server, press.speed) == [(6, 6.0)]


async def test_changes_survive_a_restart(tmp_path: Path) -> None:
    press = Press("Plant.Press1")
    async with serving(tmp_path) as server:
        await server.keep(press.speed, [(0, 0.0), (10, 10.0), (20, 20.0)])
        async with server.session("Engineer") as client:
            await update(client, values(press.speed, REPLACE, (10, 11.0)))
            await update(client, ua.DeleteAtTimeDetails(NodeId=nid(press.speed), ReqTimes=[at(0), at(1)]))
    async with serving(tmp_path) as server:
        assert await history(server, press.speed) == [(10, 11.0), (20, 20.0)]
        async with server.session() as client:
            (result,) = await read(client, raw(0, 100, modified=True), press.speed)
            assert [row[:2] for row in rows(result)] == [(0, 0.0), (10, 10.0)]
