"""Sessions in several languages at the same time: attributes, references, events and changes, over the wire."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua

from address_space import load_plant
from address_space.translations import server_words
from server.assembly import running
from server.opcua.conditions import states, vision
from server.opcua.history.nodes import HistoryNodes
from server.opcua.history.policy import HistoryPolicy
from server.opcua.locales import Locale
from server.opcua.nodeset import read_nodeset, write_nodeset
from server.opcua.space import PlantAddressSpace
from server.store import Store
from tests.server.opcua.opcua_rig import Changes, browse, nid, read, session, settings
from tests.server.opcua_conditions.conditions_rig import HOT, set_value, watching

PLANT = """\
plant: {name: Plant, type: PlantType}
enumerations:
  State: [Off, Running]
types:
  PlantType: {description: The plant}
  PressType:
    description: A press
    nameplate: true
    variables:
      State: {enum: State, description: Operating state}
      Quality: {type: Double, description: Share of good pieces}
      Temperature: {type: Double, unit: r/min, range: [0, 200], description: Temperature}
    commands:
      Aim:
        description: Aim at something
        arguments:
          Speed: {type: Double, unit: piece, range: [0, 50], description: How fast}
          Way: {type: String, choices: [up, down], description: Which way}
    alarms:
      Hot: {input: Temperature, high: 80, high_high: 100, severity: 600, message: The press is hot}
objects:
  Press1: {type: PressType, description: The left one, nameplate: {Model: Model P}}
  Press2: {type: PressType, description: The right one}
"""
GERMAN = """\
names: {State: Zustand, Press1: Presse 1, Press2: "Presse zwei", Off: Aus, Running: Läuft, Aim: Zielen, Hot: Heiß,
        Quality: Gutanteil, PressType: Pressentyp, Temperature: Temperatur, Speed: Tempo}
texts: {Operating state: Betriebszustand, The left one: Die linke, A press: Eine Presse, How fast: Wie schnell,
        The press is hot: Die Presse ist heiß, Model P: Modell P, Which way: Wohin}
