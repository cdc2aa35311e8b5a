"""NodeSet2 files: ours in node-opcua, a user's own in our server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asyncua import Server

from address_space import load_plant
from tests.interop.expected import ExpectedNodes
from tests.interop.node_client import Identity, NodeClient, connect
from tests.interop.test_interop_model import differences, of_plant, reference_differences
from tests.process_rig import CHECKOUT, PlantreeProcess

pytestmark = pytest.mark.timeout(240)  # some 10,000 nodes, exported, loaded, and browsed one after another

OWN = """<?xml version="1.0" encoding="utf-8"?>
<UANodeSet xmlns="http://opcfoundation.org/UA/2011/03/UANodeSet.xsd"
           xmlns:t="http://opcfoundation.org/UA/2008/02/Types.xsd">
  <NamespaceUris><Uri>urn:interop:own</Uri></NamespaceUris>
  <Models><Model ModelUri="urn:interop:own" Version="1.0" PublicationDate="2026-01-01T00:00:00Z">
    <RequiredModel ModelUri="http://opcfoundation.org/UA/" Version="1.05.02"
      PublicationDate="2022-11-01T00:00:00Z"/></Model></Models>
  <Aliases><Alias Alias="Double">i=11</Alias><Alias Alias="Organizes">i=35</Alias>
    <Alias Alias="HasComponent">i=47</Alias><Alias Alias="HasTypeDefinition">i=40</Alias></Aliases>
  <UAObject NodeId="ns=1;s=Silo" BrowseName="1:Silo">
    <DisplayName>Silo</DisplayName>
    <References><Reference ReferenceType="HasTypeDefinition">i=58</Reference>
      <Reference ReferenceType="Organizes" IsForward="false">i=85</Reference></References>
  </UAObject>
  <UAVariable NodeId="ns=1;s=Silo.Level" BrowseName="1:Level" DataType="Double" AccessLevel="3" UserAccessLevel="3">
    <DisplayName>Level</DisplayName>
    <References><Reference ReferenceType="HasTypeDefinition">i=63</Reference>
      <Reference ReferenceType="HasComponent" IsForward="false">ns=1;s=Silo</Reference></References>
    <Value><t:Double>12.5</t:Double></Value>
  </UAVariable>
