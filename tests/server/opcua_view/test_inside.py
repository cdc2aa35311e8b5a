"""The address space from inside the process: the same as a client on a real connection sees with the same rights."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from asyncua import Client, ua

from address_space.model import Role
from server.assembly import Plantree
from server.opcua import inside as inside_module
from server.opcua.inside import ROOT, InsideClient
from server.ports import CommandError
from server.security.principal import ANONYMOUS, authenticated
from tests.server.opcua.opcua_rig import nid, session, small_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

ATTRIBUTES = list(ua.AttributeIds)
STILL = [it for it in ATTRIBUTES if it is not ua.AttributeIds.Value]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plantree(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plantree]:
    async with small_server(tmp_path_factory.mktemp("inside")) as plantree:
        yield plantree


async def browsed(client: Client, node: ua.NodeId) -> list[ua.ReferenceDescription]:
    wanted = ua.BrowseDescription(node, ua.BrowseDirection.Both, ua.NodeId(ua.ObjectIds.References), True, 0, 63)
    (result,) = await client.uaclient.browse(ua.BrowseParameters(NodesToBrowse=[wanted]))
    return list(result.References)


@pytest.mark.parametrize("role", [None, Role.Engineer, Role.SecurityAdmin], ids=str)
async def test_every_node_is_as_a_client_sees_it(plantree: Plantree, role: Role | None) -> None:
    principal = ANONYMOUS if role is None else authenticated(role.value, frozenset({role}))
    inside = InsideClient(plantree.opcua.internal, principal, "en")
    left, seen = [ROOT], set[ua.NodeId]()
    async with session(plantree, None if role is None else role.value) as client:
        while left and len(seen) < 250:
            node = left.pop(0)
            seen.add(node)
            assert inside.references(node) == await browsed(client, node), node.to_string()
            items = [ua.ReadValueId(node, it) for it in STILL]
            attributes = await client.uaclient.read(ua.ReadParameters(NodesToRead=items))
            own = inside.read(node, STILL)
            assert [(it.Value, it.StatusCode) for it in own] == [(it.Value, it.StatusCode) for it in attributes]
            left += [it.NodeId for it in inside.children(node) if it.NodeId not in seen]
    assert nid("Plant.Press1.Speed") in seen
    assert ua.NodeId(ua.ObjectIds.Server_ServerStatus) in seen


async def test_values_are_for_who_may_read_them(plantree: Plantree) -> None:
    secret, security = nid("Plant.Press1.Secret"), ua.NodeId(3708)
    seen_by = ((Role.Operator, False, False), (Role.Engineer, True, False), (Role.SecurityAdmin, False, True))
    for role, first, second in seen_by:
        inside = InsideClient(plantree.opcua.internal, authenticated("x", frozenset({role})), "en")
        found = [inside.read(it, [ua.AttributeIds.Value])[0].StatusCode for it in (secret, security)]
        assert [it is not None and it.is_good() for it in found] == [first, second], role


async def test_a_way_leads_from_the_root(plantree: Plantree) -> None:
    inside = InsideClient(plantree.opcua.internal, ANONYMOUS, "en")
    for node in (nid("Plant.Press1.Speed.EURange"), nid("PressType"), ua.NodeId(2256), ua.NodeId(11)):
        above, way = ROOT, inside.way(node)
        assert way[-1] == node
        for step in way:
            assert step in [it.NodeId for it in inside.children(above)], step
            above = step


@pytest.mark.parametrize("node", ["i=-1", "ns=70000;i=1", "ns=2;s=Nothing", "ns=9;i=5"])
async def test_what_is_not_there_is_an_error(plantree: Plantree, node: str) -> None:
    inside = InsideClient(plantree.opcua.internal, ANONYMOUS, "en")
    with pytest.raises(CommandError):
        inside.children(ua.NodeId.from_string(node))


async def test_a_search_finds_what_is_the_plant_s_and_what_is_not(plantree: Plantree) -> None:
    inside = InsideClient(plantree.opcua.internal, ANONYMOUS, "en")
    assert await inside.search("press1.spe", 10) == [nid("Plant.Press1.Speed")]
    assert ua.NodeId(2258) in await inside.search("CURRENTTIME", 10)
    assert len(await inside.search("e", 7)) == 7
    assert await inside.search("no such name", 10) == []


async def test_a_search_lets_others_have_their_turn(plantree: Plantree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside_module, "_AT_ONCE", 10)
    inside = InsideClient(plantree.opcua.internal, ANONYMOUS, "en")
    search = asyncio.create_task(inside.search("no such name", 10))
    turns = 0
    while not search.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100
