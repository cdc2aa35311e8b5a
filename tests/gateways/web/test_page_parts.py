"""The operator page without a browser: the mimic diagram, texts, markup, and what is vendored."""

import hashlib
import re
import string
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from asyncua import ua

from address_space import Plant, load_plant
from gateways.web.pages import describe, german, icons, symbols
from gateways.web.pages.markup import Markup, el
from gateways.web.pages.mimic import Cell, layout, mimic, zones
from gateways.web.pages.node_text import attribute_text, value_text
from gateways.web.pages.texts import ENGLISH, Texts
from server.settings import CHECKOUT

PAGES = CHECKOUT / "gateways" / "web" / "pages"
STATIC = CHECKOUT / "gateways" / "web" / "static"
SMALL = """\
plant: {name: Works, type: WorksType}
types:
  WorksType: {description: Works}
  MillType:
    description: A mill
    variables:
      Load: {type: Double, unit: kW, range: [10, 20], description: "Load <of> the mill"}
    alarms:
      Heavy: {input: Load, high_high: 19, high: 18, low: 11, severity: 400, message: Heavy}
objects:
  Mill1: {type: MillType}
  Mill2: {type: MillType}
"""


@pytest.fixture(scope="module")
def plant() -> Plant:
    return load_plant(CHECKOUT / "address_space" / "plant.yaml")


@pytest.fixture
def small(tmp_path: Path) -> Plant:
    file = tmp_path / "plant.yaml"
    file.write_text(SMALL, encoding="utf-8")
    return load_plant(file)


def overlap(one: Cell, other: Cell) -> bool:
    beside = one.x + one.width <= other.x or other.x + other.width <= one.x
    return not (beside or one.y + one.height <= other.y or other.y + other.height <= one.y)


@pytest.mark.parametrize("columns", [1, 2, 4])
def test_every_machine_has_a_place_of_its_own(plant: Plant, columns: int) -> None:
    placed = layout(plant, columns)
    assert {it.machine for it in placed.cells} == {it for it in plant.machines if symbols.is_shown(it)}
    assert len(placed.cells) >= 8
    for number, cell in enumerate(placed.cells):
        assert cell.x + cell.width <= placed.width
        assert cell.y + cell.height <= placed.height
        assert not any(overlap(cell, other) for other in placed.cells[number + 1 :]), cell


@pytest.mark.parametrize("columns", [1, 2, 4])
@pytest.mark.parametrize("language", ["en", "de"])
def test_the_mimic_is_well_formed_and_names_each_machine(plant: Plant, columns: int, language: str) -> None:
    drawn = ElementTree.fromstring(mimic(plant, columns, Texts(language, plant.translation([language]))))  # noqa: S314  it is ours
    linked = {it.get("href") for it in drawn.iter("a")}
    assert linked == {f"/machine/{it.path}" for it in plant.machines if symbols.is_shown(it)}
    shown = {it.get("data-path") for it in drawn.iter("text")}
    assert {"Plant.Generator1.Speed", "Plant.Line3.State", "Plant.Environment.CO2"} <= shown
    assert all(plant.find(str(path)) is not None for path in shown - {None})


def test_another_plant_has_a_mimic_too(small: Plant) -> None:
    drawn = mimic(small, 4, Texts("en"))
    assert drawn.count("<a ") == 2
    assert 'class="bus"' not in drawn  # nothing feeds it


def test_a_long_name_does_not_run_into_its_value(small: Plant, tmp_path: Path) -> None:
    assert "textLength" not in mimic(small, 4, Texts("en"))
    file = tmp_path / "long.yaml"
    file.write_text(SMALL.replace("Load", "LoadOfTheVeryLargestMill"), encoding="utf-8")
    drawn = ElementTree.fromstring(mimic(load_plant(file), 4, Texts("en")))  # noqa: S314  it is ours
    labels = [it for it in drawn.iter("text") if it.text == "Load of the very largest mill"]
    assert [0 < float(it.get("textLength", "0")) < 150 for it in labels] == [True, True]


def test_zones_of_a_bar_are_beyond_its_limits(small: Plant) -> None:
    found = zones(small.variable("Works.Mill1.Load"), small.conditions)
    assert [(name, round(a, 3), round(b, 3)) for name, a, b in found] == [
        ("low", 0.0, 0.1), ("high", 0.8, 0.9), ("high_high", 0.9, 1.0),
    ]  # fmt: skip


