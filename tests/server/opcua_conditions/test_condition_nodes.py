"""Condition instances in the address space: members, references, values, changes, and limits that are written."""

import xml.etree.ElementTree as ET
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from cryptography.hazmat.primitives.serialization import Encoding

from server.opcua.nodeset import write_nodeset
from server.opcua.space import PlantAddressSpace
from server.store import Store
from tests.server.opcua.opcua_rig import Changes, browse, nid, read, session
from tests.server.opcua_conditions.conditions_rig import EVERY_KIND, HOT, presses, set_value, status_of, value

_IDS = ua.ObjectIds
_DOWN = (ua.NodeId(_IDS.HasComponent), ua.NodeId(_IDS.HasProperty))
_SOURCE, _CONDITION = ua.NodeId(_IDS.HasEventSource), ua.NodeId(_IDS.HasCondition)


async def _members(client: Client, top: ua.NodeId) -> dict[str, ua.ReferenceDescription]:
    """Return everything below a node, by browse path."""
    found: dict[str, ua.ReferenceDescription] = {}
    waiting = {top: ""}
    while waiting:
        answers = await browse(client, list(waiting))
        below: dict[ua.NodeId, str] = {}
        for node, references in answers.items():
            for it in references:
                if it.IsForward and it.ReferenceTypeId in _DOWN:
                    path = f"{waiting[node]}/{it.BrowseName.Name}".strip("/")
                    found[path] = it
                    below[it.NodeId] = path
        waiting = below
    return found


async def test_an_instance_has_all_that_its_type_demands(tmp_path: Path) -> None:
    async with presses(tmp_path) as plantree, session(plantree) as client:
        found = await _members(client, nid(HOT))
        wanted = {
            "EventId", "Retain", "EnabledState/Id", "EnabledState/EffectiveDisplayName", "AckedState/TransitionTime",
            "ConfirmedState/Id", "ActiveState/Id", "Comment/SourceTimestamp", "ShelvingState/CurrentState/Id",
            "ShelvingState/UnshelveTime", "ShelvingState/TimedShelve/InputArguments", "ShelvingState/OneShotShelve2",
            "SuppressedState/Id", "OutOfServiceState/Id", "SilenceState/Id", "LimitState/CurrentState/Id", "HighLimit",
            "HighHighLimit", "MaxTimeShelved", "Acknowledge/InputArguments", "Confirm", "AddComment", "Enable",
            "Disable", "Silence", "Suppress", "Suppress2", "RemoveFromService", "PlaceInService2/InputArguments",
        }  # fmt: skip
        assert wanted <= found.keys()
        assert not {"LowLimit", "LowLowLimit", "ConditionRefresh", "Reset"} & found.keys()
        for path, it in found.items():
            assert it.BrowseName.NamespaceIndex == 0
            assert it.NodeId == nid(f"{HOT}.{path.replace('/', '.')}")
        # what a machine's type declares, its instances have
        assert (await _members(client, nid("PressType.Hot"))).keys() == found.keys()
        assert (await _members(client, nid("Plant.Press2.Hot"))).keys() == found.keys()


_BUILT_IN = {
    290: ua.VariantType.Double,
    294: ua.VariantType.DateTime,
    296: ua.VariantType.ExtensionObject,
    8912: ua.VariantType.ExtensionObject,
}
"""What DataTypes of conditions' members that are derived from built-in types are encoded as."""
_TYPES = {
    "Level": "ExclusiveLevelAlarmType",
    "Any": "NonExclusiveLevelAlarmType",
    "Rate": "ExclusiveRateOfChangeAlarmType",
    "Deviation": "ExclusiveDeviationAlarmType",
    "Discrepancy": "DiscrepancyAlarmType",
    "Door": "OffNormalAlarmType",
    "Trip": "TripAlarmType",
    "Rule": "OffNormalAlarmType",
}


async def test_every_member_of_every_kind_can_be_read(tmp_path: Path) -> None:
    async with presses(tmp_path, EVERY_KIND) as plantree, session(plantree) as client:
        own = {"Plant.ServerDiagnostics.CertificateExpiry", "Plant.ServerDiagnostics.mqtt.CommunicationLost"}
        paths = {it.path for it in plantree.plant.conditions}
        assert own | {f"Plant.Press1.{name}" for name in _TYPES} <= paths
        for path in paths:
            found = await _members(client, nid(path))
            variables = {name: it.NodeId for name, it in found.items() if it.NodeClass == ua.NodeClass.Variable}
            values = await read(client, [(node, ua.AttributeIds.Value) for node in variables.values()])
            types = await read(client, [(node, ua.AttributeIds.DataType) for node in variables.values()])
            for name, got, kind in zip(variables, values, types, strict=True):
                assert got.StatusCode is not None
                assert kind.Value is not None
                if name.startswith("LimitState/"):
                    assert got.StatusCode.name == "BadStateNotActive"
                    continue
                assert (path, name, got.StatusCode.name) == (path, name, "Good")
                assert got.Value is not None
                number = kind.Value.Value.Identifier
                assert (path, name, got.Value.VariantType) == (
                    path, name, _BUILT_IN.get(number) or ua.VariantType(number),
                )  # fmt: skip