"""
NAME, DESCRIPTION = ua.AttributeIds.DisplayName, ua.AttributeIds.Description
VALUE = ua.AttributeIds.Value


def plant_file(folder: Path) -> Path:
    file = folder / "plant.yaml"
    file.write_text(PLANT, encoding="utf-8")
    (folder / "plant.de.yaml").write_text(GERMAN, encoding="utf-8")
    (folder / "plant.fr.yaml").write_text("names: {State: État}", encoding="utf-8")
    return file


async def said(client: Client, *wanted: tuple[str, ua.AttributeIds]) -> list[tuple[str | None, str | None]]:
    found = await read(client, [(nid(path), attribute) for path, attribute in wanted])
    return [(it.Value.Value.Text, it.Value.Value.Locale) for it in found if it.Value is not None]


async def display_names(client: Client, path: str) -> dict[str, str | None]:
    """Browse a node: DisplayName by target."""
    (references,) = (await browse(client, [nid(path)])).values()
    return {str(it.NodeId.Identifier): it.DisplayName.Text for it in references}


async def _value(client: Client, path: str) -> Any:
    return await client.get_node(nid(path)).read_value()


async def speak(client: Client, *locales: str) -> None:
    client.set_locale(locales)
    await client.activate_session()


async def test_each_session_reads_and_browses_in_its_own_language(tmp_path: Path) -> None:
    asked: tuple[tuple[str, ua.AttributeIds], ...] = (
        ("Plant.Press1.State", NAME), ("Plant.Press1.State", DESCRIPTION), ("Plant.Press1", NAME),
        ("Plant.Press1", DESCRIPTION), ("PressType", DESCRIPTION), ("Plant.Press1.Hot", DESCRIPTION),
        ("Plant.Press1.Identification.Model", VALUE), ("Plant.Press2", DESCRIPTION), ("Plant.Press1.Hot.Quality", NAME),
    )  # fmt: skip
    english = [
        "State", "Operating state", "Press1", "The left one", "A press", "The press is hot", "Model P", "The right one",
        "Quality",
    ]  # fmt: skip
    german = [
        "Zustand", "Betriebszustand", "Presse 1", "Die linke", "Eine Presse", "Die Presse ist heiß", "Modell P",
    ]  # fmt: skip
    german_lacks = [("The right one", "en"), ("Quality", "en")]  # the latter is OPC UA's name, not that of the plant
    async with (
        running(settings(tmp_path, plant_file(tmp_path)), gateways={}) as plantree,
        session(plantree) as one, session(plantree, locales=["nl", "de-AT"]) as other,
        session(plantree, locales=["fr"]) as third,
    ):  # fmt: skip
        for _ in range(2):  # what is kept for one must not be shown to another
            assert await said(one, *asked) == [(text, "en") for text in english]
            assert await said(other, *asked) == [(text, "de") for text in german] + german_lacks
            assert await said(third, *asked[:2]) == [("État", "fr"), ("Operating state", "en")]
            names = [await display_names(client, "Plant.Press1.State") for client in (one, other)]
            assert [it["Plant.Press1"] for it in names] == ["Press1", "Presse 1"]
            names = [await display_names(client, "Plant.Press2.State") for client in (other, one)]
            assert [it["Plant.Press2"] for it in names] == ["Presse zwei", "Press2"]
            names = [await display_names(client, "Plant.Press1") for client in (other, one)]
            assert [it["Plant.Press1.State"] for it in names] == ["Zustand", "State"]
            assert [it["PressType"] for it in names] == ["Pressentyp", "PressType"]
            assert [it["Plant.Press1.Identification"] for it in names] == ["Typenschild", "Identification"]
            names = [await display_names(client, "Plant") for client in (other, one)]
            assert [it["Plant.Press2"] for it in names] == ["Presse zwei", "Press2"]
            names = [await display_names(client, "Plant.Press1.Hot") for client in (other, one)]
            assert [it["Plant.Press1.Hot.Quality"] for it in names] == ["Quality", "Quality"]
        node = one.get_node(ua.NodeId(ua.ObjectIds.Server_ServerCapabilities_LocaleIdArray))
        assert await node.read_value() == ["en", "de", "fr"]


async def test_values_of_localized_texts_are_in_the_sessions_language(tmp_path: Path) -> None:
    async with (
        running(settings(tmp_path, plant_file(tmp_path)), gateways={}) as plantree,
        session(plantree) as one, session(plantree, locales=["de"]) as other,
    ):  # fmt: skip
        strings = [await _value(client, "State.EnumStrings") for client in (one, other)]
        assert [[it.Text for it in found] for found in strings] == [["Off", "Running"], ["Aus", "Läuft"]]
        part = ua.ReadValueId(nid("State.EnumStrings"), VALUE, "1")
        (found,) = await other.uaclient.read(ua.ReadParameters(NodesToRead=[part]))
        assert [it.Text for it in found.Value.Value] == ["Läuft"]
        definition = await other.get_node(nid("State")).read_data_type_definition()
        assert [(it.Name, it.DisplayName.Text) for it in definition.Fields] == [("Off", "Aus"), ("Running", "Läuft")]
        texts = [await said(client, ("State", DESCRIPTION)) for client in (one, other)]
        assert texts == [[("One of Off, Running", "en")], [("Eines von Aus, Läuft", "de")]]
        arguments = [
            await client.get_node(nid("Plant.Press1.Aim.InputArguments")).read_value() for client in (one, other)
        ]
        assert [[it.Description.Text for it in found] for found in arguments] == [
            ["How fast (0 to 50 piece)", "Which way (one of up, down)"],
            ["Wie schnell (0 bis 50 Stück)", "Wohin (eines von up, down)"],
        ]
        assert [it.Name for it in arguments[1]] == ["Speed", "Way"]
        units = [
            await client.get_node(nid("Plant.Press1.Temperature.EngineeringUnits")).read_value()
            for client in (one, other)
        ]
        assert [(it.DisplayName.Text, it.Description.Text) for it in units] == [
            ("r/min", "revolutions per minute"), ("1/min", "Umdrehungen pro Minute"),
        ]  # fmt: skip


async def test_a_session_changes_its_language_when_it_is_activated_again(tmp_path: Path) -> None:
    asked = ("Plant.Press1.State", NAME)
    async with (
        running(settings(tmp_path, plant_file(tmp_path)), gateways={}) as plantree,
        session(plantree, locales=["de"]) as client,
    ):
        for locales, text in (
            (("en",), "State"), (("fr", "de"), "État"), (("de-CH",), "Zustand"), ((), "Zustand"), (("nl",), "State"),
        ):  # fmt: skip
            await speak(client, *locales)
            assert [text for text, _ in await said(client, asked)] == [text]
            assert (await display_names(client, "Plant.Press1"))["Plant.Press1.State"] == text


async def test_events_and_changes_come_in_the_language_of_the_session(tmp_path: Path) -> None:
    async with (
        running(settings(tmp_path, plant_file(tmp_path)), gateways={}) as plantree,
        session(plantree, "Operator") as one, session(plantree, "Operator", ["de"]) as other,
        watching(one) as english, watching(other) as german,
    ):  # fmt: skip
        changes = Changes()
        subscription = await other.create_subscription(20, changes)
        await subscription.subscribe_data_change(other.get_node(nid(f"{HOT}.ActiveState")))
        await changes.until(lambda: bool(changes.values))
        set_value(plantree, "Plant.Press1.Temperature", 120.0)
        told = [await it.seen.next(lambda event: event["ActiveState/Id"]) for it in (english, german)]
        texts = [[event[name].Text for name in _SAID] for event in told]
        assert texts == [
            ["The press is hot", "Active", "Active, HighHigh", "HighHigh", "Unacknowledged", "Enabled"],
            ["Die Presse ist heiß", "Aktiv", "Aktiv, Hoch-Hoch", "Hoch-Hoch", "Unquittiert", "Eingeschaltet"],
        ]
        assert [event["ConditionName"] for event in told] == ["Hot", "Hot"]  # a String: the browse name
        assert await said(other, (f"{HOT}.AckedState", VALUE)) == [("Unquittiert", "de")]
        assert await said(one, (f"{HOT}.AckedState", VALUE)) == [("Unacknowledged", "en")]
        await changes.until(lambda: len(changes.values) >= 2)
        assert [it.Text for it in changes.values] == ["Inaktiv", "Aktiv"]
        await _acknowledge(one, told[0]["EventId"])
        event = await german.seen.next(lambda event: event["AckedState/Id"])
        assert (event["AckedState"].Text, event["Comment"].Text) == ("Quittiert", "Running")  # comments are theirs
        await speak(one, "de")
        await speak(other, "en")
        set_value(plantree, "Plant.Press1.Temperature", 20.0)
        told = [await it.seen.next(lambda event: not event["ActiveState/Id"]) for it in (english, german)]
        assert [event["Message"].Text for event in told] == [
            "Die Presse ist heiß: wieder normal", "The press is hot: back to normal",
        ]  # fmt: skip
        await changes.until(lambda: changes.values[-1].Text == "Inactive")


_SAID = (
    "Message", "ActiveState", "ActiveState/EffectiveDisplayName", "LimitState/CurrentState", "AckedState",
    "EnabledState",
)  # fmt: skip


async def _acknowledge(client: Client, event_id: bytes) -> None:
    method = ua.NodeId(ua.ObjectIds.AcknowledgeableConditionType_Acknowledge)
    comment = ua.Variant(ua.LocalizedText("Running"), ua.VariantType.LocalizedText)
    given = [ua.Variant(event_id, ua.VariantType.ByteString), comment]
    (result,) = await client.uaclient.call([ua.CallMethodRequest(nid(HOT), method, given)])
    result.StatusCode.check()


def _space(folder: Path) -> PlantAddressSpace:
    plant = load_plant(plant_file(folder))
    return PlantAddressSpace(plant, Store(plant, 1))


def test_the_exported_file_has_all_languages(tmp_path: Path) -> None:
    file = tmp_path / "plant.xml"
    write_nodeset(_space(tmp_path), file)
    text = file.read_text(encoding="utf-8")
    state = text[text.index('NodeId="ns=1;s=Plant.Press1.State"') :].partition("</UAVariable>")[0]
    lines = [line.strip() for line in state.splitlines() if "Locale=" in line]
    assert lines == [
        '<DisplayName Locale="en">State</DisplayName>', '<DisplayName Locale="de">Zustand</DisplayName>',
        '<DisplayName Locale="fr">État</DisplayName>', '<DisplayName Locale="en">State</DisplayName>',
        '<Description Locale="en">Operating state</Description>',
        '<Description Locale="de">Betriebszustand</Description>',
        '<Description Locale="en">Operating state</Description>',
    ]  # fmt: skip
    field = text.partition('<Field Name="Running"')[2].partition("</Field>")[0]
    assert '<DisplayName Locale="de">Läuft</DisplayName>' in field
    kept = read_nodeset(file, "urn:plantree:plant")  # for asyncua, which knows one DisplayName
    assert kept.count(">Operating state<") == 3  # of the variables and of their type
    assert "Zustand" not in kept
    assert ">State<" in kept


def test_nothing_of_the_default_plant_is_left_in_english() -> None:
    plant = load_plant()
    space = PlantAddressSpace(plant, Store(plant, 1))
    space.factory.history = HistoryNodes(HistoryPolicy(), lambda _: None, lambda _: 0.0)
    german = space.locales.best(["de"])
    assert german is not None
    left: dict[ua.AttributeIds, set[str | None]] = {NAME: set(), DESCRIPTION: set()}
    count = 0
    for identifier in space.factory.identifiers():
        own = space[nid(identifier)].attributes[ua.AttributeIds.BrowseName].value.Value.Value.NamespaceIndex == 2
        for attribute in (NAME, DESCRIPTION) if own else (DESCRIPTION,):
            found = space.read_attribute_value(nid(identifier), attribute)
            text = german.value(found, ua.ReadValueId(nid(identifier), attribute)).Value.Value
            if text.Text and text.Locale != "de":
                left[attribute].add(text.Text)
        count += 1
    assert count > 5000
    assert left == {NAME: set(), DESCRIPTION: set()}


def said_by_the_server() -> Sequence[str]:
    shown = [text for pair in states.TEXTS.values() for text in pair]
    shown += [text for text, _ in states.SHELVING] + [text for _, text, _ in states.LIMITS]
    arguments: Any = vision._report()[*vision.REPORT, "InputArguments"].constant
    shown += [it.Description.Text for it in arguments.Value]
    return [*shown, vision.DECLARATION.message, "back to normal"]


@pytest.mark.parametrize("language", sorted(server_words()))
def test_what_the_server_says_itself_is_said_in_its_languages(language: str) -> None:
    words = server_words()[language]
    assert [text for text in said_by_the_server() if words.text(text) is None] == []
    names = (vision.NAME, *vision._PROPERTIES, *vision.FILES, *vision.REPORT)
    assert [name for name in names if words.name(name) is None] == []
    assert all(words.text(it) for it in ("{0} to {1}", "one of {0}", "One of {0}"))


def test_a_text_of_a_client_stays_as_it_came(tmp_path: Path) -> None:
    space = _space(tmp_path)
    german = space.locales.best(["de"])
    assert isinstance(german, Locale)
    for text in (ua.LocalizedText("Running"), ua.LocalizedText("Running", "fr"), ua.LocalizedText()):
        assert german.text(text) is text
    assert german.text(ua.LocalizedText("Running", "en")) == ua.LocalizedText("Läuft", "de")