def placeholders(text: str) -> set[str]:
    return {str(name) for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_german_has_every_text_with_the_same_places() -> None:
    assert set(german.PHRASES) == set(ENGLISH)
    assert {k for k in ENGLISH if placeholders(ENGLISH[k]) != placeholders(german.PHRASES[k])} == set()


def test_every_text_that_a_page_asks_for_is_there() -> None:
    asked: set[str] = set()
    for file in (*PAGES.glob("*.py"), *STATIC.glob("*.js")):
        asked |= set(re.findall(r"\btext(?:s)?\(\"([a-z_0-9]+)\"", file.read_text(encoding="utf-8")))
    abouts = re.findall(r"(\w+): asking\(", (STATIC / "alarm-service.js").read_text(encoding="utf-8"))
    assert len(abouts) == 4
    asked |= {*abouts, *(f"{name}_about" for name in abouts)}
    assert len(asked) > 80
    assert asked - set(ENGLISH) == set()


def test_names_and_texts_of_the_plant_are_said_in_the_language_of_the_page(plant: Plant) -> None:
    german_words = Texts("de", plant.translation(["de"]))
    assert german_words.name("OilPressure") == "Öldruck"
    assert german_words.state("Running") == "Läuft"
    assert german_words.of("Shaft speed") == "Wellendrehzahl"
    assert german_words.name("GearTemperature") == "Gear temperature"  # no name of the plant
    english = Texts("en", plant.translation(["en"]))
    assert (english.name("OilPressure"), english.of("Shaft speed")) == ("Oil pressure", "Shaft speed")


@pytest.mark.parametrize(
    ("name", "words"),
    [("OilPressure", "Oil pressure"), ("VoltageL1", "Voltage L1"), ("OEE", "OEE"), ("CO2", "CO2"), ("State", "State"),
     ("AirQualityIndex", "Air quality index"), ("line1_plc", "line 1 plc")],
)  # fmt: skip
def test_browse_names_become_words(name: str, words: str) -> None:
    assert describe.words(name) == words


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (True, "true"), (86_400_000.0, "86400000"), (b"\x01\xff", "01 ff"), ([1, 2], "[1, 2] (2)"),
     (list(range(99)), f"[{', '.join(str(it) for it in range(40))}, …] (99)"), (ua.Range(0, 10), "0 … 10"),
     (ua.NodeId("a;b", 2), "ns=2;s=a;b"), (ua.QualifiedName("Speed", 2), "2:Speed"),
     (ua.ServerState.Running, "Running"),
     (ua.LocalizedText("Öl", "de"), "Öl"), (ua.StatusCode(0x80310000), "BadNoCommunication"),
     (ua.ReadValueId(ua.NodeId(84), 13), "NodeId: i=84; AttributeId: 13; IndexRange: –; DataEncoding: 0:None")],
    ids=range(13),
)  # fmt: skip
def test_values_of_nodes_are_text(value: Any, text: str) -> None:
    assert value_text(value).startswith(text)


def test_bits_of_attributes_are_named() -> None:
    assert attribute_text(ua.AttributeIds.UserAccessLevel, 0x43) == "CurrentRead, CurrentWrite, TimestampWrite"
    assert attribute_text(ua.AttributeIds.EventNotifier, 5) == "SubscribeToEvents, HistoryRead"
    assert attribute_text(ua.AttributeIds.ValueRank, -1) == "Scalar (-1)"
    assert attribute_text(ua.AttributeIds.NodeClass, 2) == "Variable"


def test_text_is_escaped_and_markup_is_not() -> None:
    made = el("p", '<b> & "', el("i", "x"), Markup("&amp;"), title='"><script>', hidden=True, lang=None)
    assert made == '<p title="&quot;&gt;&lt;script&gt;" hidden>&lt;b&gt; &amp; &quot;<i>x</i>&amp;</p>'


@pytest.mark.parametrize(
    ("severity", "priority"), [(1000, 1), (800, 1), (799, 2), (600, 2), (400, 3), (399, 4), (1, 4)]
)
def test_priorities(severity: int, priority: int) -> None:
    assert describe.priority(severity) == priority


def test_every_page_has_an_icon() -> None:
    from gateways.web.pages.shell import NAVIGATION

    assert all("<path" in icons.icon(name) for name, *_ in NAVIGATION)


def test_what_is_vendored_is_what_is_written_about_it() -> None:
    told = dict(
        re.findall(r"`(\w+\.js)`.*?`([0-9a-f]{64})`", (STATIC / "vendor" / "README.md").read_text(encoding="utf-8"))
    )
    files = {it.name: hashlib.sha256(it.read_bytes()).hexdigest() for it in (STATIC / "vendor").glob("*.js")}
    assert told == files


def test_no_script_or_style_names_another_server() -> None:
    own = [it for it in STATIC.iterdir() if it.suffix in {".js", ".css"}]
    assert len(own) > 10
    for file in own:
        addresses = re.findall(r"https?://[^\s\"'`)$]+", file.read_text(encoding="utf-8"))
        assert [it for it in addresses if "www.w3.org" not in it] == [], file