async def test_each_kind_has_its_type_and_what_that_adds(tmp_path: Path) -> None:
    async with presses(tmp_path, EVERY_KIND) as plantree, session(plantree) as client:
        for name, kind in _TYPES.items():
            node = await client.get_node(nid(f"Plant.Press1.{name}")).read_type_definition()
            assert node == ua.NodeId(getattr(_IDS, kind))
        wanted: dict[str, Any] = {
            "Level.HighHighLimit": 100.0, "Level.LowLowLimit": 1.0, "Level.SeverityHighHigh": 800,
            "Level.HighDeadband": 2.0, "Level.OnDelay": 1500.0, "Level.InputNode": nid("Plant.Press1.Temperature"),
            "Any.HighHighState.Id": False, "Any.HighState": ua.LocalizedText("High inactive", "en"),
            "Rate.HighLimit": 10.0, "Deviation.SetpointNode": nid("Plant.Press1.Wanted"), "Deviation.LowLimit": -5.0,
            "Discrepancy.TargetValueNode": nid("Plant.Press1.Wanted"), "Discrepancy.ExpectedTime": 4000.0,
            "Discrepancy.Tolerance": 3.0, "Door.NormalState": ua.NodeId(), "Trip.NormalState": ua.NodeId(),
            "Door.InputNode": nid("Plant.Press1.Open"), "Rule.InputNode": ua.NodeId(), "Rule.ConditionName": "Rule",
            "Level.MaxTimeShelved": 86_400_000.0,
        }  # fmt: skip
        for path, expected in wanted.items():
            assert (path, await value(client, f"Plant.Press1.{path}")) == (path, expected)
        assert "ConfirmedState" not in await _members(client, nid("Plant.Press1.Level"))
        own = "Plant.ServerDiagnostics.CertificateExpiry"
        assert await value(client, f"{own}.Certificate") == plantree.own.certificate.public_bytes(Encoding.DER)
        expires = await value(client, f"{own}.ExpirationDate")
        assert expires.replace(tzinfo=UTC) == plantree.own.certificate.not_valid_after_utc
        facets = await client.get_node(ua.NodeId(_IDS.Server_ServerCapabilities_ServerProfileArray)).read_value()
        assert {"ACAckAlarm", "ACRefresh2", "ACNon-ExclusiveAlarming"} <= {it.rpartition("/")[2] for it in facets}


async def test_a_condition_hangs_on_its_source(tmp_path: Path) -> None:
    async with presses(tmp_path) as plantree, session(plantree) as client:
        machine, variable = nid("Plant.Press1"), nid("Plant.Press1.Temperature")
        racing = nid("Plant.Press1.Racing")
        found = await browse(client, [machine, variable, nid(HOT), racing])
        links = {
            node: {(it.ReferenceTypeId, it.NodeId, it.IsForward) for it in references}
            for node, references in found.items()
        }
        component = ua.NodeId(_IDS.HasComponent)
        assert {(component, nid(HOT), True), (_SOURCE, variable, True), (_CONDITION, racing, True)} <= links[machine]
        assert {(_CONDITION, nid(HOT), True), (_SOURCE, machine, False)} <= links[variable]
        assert {(_CONDITION, variable, False), (component, machine, False)} <= links[nid(HOT)]
        assert (_CONDITION, machine, False) in links[racing]
        kind = next(it for it in found[nid(HOT)] if it.ReferenceTypeId == ua.NodeId(_IDS.HasTypeDefinition))
        assert kind.NodeId == ua.NodeId(_IDS.ExclusiveLevelAlarmType)


async def test_the_path_to_a_method_is_found(tmp_path: Path) -> None:
    async with presses(tmp_path) as plantree, session(plantree) as client:
        for path in ("Acknowledge", "ShelvingState/TimedShelve2"):
            found = await client.get_node(nid(HOT)).get_child([f"0:{name}" for name in path.split("/")])
            assert found.nodeid == nid(f"{HOT}.{path.replace('/', '.')}")