</UANodeSet>
"""
# The loader of node-opcua keeps no description of methods, and calls those executable that have code behind them.
NOT_KEPT = (("Method", "Description"), ("Method", "Executable"))

# What the plant file says of conditions.
DECLARED = {"EventType", "ConditionName", "ConditionClassId", "ConditionClassName", "OnDelay", "OffDelay"}


@pytest.fixture(scope="module")
def loaded(node: NodeClient, exported: Path) -> dict[str, dict[str, Any]]:
    roots = ["ns=0;i=85", "ns=0;i=58", "ns=0;i=29"]
    return node.ask("nodeset", file=str(exported), roots=roots, namespace="urn:plantree:plant")


@pytest.fixture(scope="module")
def expected() -> ExpectedNodes:
    return ExpectedNodes(load_plant(CHECKOUT / "address_space" / "plant.yaml"))


def test_the_exported_file_has_the_same_nodes(loaded: dict[str, dict[str, Any]], expected: ExpectedNodes) -> None:
    assert differences(of_plant(loaded), expected, leave_out=NOT_KEPT) == []


def test_the_exported_file_has_the_same_structure(loaded: dict[str, dict[str, Any]], expected: ExpectedNodes) -> None:
    assert reference_differences(of_plant(loaded), expected) == []


def test_the_exported_file_has_the_same_properties(
    loaded: dict[str, dict[str, Any]], server: PlantreeProcess, node: NodeClient, identity: Identity
) -> None:
    with connect(node, server.endpoint, identity) as session:
        browsed = of_plant(session.ask("dump", roots=["ns=0;i=85", "ns=0;i=29"]))
    plant = load_plant(CHECKOUT / "address_space" / "plant.yaml")
    conditions = {f"ns=2;s={condition.path}" for condition in plant.conditions}
    properties = {
        name: served["Value"]["value"]
        for name, served in browsed.items()
        if any(it["type"] == "ns=0;i=46" and not it["forward"] for it in served["references"])
        and served["Value"]["value"] is not None
        and ".HA Configuration." not in name  # of a server with a historian, not of the plant
        and not is_state(name, conditions)
    }
    assert len(properties) > 200
    found = {name: loaded[name]["Value"]["value"] or empty(value) for name, value in properties.items()}
    for name in properties:
        if name.endswith(".EventType"):  # node-opcua leaves NodeIds in values as the file has them
            found[name] = found[name].replace("ns=1;", "ns=2;")
    assert found == properties


def is_state(name: str, conditions: set[str]) -> bool:
    """Whether a property tells a condition's state, which is the server's, and not what the plant file says of it."""
    parent, _, last = name.rpartition(".")
    below = any(name.startswith(f"{path}.") for path in conditions)
    return below and last != "InputArguments" and not (parent in conditions and last in DECLARED)


def empty(value: Any) -> Any:
    """Return what null stands for: node-opcua reads an empty text as none."""
    return value if value in ("", 0) else None


async def test_the_exported_file_can_be_loaded_by_asyncua(exported: Path) -> None:
    server = Server()
    await server.init()
    await server.import_xml(str(exported))
    speed = server.get_node(f"ns={await server.get_namespace_index('urn:plantree:plant')};s=Plant.Generator1.Speed")
    assert (await speed.read_display_name()).Text == "Speed"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(OWN, id="whole"),
        pytest.param(OWN.replace('PublicationDate="2022-11-01T00:00:00Z"', ""), id="without-an-optional-date"),
        pytest.param(
            OWN.replace("</Model>", '<RequiredModel ModelUri="urn:plantree:plant"/></Model>'),
            id="that-builds-on-the-plant",
        ),
    ],
)
def test_nodes_of_a_users_own_file_are_served(
    plantree_process: Callable[..., PlantreeProcess], trusting: Callable[..., PlantreeProcess],
    node: NodeClient, identity: Identity, small_plant: Path, tmp_path: Path, text: str,
) -> None:  # fmt: skip
    file = tmp_path / "own.xml"
    file.write_text(text)
    with (
        trusting(plantree_process(plant=small_plant, arguments=["--nodeset", file])) as server,
        connect(node, server.endpoint, identity) as session,
    ):
        namespaces = session.read("ns=0;i=2255")["value"]
        assert namespaces[2:] == ["urn:plantree:plant", "urn:interop:own"]
        found = session.ask("translate", start="RootFolder", path="/Objects/3:Silo/3:Level")
        assert found["targets"] == ["ns=3;s=Silo.Level"]
        level = session.read("ns=3;s=Silo.Level")
        assert (level["status"], level["type"], level["value"]) == ("Good", "Double", 12.5)
        assert session.ask("write", node="ns=3;s=Silo.Level", type="Double", value=1.0) == "BadUserAccessDenied"
        assert session.value("Plant.Generator1.LoadSetpoint") == 250


@pytest.fixture(scope="module")
def bad_start(tmp_path_factory: pytest.TempPathFactory, small_plant: Path) -> PlantreeProcess:
    """Return a server that is only started with files that it cannot load; certificate and users are made once."""
    return PlantreeProcess(tmp_path_factory.mktemp("bad"), plant=small_plant)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("broken.xml", OWN[: len(OWN) // 2], "unclosed token: line"),
        pytest.param(
            "other.xml",
            "<html><body>no nodes here</body></html>",
            "UANodeSet",
        ),
        ("missing.xml", None, "No such file"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_named_in_one_sentence(
    bad_start: PlantreeProcess, name: str, content: str | None, words: str
) -> None:
    file = bad_start.folder / name
    if content is not None:
        file.write_text(content)
    done = bad_start.cli("--nodeset", file)
    assert done.returncode in (1, 2), done.stderr
    assert "Traceback" not in done.stderr
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert str(file) in sentence
    assert words in sentence
