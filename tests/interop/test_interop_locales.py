"""node-opcua in German and in English at the same time: names, descriptions and states from the plant's translation."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.interop.node_client import Connection, Identity, NodeClient, connect
from tests.process_rig import CHECKOUT, PlantreeProcess

NAMES = ("Plant", "Speed", "Stopped", "Starting", "Running", "Stopping", "Tripped", "EmergencyStopped")
TEXTS = ("Shaft speed", "The new load set-point")


@pytest.fixture(scope="module")
def german() -> dict[str, dict[str, str]]:
    """Return what the default plant's German says of a few names and texts."""
    words = yaml.safe_load((CHECKOUT / "address_space" / "plant.de.yaml").read_text())
    return {part: {key: words[part][key] for key in keys} for part, keys in (("names", NAMES), ("texts", TEXTS))}


@pytest.fixture(scope="module")
def german_too(small_plant: Path, german: dict[str, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the small plant with a translation."""
    file = tmp_path_factory.mktemp("german") / "works.yaml"
    file.write_text(small_plant.read_text())
    file.with_suffix(".de.yaml").write_text(yaml.safe_dump(german, allow_unicode=True))
    return file


@pytest.fixture(scope="module")
def bilingual(
    plantree_process: Callable[..., PlantreeProcess], trusting: Callable[..., PlantreeProcess], german_too: Path
) -> PlantreeProcess:
    return trusting(plantree_process(plant=german_too))


@pytest.fixture
def both(node: NodeClient, bilingual: PlantreeProcess, identity: Identity) -> Iterator[tuple[Connection, Connection]]:
    with (
        connect(node, bilingual.endpoint, identity, localeIds=["en-US"]) as english,
        connect(node, bilingual.endpoint, identity, localeIds=["de-DE", "en"]) as german,
    ):
        yield english, german


def test_each_session_gets_its_language(both: tuple[Connection, Connection], german: dict[str, dict[str, str]]) -> None:
    speed = "ns=2;s=Plant.Generator1.Speed"
    for _ in range(2):
        found = [(it.read(speed, "DisplayName")["value"], it.read(speed, "Description")["value"]) for it in both]
        assert found == [("Speed", "Shaft speed"), ("Drehzahl", "Wellendrehzahl")]
        browsed = [it.ask("display_names", node="ns=2;s=Plant.Generator1") for it in both]
        assert [it[speed] for it in browsed] == ["Speed", "Drehzahl"]
        assert [it["ns=2;s=Plant"] for it in browsed] == ["Plant", "Anlage"]
    assert both[1].read("ns=2;s=GeneratorState.EnumStrings")["value"] == [german["names"][it] for it in NAMES[2:]]
    (load,) = both[1].read("ns=2;s=Plant.Generator1.SetLoad.InputArguments")["value"]
    assert load["description"] == {"locale": "de", "text": "Der neue Lastsollwert (0 bis 500 kW)"}
    assert both[0].read("ns=0;i=2271")["value"] == ["en", "de"]  # LocaleIdArray