async def test_changes_of_state_are_notified(tmp_path: Path) -> None:
    async with presses(tmp_path) as plantree, session(plantree) as client:
        changes = Changes()
        subscription = await client.create_subscription(20, changes)
        node = client.get_node(nid(f"{HOT}.LimitState.CurrentState"))
        await subscription.subscribe_data_change(node, queuesize=10)
        await changes.until(lambda: len(changes.data) == 1)
        for temperature, wanted in ((90.0, "High"), (120.0, "HighHigh"), (20.0, None)):
            count = len(changes.data)
            set_value(plantree, "Plant.Press1.Temperature", temperature)
            await changes.until(lambda count=count: len(changes.data) > count)
            last = changes.data[-1]
            assert last.Value is not None
            assert (last.Value.Value.Text if last.Value.Value else None) == wanted
        assert changes.data[-1].StatusCode is not None
        assert changes.data[-1].StatusCode.name == "BadStateNotActive"
        await subscription.delete()


async def test_the_time_left_runs_down(tmp_path: Path) -> None:
    async with presses(tmp_path) as plantree, session(plantree, "Operator") as client:
        changes = Changes()
        subscription = await client.create_subscription(20, changes)
        await subscription.subscribe_data_change(client.get_node(nid(f"{HOT}.ShelvingState.UnshelveTime")))
        given = ua.Variant(60_000.0, ua.VariantType.Double)
        assert await status_of(client, f"{HOT}.ShelvingState", "TimedShelve", given) == "Good"
        await changes.until(lambda: len([it for it in changes.values if it]) > 1)
        left = [it for it in changes.values if it]
        assert 60_000 >= left[0] > left[-1]
        await subscription.delete()


async def test_engineers_write_limits(tmp_path: Path) -> None:
    async with (
        presses(tmp_path) as plantree,
        session(plantree, "Operator") as operator,
        session(plantree, "Engineer") as engineer,
    ):
        path = f"{HOT}.HighLimit"
        for client, level in ((operator, 1), (engineer, 3)):
            found = await client.get_node(nid(path)).read_attribute(ua.AttributeIds.UserAccessLevel)
            assert found.Value is not None
            assert found.Value.Value == level
        changes = Changes()
        subscription = await operator.create_subscription(20, changes)
        await subscription.subscribe_data_change(operator.get_node(nid(path)))
        await changes.until(lambda: changes.values == [80.0])
        with pytest.raises(ua.UaStatusCodeError) as refused:
            await operator.get_node(nid(path)).write_value(70.0)
        assert refused.value.code == ua.StatusCodes.BadUserAccessDenied
        for wrong, status in ((True, "BadTypeMismatch"), (float("nan"), "BadOutOfRange")):
            with pytest.raises(ua.UaStatusCodeError) as refused:
                await engineer.get_node(nid(path)).write_value(wrong)
            assert ua.StatusCode(refused.value.code).name == status
        with pytest.raises(ua.UaStatusCodeError) as refused:
            await engineer.get_node(nid(f"{HOT}.Severity")).write_value(ua.Variant(1, ua.VariantType.UInt16))
        assert refused.value.code == ua.StatusCodes.BadNotWritable
        await engineer.get_node(nid(path)).write_value(15.0)
        await changes.until(lambda: changes.values == [80.0, 15.0])
        assert await value(operator, "Plant.Press2.Hot.HighLimit") == 80.0
        states = Changes()
        follower = await operator.create_subscription(20, states)
        await follower.subscribe_data_change(operator.get_node(nid(f"{HOT}.ActiveState.Id")), queuesize=5)
        set_value(plantree, "Plant.Press1.Temperature", 21.0)  # evaluated against the new limit
        await states.until(lambda: states.values[-1:] == [True])
        await follower.delete()
        await subscription.delete()


async def test_the_nodeset_has_conditions(tmp_path: Path) -> None:
    async with presses(tmp_path) as plantree:
        file = tmp_path / "plant.xml"
        count = write_nodeset(PlantAddressSpace(plantree.plant, Store(plantree.plant, 1)), file)
        root = ET.parse(file).getroot()  # noqa: S314  what this test has written
        nodes = {it.get("NodeId"): it for it in root if it.get("NodeId")}
        assert len(nodes) == count
        for path in (HOT, f"{HOT}.Acknowledge", f"{HOT}.ShelvingState.CurrentState.Id", "PressType.Hot.EnabledState"):
            assert f"ns=1;s={path}" in nodes
        text = ET.tostring(nodes[f"ns=1;s={HOT}.ConditionClassId"], encoding="unicode")
        assert f"i={_IDS.ProcessConditionClassType}" in text
        assert "NumericNodeId" not in file.read_text()
