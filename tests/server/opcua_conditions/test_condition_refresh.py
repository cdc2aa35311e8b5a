"""Refreshes of many conditions, in turns with what else the server does."""

import asyncio
from pathlib import Path
from typing import Any

from asyncua import Client, ua

from server.assembly import Plantree
from tests.server.opcua.opcua_rig import nid, session
from tests.server.opcua_conditions.conditions_rig import PLANT, presses, set_value, watching

COUNT = 250
_END = ua.NodeId(ua.ObjectIds.RefreshEndEventType)
_START = ua.NodeId(ua.ObjectIds.RefreshStartEventType)


def _many() -> str:
    return PLANT.replace("  Press2: {type: PressType}\n", f"  Press[2..{COUNT}]: {{type: PressType}}\n")


async def _all_hot(plantree: Plantree, watch: Any) -> None:
    for number in range(1, COUNT + 1):
        set_value(plantree, f"Plant.Press{number}.Temperature", 90.0)
    hot = {f"Plant.Press{number}.Hot" for number in range(1, COUNT + 1)}
    while hot:
        event = await watch.seen.next(lambda it: bool(it["ConditionName"] == "Hot" and it["ActiveState/Id"]))
        hot.discard(event["ConditionId"].Identifier)


def _request(watch: Any) -> ua.CallMethodRequest:
    return ua.CallMethodRequest(
        ObjectId=ua.NodeId(ua.ObjectIds.ConditionType),
        MethodId=ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh),
        InputArguments=[ua.Variant(watch.id, ua.VariantType.UInt32)],
    )


def _session(plantree: Plantree, client: Client) -> Any:
    found: Any = plantree.opcua.internal.lookup_external_session(client.uaclient.session.authentication_token)
    return found


async def test_many_conditions_are_told_whole(tmp_path: Path) -> None:
    async with presses(tmp_path, _many()) as plantree, session(plantree, "Operator") as client:
        async with watching(client) as before:
            await _all_hot(plantree, before)
        async with watching(client) as watch:
            await watch.refresh()
            await watch.seen.next(lambda it: it["EventType"] == _END)
            told = [it["ConditionId"] for it in watch.seen.events if it["ConditionName"] == "Hot"]
            assert len(told) == COUNT
            assert set(told) == {nid(f"Plant.Press{number}.Hot") for number in range(1, COUNT + 1)}


async def test_one_refresh_at_a_time(tmp_path: Path) -> None:
    async with (
        presses(tmp_path, _many()) as plantree,
        session(plantree, "Operator") as client,
        watching(client) as watch,
    ):
        await _all_hot(plantree, watch)
        refresh, own = plantree.opcua.internal.refresh, _session(plantree, client)
        results = await asyncio.gather(*(refresh.call(_request(watch), own) for _ in range(2)))
        assert [it.StatusCode.name for it in results] == ["Good", "BadRefreshInProgress"]
        assert (await refresh.call(_request(watch), own)).StatusCode.is_good()


async def test_a_refresh_tells_no_older_state_after_a_newer_one(tmp_path: Path) -> None:
    async with (
        presses(tmp_path, _many()) as plantree,
        session(plantree, "Operator") as client,
        watching(client) as watch,
    ):
        await _all_hot(plantree, watch)
        refresh, own = plantree.opcua.internal.refresh, _session(plantree, client)
        last = plantree.plant.find_condition(f"Plant.Press{COUNT}.Hot")
        assert last is not None
        task = asyncio.create_task(refresh.call(_request(watch), own))
        await asyncio.sleep(0)  # the first hundred are told
        state = plantree.alarms.state(last)
        principal = own.principal
        await plantree.alarms.acknowledge(last, state.event_id, "meanwhile", principal, "test")
        assert (await task).StatusCode.is_good()
        await watch.seen.next(lambda it: it["EventType"] == _START)
        await watch.seen.next(lambda it: it["EventType"] == _END)
        of_last = [it["AckedState/Id"] for it in watch.seen.events if it["ConditionId"] == nid(last.path)]
        assert of_last[-1] is True


async def test_a_refresh_ends_with_its_subscription(tmp_path: Path) -> None:
    async with presses(tmp_path, _many()) as plantree, session(plantree, "Operator") as client:
        async with watching(client) as before:
            await _all_hot(plantree, before)
        async with watching(client) as watch:
            refresh, own = plantree.opcua.internal.refresh, _session(plantree, client)
            task = asyncio.create_task(refresh.call(_request(watch), own))
            await asyncio.sleep(0)
            plantree.opcua.internal.subscriptions.delete(own, [watch.id])
            assert (await task).StatusCode.is_good()
