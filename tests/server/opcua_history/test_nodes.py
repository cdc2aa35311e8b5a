"""What the address space says of history: attributes, configuration objects, capabilities."""

import asyncio
from typing import Any

import numpy as np
import pytest
from asyncua import Client, ua

from server.history.aggregates import AGGREGATES
from server.store import now_ticks
from tests.server.opcua.opcua_rig import browse, nid
from tests.server.opcua_history.history_server import HistoryServer, Press, at

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def value(client: Client, node: ua.NodeId) -> Any:
    return (await client.get_node(node).read_data_value(raise_on_bad_status=False)).Value


async def test_variables_say_that_they_have_history(server: HistoryServer, press: Press) -> None:
    async with server.session() as client:
        node = client.get_node(nid(press.speed))
        historizing, level, permissions = await node.read_attributes(
            [ua.AttributeIds.Historizing, ua.AttributeIds.AccessLevel, ua.AttributeIds.RolePermissions]
        )
    assert historizing.Value.Value is True
    assert level.Value.Value == 0x0D  # CurrentRead, HistoryRead, HistoryWrite
    may = {row.RoleId.Identifier: row.Permissions for row in permissions.Value.Value}
    assert may[ua.ObjectIds.WellKnownRole_Observer] & ua.PermissionType.ReadHistory
    assert not may[ua.ObjectIds.WellKnownRole_Anonymous] & ua.PermissionType.ReadHistory
    assert may[ua.ObjectIds.WellKnownRole_Engineer] & ua.PermissionType.DeleteHistory


async def test_configuration_of_a_variable(server: HistoryServer, press: Press) -> None:
    await server.keep(press.speed, [(3, 1.0), (7, 2.0)])
    async with server.session() as client:
        top = f"{press.speed}.HA Configuration"
        found = {
            name: (await value(client, nid(f"{top}.{name}"))).Value
            for name in ("Stepped", "StartOfArchive", "StartOfOnlineArchive", "MaxTimeStoredValues",
                         "ServerTimestampSupported", "AggregateConfiguration.TreatUncertainAsBad",
                         "AggregateConfiguration.PercentDataBad", "AggregateConfiguration.UseSlopedExtrapolation")
        }  # fmt: skip
        stepped = await value(client, nid(f"{press.state}.HA Configuration.Stepped"))
        empty = await value(client, nid(f"{press.count}.HA Configuration.StartOfArchive"))
        wrong = await client.get_node(nid(f"{top}.Nothing")).read_data_value(raise_on_bad_status=False)
    assert found.pop("StartOfArchive").replace(tzinfo=None) == at(3).replace(tzinfo=None)
    assert found.pop("StartOfOnlineArchive").replace(tzinfo=None) == at(3).replace(tzinfo=None)
    assert list(found.values()) == [False, 7 * 86_400_000.0, False, True, 100, False]
    assert stepped.Value is True
    assert empty.Value is None
    assert wrong.StatusCode.name == "BadNodeIdUnknown"


async def test_all_nodes_of_the_configuration_are_found_by_browsing(server: HistoryServer, press: Press) -> None:
    async with server.session() as client:
        seen: set[ua.NodeId] = set()
        waiting = [nid(press.speed)]
        while waiting:
            found = await browse(client, waiting)
            waiting = []
            for references in found.values():
                for reference in references:
                    here = str(reference.NodeId.Identifier)
                    if reference.IsForward and here.startswith(f"{press.speed}.HA") and reference.NodeId not in seen:
                        seen.add(reference.NodeId)
                        waiting.append(reference.NodeId)
        expected = server.plantree.opcua.space.factory.history.identifiers(press.speed)
        assert seen == {nid(name) for name in expected}
        back = await browse(client, [nid(f"{press.speed}.HA Configuration")])
        owners = [ref for refs in back.values() for ref in refs if not ref.IsForward]
        assert [(ref.NodeId, ref.ReferenceTypeId.Identifier) for ref in owners] == [(nid(press.speed), 56)]


async def test_capabilities_name_every_aggregate(server: HistoryServer) -> None:
    async with server.session() as client:
        for folder in ("Server_ServerCapabilities_AggregateFunctions", "HistoryServerCapabilities_AggregateFunctions"):
            node = client.get_node(ua.NodeId(getattr(ua.ObjectIds, folder)))
            names = {child.BrowseName.Name for child in await node.get_children_descriptions()}
            assert names == set(AGGREGATES)
        data = ua.NodeId(ua.ObjectIds.HistoryServerCapabilities_AccessHistoryDataCapability)
        events = ua.NodeId(ua.ObjectIds.HistoryServerCapabilities_AccessHistoryEventsCapability)
        most = ua.NodeId(ua.ObjectIds.HistoryServerCapabilities_MaxReturnDataValues)
        assert [(await value(client, node)).Value for node in (data, events, most)] == [True, False, 100_000]


async def test_what_the_store_takes_comes_to_history(server: HistoryServer, press: Press) -> None:
    plantree, variable = server.plantree, server.plantree.plant.variable(press.speed)
    ids = np.array([variable.id], np.int64)
    running = asyncio.create_task(server.feed.run())
    try:
        stamps = [now_ticks() + place for place in range(5)]
        for place, stamp in enumerate(stamps):
            plantree.store.write(ids, np.array([float(place)]), stamp)
        plantree.store.set_status(ids, 0x40900000)
        end = plantree.store.journal.end
        async with asyncio.timeout(10):
            while server.feed.position < end:  # noqa: ASYNC110  nobody tells of it
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    async with server.session() as client:
        found = await client.get_node(nid(press.speed)).read_raw_history(numvalues=20, starttime=at(0))
    kept = [(item.Value.Value, item.StatusCode.value if item.StatusCode else 0) for item in found]
    not_connected = kept.pop(0)  # how every variable begins that no source feeds
    assert not_connected[0] is None
    assert kept == [(0.0, 0), (1.0, 0), (2.0, 0), (3.0, 0), (4.0, 0), (4.0, 0x40900000)]  # Good stays Good: it was
