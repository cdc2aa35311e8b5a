"""The View services for a real client on a real connection."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua import Client, ua

from server.assembly import Plantree
from server.opcua.session import PlantSession
from tests.server.opcua.opcua_rig import nid, session, small_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

MACHINES = 120


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plantree(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plantree]:
    folder: Path = tmp_path_factory.mktemp("view")
    async with small_server(folder, f"  Press[1..{MACHINES}]: {{type: PressType}}\n") as plantree:
        yield plantree


def everything_below(node: ua.NodeId, most: int = 0) -> ua.BrowseParameters:
    wanted = ua.BrowseDescription(node, ua.BrowseDirection.Forward, ua.NodeId(), True, 0, 63)
    return ua.BrowseParameters(RequestedMaxReferencesPerNode=most, NodesToBrowse=[wanted])


def served(plantree: Plantree) -> list[PlantSession]:
    sessions: Any = plantree.opcua.internal._external_sessions.values()
    return [found for found in sessions if len(found.continuation_points)]


async def follow(client: Client, result: ua.BrowseResult) -> tuple[list[ua.ReferenceDescription], int]:
    """Return all references, and in how many messages they came."""
    found, messages = list(result.References), 1
    while result.ContinuationPoint:
        parameters = ua.BrowseNextParameters()
        parameters.ReleaseContinuationPoints = False
        parameters.ContinuationPoints = [result.ContinuationPoint]
        (result,) = await client.uaclient.browse_next(parameters)
        result.StatusCode.check()
        found += result.References
        messages += 1
    return found, messages


async def test_pages(plantree: Plantree) -> None:
    async with session(plantree) as client:
        (whole,) = await client.uaclient.browse(everything_below(nid("Plant")))
        assert not whole.ContinuationPoint
        (part,) = await client.uaclient.browse(everything_below(nid("Plant"), 7))
        found, messages = await follow(client, part)
        assert found == whole.References
        assert messages == -(-len(found) // 7) > 10


async def test_points_go_with_their_session(plantree: Plantree) -> None:
    async with session(plantree) as client:
        (part,) = await client.uaclient.browse(everything_below(nid("Plant"), 1))
        assert part.ContinuationPoint
        (held,) = served(plantree)
    assert len(held.continuation_points) == 0


async def test_a_client_with_a_small_message_size_gets_all_in_parts(plantree: Plantree) -> None:
    client = Client(f"opc.tcp://127.0.0.1:{plantree.opcua.port}/plantree", timeout=10)
    async with session(plantree) as other:
        (whole,) = await other.uaclient.browse(everything_below(nid("Plant")))
    client.max_messagesize = 16_384
    async with client:
        (part,) = await client.uaclient.browse(everything_below(nid("Plant")))
        found, messages = await follow(client, part)
    assert found == whole.References
    assert messages > 1


async def test_a_request_with_an_audit_entry_is_answered_alike(plantree: Plantree) -> None:
    async with session(plantree) as client:
        (usual,) = await client.uaclient.browse(everything_below(nid("Plant.Press1")))
        protocol: Any = client.uaclient.protocol
        set_up = protocol._setup_request_header

        def audited(header: ua.RequestHeader, *arguments: Any) -> None:
            set_up(header, *arguments)
            header.AuditEntryId = "entry 5"

        protocol._setup_request_header = audited
        (unusual,) = await client.uaclient.browse(everything_below(nid("Plant.Press1")))
        assert unusual == usual
        with pytest.raises(ua.uaerrors.BadNothingToDo):
            await client.uaclient.browse(ua.BrowseParameters())


async def test_what_a_client_does_to_find_its_way(plantree: Plantree) -> None:
    async with session(plantree) as client:
        plant = await client.nodes.objects.get_child(["2:Plant"])
        speed = await plant.get_child(["2:Press7", "2:Speed"])
        assert speed.nodeid == nid("Plant.Press7.Speed")
        assert {(await found.read_browse_name()).Name for found in await speed.get_properties()} == {
            "EURange", "EngineeringUnits",
        }  # fmt: skip
        assert (await speed.get_parent()).nodeid == nid("Plant.Press7")
        assert (await speed.read_type_definition()) == ua.NodeId(ua.ObjectIds.AnalogUnitRangeType)
        nodes = [speed.nodeid, nid("Plant.NoSuch")]
        registered = await client.register_nodes([client.get_node(node) for node in nodes])
        assert [found.nodeid for found in registered] == nodes
        await client.unregister_nodes(registered)


async def test_without_an_active_session_nothing_is_browsed(plantree: Plantree) -> None:
    client = Client(f"opc.tcp://127.0.0.1:{plantree.opcua.port}/plantree", timeout=10)
    await client.connect_socket()
    try:
        await client.send_hello()
        await client.open_secure_channel()
        await client.create_session()
        with pytest.raises(ua.UaStatusCodeError) as refused:
            await client.uaclient.browse(everything_below(nid("Plant")))
        assert refused.value.code == ua.StatusCodes.BadSessionNotActivated
        await client.close_session()
    finally:
        await client.close_secure_channel()
        client.disconnect_socket()
