"""What a session may read, watch, write, call and change, by the roles of its user."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from asyncua import Client, ua
from asyncua.ua import uaerrors
from opcua_rig import Changes, nid, read, session, small_server

from server.assembly import Plantree
from server.store import from_ticks

pytestmark = pytest.mark.asyncio(loop_scope="module")

IDS = ua.AttributeIds
CODES = ua.StatusCodes
P = "Plant.Press1"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plantree(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plantree]:
    async with small_server(tmp_path_factory.mktemp("rights")) as plantree:
        yield plantree


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def anyone(plantree: Plantree) -> AsyncIterator[Client]:
    async with session(plantree) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(plantree: Plantree) -> AsyncIterator[Client]:
    async with session(plantree, "Operator") as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engineer(plantree: Plantree) -> AsyncIterator[Client]:
    async with session(plantree, "Engineer") as client:
        yield client


async def status(client: Client, path: str, attribute: ua.AttributeIds = IDS.Value) -> int:
    return (await read(client, [(nid(path), attribute)]))[0].StatusCode.value


async def value(client: Client, path: str, attribute: ua.AttributeIds = IDS.Value) -> Any:
    return (await read(client, [(nid(path), attribute)]))[0].Value.Value


async def write(
    client: Client, path: str, variant: ua.Variant | None, attribute: ua.AttributeIds = IDS.Value, **more: Any
) -> int:
    wanted = ua.WriteValue(NodeId=nid(path), AttributeId=attribute, Value=ua.DataValue(variant, **more))
    (code,) = await client.uaclient.write(ua.WriteParameters(NodesToWrite=[wanted]))
    return code.value


async def call(client: Client, machine: str, method: str, *arguments: ua.Variant) -> ua.CallMethodResult:
    request = ua.CallMethodRequest(ObjectId=nid(machine), MethodId=nid(method), InputArguments=list(arguments))
    return (await client.uaclient.call([request]))[0]


def double(number: float) -> ua.Variant:
    return ua.Variant(number, ua.VariantType.Double)


async def test_a_value_is_kept_from_whom_its_read_role_keeps_out(
    anyone: Client, operator: Client, engineer: Client
) -> None:
    for client in (anyone, operator):
        assert await status(client, f"{P}.Secret") == CODES.BadUserAccessDenied
        assert await value(client, f"{P}.Secret", IDS.UserAccessLevel) == 0
        assert await value(client, f"{P}.Secret", IDS.AccessLevel) == 1 | 0x0C  # with its history
        assert await status(client, f"{P}.Secret", IDS.Description) == 0
    assert await value(engineer, f"{P}.Secret") == 7.0
    assert await value(engineer, f"{P}.Secret", IDS.UserAccessLevel) == 1 | 0x0C


async def test_a_value_kept_back_does_not_come_with_others_that_are_free(anyone: Client, engineer: Client) -> None:
    """One request, repeated: what one session may read must not be remembered for another."""
    items = [(nid(f"{P}.Target"), IDS.Value), (nid(f"{P}.Secret"), IDS.Value)]
    for client, expected in ((engineer, 0), (anyone, CODES.BadUserAccessDenied)) * 3:
        found = await read(client, items)
        assert [data.StatusCode.value for data in found] == [0, expected]


async def test_only_allowed_items_are_monitored(anyone: Client, engineer: Client) -> None:
    subscription = await anyone.create_subscription(50, Changes())
    nodes = [anyone.get_node(nid(f"{P}.{name}")) for name in ("Target", "Secret", "Label")]
    handles = await subscription.subscribe_data_change(nodes)
    assert [isinstance(handle, ua.StatusCode) for handle in handles] == [False, True, False]
    assert handles[1].value == CODES.BadUserAccessDenied
    await subscription.delete()
    changes = Changes()
    subscription = await engineer.create_subscription(50, changes)
    await subscription.subscribe_data_change(engineer.get_node(nid(f"{P}.Secret")))
    await changes.until(lambda: changes.values == [7.0])
    await subscription.delete()


async def test_an_item_on_no_node_is_refused(anyone: Client) -> None:
    subscription = await anyone.create_subscription(50, Changes())
    with pytest.raises(uaerrors.BadNodeIdUnknown):
        await subscription.subscribe_data_change(anyone.get_node(nid("Plant.Nothing")))
    await subscription.delete()


async def test_writing_needs_the_role(anyone: Client, operator: Client, engineer: Client) -> None:
    assert await value(anyone, f"{P}.Target", IDS.UserAccessLevel) == 1
    of_all = await value(operator, f"{P}.Target", IDS.AccessLevel)
    assert await value(operator, f"{P}.Target", IDS.UserAccessLevel) == of_all & ~0x08  # HistoryWrite is for Engineers
    for client in (anyone, engineer):
        assert await write(client, f"{P}.Target", double(20)) == CODES.BadUserAccessDenied
    assert await write(operator, f"{P}.Target", double(20)) == 0
    assert await value(anyone, f"{P}.Target") == 20.0


@pytest.mark.parametrize(
    ("path", "variant", "attribute", "code"),
    [
        (f"{P}.Target", double(101), IDS.Value, CODES.BadOutOfRange),
        (f"{P}.Target", double(float("nan")), IDS.Value, CODES.BadOutOfRange),
        (f"{P}.Target", ua.Variant(5, ua.VariantType.Int32), IDS.Value, CODES.BadTypeMismatch),
        (f"{P}.Target", ua.Variant([1.0], ua.VariantType.Double), IDS.Value, CODES.BadTypeMismatch),
        (f"{P}.Target", ua.Variant(), IDS.Value, CODES.BadTypeMismatch),
        (f"{P}.Speed", double(1), IDS.Value, CODES.BadNotWritable),
        (f"{P}.EmergencyStopActive", ua.Variant(False), IDS.Value, CODES.BadNotWritable),
        (f"{P}.Target.EURange", double(1), IDS.Value, CODES.BadNotWritable),
        (f"{P}.Target", ua.Variant("x"), IDS.DisplayName, CODES.BadNotWritable),
        (P, double(1), IDS.Value, CODES.BadAttributeIdInvalid),
        ("Plant.Nothing", double(1), IDS.Value, CODES.BadNodeIdUnknown),
    ],
)
async def test_wrong_writes(
    operator: Client, path: str, variant: ua.Variant, attribute: ua.AttributeIds, code: int
) -> None:
    before = await value(operator, f"{P}.Target")
    assert await write(operator, path, variant, attribute) == code
    assert await value(operator, f"{P}.Target") == before


async def test_a_write_may_bring_its_source_timestamp(operator: Client) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert await write(operator, f"{P}.Label", ua.Variant("Grüße"), SourceTimestamp=moment) == 0
    (found,) = await read(operator, [(nid(f"{P}.Label"), IDS.Value)])
    assert found.Value.Value == "Grüße"


async def test_a_time_can_be_written(plantree: Plantree, operator: Client) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    assert await write(operator, f"{P}.Due", ua.Variant(moment, ua.VariantType.DateTime)) == 0
    assert from_ticks(plantree.store.value(plantree.plant.variable(f"{P}.Due").id)) == moment
    assert await value(operator, f"{P}.Due") == moment


async def test_methods_are_found_by_object_and_by_type(anyone: Client, operator: Client) -> None:
    for method in (f"{P}.Aim", "PressType.Aim"):
        assert (await call(operator, P, method, double(33))).StatusCode.value == 0
        assert await value(operator, f"{P}.Target") == 33.0
        assert (await call(anyone, P, method, double(1))).StatusCode.value == CODES.BadUserAccessDenied
    assert await value(anyone, f"{P}.Aim", IDS.UserExecutable) is False
    assert await value(operator, f"{P}.Aim", IDS.UserExecutable) is True


@pytest.mark.parametrize(
    ("machine", "method", "arguments", "code"),
    [
        ("Plant.Nothing", f"{P}.Aim", [double(1)], CODES.BadNodeIdUnknown),
        (P, f"{P}.Nothing", [], CODES.BadMethodInvalid),
        (P, "Plant.Press2.Aim", [double(1)], CODES.BadMethodInvalid),
        (P, f"{P}.Speed", [], CODES.BadMethodInvalid),
        (P, f"{P}.Aim", [], CODES.BadArgumentsMissing),
        (P, f"{P}.Aim", [double(1), double(2)], CODES.BadTooManyArguments),
        (P, f"{P}.Aim", [double(51)], CODES.BadInvalidArgument),
        (P, f"{P}.Aim", [ua.Variant(1, ua.VariantType.Int32)], CODES.BadInvalidArgument),
        (P, f"{P}.Start", [], CODES.BadNotConnected),
    ],
)
async def test_wrong_calls(operator: Client, machine: str, method: str, arguments: list[ua.Variant], code: int) -> None:
    result = await call(operator, machine, method, *arguments)
    assert result.StatusCode.value == code
    if code == CODES.BadInvalidArgument:
        assert [bad.is_good() for bad in result.InputArgumentResults] == [False]


async def test_nobody_changes_the_address_space(plantree: Plantree, engineer: Client) -> None:
    item = ua.AddNodesItem()
    item.ParentNodeId = ua.ExpandedNodeId(ua.ObjectIds.ObjectsFolder)
    item.BrowseName = ua.QualifiedName("Mine", 2)
    item.NodeClass = ua.NodeClass.Object
    item.NodeAttributes = ua.ObjectAttributes()
    item.RequestedNewNodeId = ua.ExpandedNodeId("Mine", 2)
    with pytest.raises(uaerrors.BadUserAccessDenied):
        await engineer.uaclient.add_nodes([item])
    with pytest.raises(uaerrors.BadUserAccessDenied):
        await engineer.uaclient.delete_nodes(ua.DeleteNodesParameters([ua.DeleteNodesItem(NodeId=nid(P))]))
    assert plantree.opcua.space.get(nid("Mine")) is None
    assert await status(engineer, P, IDS.BrowseName) == 0


async def test_one_bad_item_does_not_spoil_the_others(plantree: Plantree, anyone: Client) -> None:
    plantree.store.write(np.array([plantree.plant.variable(f"{P}.Speed").id]), np.array([5.0]), 0)
    items = [(nid(f"{P}.{name}"), IDS.Value) for name in ("Speed", "Nothing", "Secret", "Count")]
    codes = [data.StatusCode.value for data in await read(anyone, items)]
    assert codes == [0, CODES.BadNodeIdUnknown, CODES.BadUserAccessDenied, CODES.BadNotConnected]
