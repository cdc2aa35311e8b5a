"""Translations beside a plant file: what is found, what is said, and what is wrong in one sentence."""

from pathlib import Path

import pytest

from address_space import DEFAULT_PLANT, Plant, PlantError, load_plant
from address_space.load import NAMEPLATE
from address_space.translation import Translation, best, tag_of
from address_space.translations import server_words
from address_space.units import UNITS
from address_space.vocabulary import TRANSLATED_NAMEPLATE, names_of, texts_of

PLANT = """\
plant: {name: Works, type: WorksType, description: A works}
enumerations:
  State: [Off, Running]
types:
  WorksType: {description: The works, emergency_stop: {}}
  PressType:
    description: A press
    nameplate: true
    variables:
      State: {enum: State, description: Operating state}
      Load: {type: Double, unit: kW, range: [0, 9], description: "Load: what it draws"}
    commands:
      Aim: {description: Aim, arguments: {Target: {type: Double, description: What to aim at}}}
    alarms:
      Heavy: {input: Load, high: 8, severity: 400, message: "Load: too much"}
sources:
  plc: {kind: physics}
objects:
  Press[8..11]: {type: PressType, description: "Press {n} of many", nameplate: {Model: "Model {n}"}}
  Old: {type: PressType}
"""
GERMAN = """\
names: {Load: Last, Off: Aus, Works: Werk, "Press[8..11]": "Presse {n}", Press9: Die Neunte, plc: Steuerung}
texts: {A press: Eine Presse, "Press {n} of many": "Presse {n} von vielen", "Load: too much": "Last: zu viel"}
"""


def load(folder: Path, **files: str) -> Plant:
    (folder / "my.yaml").write_text(PLANT, encoding="utf-8")
    for name, text in files.items():
        (folder / f"my.{name.replace('_', '.')}.yaml").write_text(text, encoding="utf-8")
    return load_plant(folder / "my.yaml")


def refused(folder: Path, **files: str) -> list[str]:
    """Load what must be refused; returns its sentences without the folder."""
    with pytest.raises(PlantError) as caught:
        load(folder, **files)
    return str(caught.value).replace(f"{folder}/", "").split("\n")


def test_a_plant_says_what_its_translation_says_and_else_what_the_server_does(tmp_path: Path) -> None:
    plant = load(tmp_path, de=GERMAN)
    german = plant.translation(["de"])
    assert german is not None
    assert [german.name(it) for it in ("Load", "Off", "Works", "plc")] == ["Last", "Aus", "Werk", "Steuerung"]
    assert [german.name(it) for it in ("EmergencyStop", "Heavy")] == ["Not-Halt", None]
    assert [german.text(it) for it in ("A press", "kilowatt", "What to aim at")] == ["Eine Presse", "Kilowatt", None]
    assert plant.machine("Works.Press8").name == "Press8"  # the plant itself stays in its own language


def test_a_text_that_is_put_together_is_said_part_by_part(tmp_path: Path) -> None:
    german = load(tmp_path, de=GERMAN).translations["de"]
    assert german.text("Load: too much: back to normal") == "Last: zu viel: wieder normal"
    assert german.text("Active, HighHigh, High") == "Aktiv, Hoch-Hoch, Hoch"
    assert german.text("Active, Strange") is None
    assert german.text("Strange: back to normal") is None


def test_each_of_many_objects_has_its_number(tmp_path: Path) -> None:
    german = load(tmp_path, de=GERMAN).translations["de"]
    assert [german.name(f"Press{n}") for n in (7, 8, 9, 11)] == [None, "Presse 8", "Die Neunte", "Presse 11"]
    assert german.text("Press 10 of many") == "Presse 10 von vielen"


def test_a_plant_has_the_languages_of_its_files_and_the_servers_own(tmp_path: Path) -> None:
    plant = load(tmp_path, fr="names: {Load: Charge}", **{"de-at": "{}", "zh-hans-cn": "{}"})
    assert set(plant.translations) == {"de-AT", "fr", "zh-Hans-CN"}
    french = plant.translation(["nl", "fr-CA", "de"])
    assert french is not None
    assert (french.language, french.name("Load"), french.name("EmergencyStop")) == ("fr", "Charge", None)
    assert plant.translation(["en-GB", "de"]) is None
    assert plant.translation(["nl"]) is None
    assert plant.translation([]) is None


def test_a_language_of_a_region_says_what_it_has_of_its_own(tmp_path: Path) -> None:
    plant = load(tmp_path, de=GERMAN, **{"de-AT": "names: {Load: Bürde}"})
    names = ("Load", "Off", "EmergencyStop")
    said = {wanted: plant.translation([wanted]) for wanted in ("de", "de-AT", "de-CH")}
    assert {key: it and [it.name(name) for name in names] for key, it in said.items()} == {
        "de": ["Last", "Aus", "Not-Halt"], "de-AT": ["Bürde", "Aus", "Not-Halt"], "de-CH": ["Last", "Aus", "Not-Halt"],
    }  # fmt: skip
    (tmp_path / "my.de.yaml").unlink()
    austrian = load(tmp_path).translation(["de-DE"])  # what German there is
    assert austrian is not None
    assert [austrian.name(name) for name in names] == ["Bürde", None, "Not-Halt"]


def test_files_that_are_no_translations_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "my.notes.txt").write_text("{")
    (tmp_path / "mine.de.yaml").write_text("{")
    plant = load(tmp_path, old=PLANT, backup="{")
    assert set(plant.translations) == set(server_words())


@pytest.mark.parametrize(
    ("wanted", "there", "found"),
    [
        (["de-AT"], ["en", "de"], "de"), (["de"], ["en", "de-AT"], "de-AT"),
        (["DE-at", "en"], ["de", "de-AT"], "de-AT"),
        (["fr", "de"], ["en", "de"], "de"), (["zh-Hans-CN"], ["zh-Hans", "zh"], "zh-Hans"), (["den"], ["de"], None),
        (["de-CH"], ["de-AT"], "de-AT"), ([""], ["de"], None), (["en-US", "de"], ["en", "de"], "en"),
    ],
)  # fmt: skip
def test_the_first_language_that_is_served_serves(wanted: list[str], there: list[str], found: str | None) -> None:
    assert best(wanted, there) == found


@pytest.mark.parametrize(
    ("word", "tag"),
    [("de", "de"), ("DE-at", "de-AT"), ("zh-hans-cn", "zh-Hans-CN"), ("es-419", "es-419"), ("backup", None),
     ("d", None), ("de_AT", None), ("de-", None)],
)  # fmt: skip
def test_language_tags(word: str, tag: str | None) -> None:
    assert tag_of(word) == tag


@pytest.mark.parametrize(
    ("name", "text", "sentences"),
    [
        ("de", "names:\n  Lod: Last\n  Off: Aus\ntexts: {A pres: Eine}\n", [
            "my.de.yaml:2: names.Lod: is nowhere in my.yaml; did you mean 'Load'?",
            "my.de.yaml:4: texts.A pres: is nowhere in my.yaml; did you mean 'A press'?"]),
        ("de", "names:\n  Load: ''\n  Off: 1\n", [
            "my.de.yaml:2: names.Load: string should have at least 1 character (it is '')",
            "my.de.yaml:3: names.Off: input should be a valid string (it is 1)"]),
        ("de", "name: {}\n", ["my.de.yaml:1: name: is no key of a translation, which has names and texts"]),
        ("de", "- Load\n", ["my.de.yaml:1: a translation is a mapping with the keys names and texts"]),
        ("de", "names:\n  Press[8..11]: Presse\ntexts:\n  Press {n} of many: Presse\n", [
            "my.de.yaml:2: names.Press[8..11]: needs {n} where the number of each object goes",
            "my.de.yaml:4: texts.Press {n} of many: needs {n} where the number of each object goes"]),
        ("en", "{}", ["my.en.yaml:1: is a translation into en, which is the language of my.yaml"]),
        ("de", "names:\n  Load: Last\n  Load: Bürde\n", [
            "my.de.yaml:3: names.Load: duplicate name, first on line 2"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence_each(tmp_path: Path, name: str, text: str, sentences: list[str]) -> None:
    assert refused(tmp_path, **{name: text}) == sentences


def test_a_language_is_written_with_hyphens_and_said_once(tmp_path: Path) -> None:
    (tmp_path / "my.de_AT.yaml").write_text("{}")
    assert refused(tmp_path) == [
        "my.de_AT.yaml:1: is named like a translation, whose language is written de-AT, not de_AT"
    ]
    (tmp_path / "my.de_AT.yaml").rename(tmp_path / "my.de.yml")
    assert refused(tmp_path, de="{}") == ["my.de.yml:1: is a second translation into de beside my.de.yaml"]


@pytest.fixture(scope="module")
def default() -> Plant:
    return load_plant(DEFAULT_PLANT)


def untranslated(words: Translation, names: set[str], texts: set[str]) -> list[str]:
    return sorted(it for it in names if words.name(it) is None) + sorted(it for it in texts if words.text(it) is None)


def test_all_of_the_default_plant_is_said_in_german(default: Plant) -> None:
    names = {name for kind in default.types.values() for name in names_of(kind)}
    names |= {name for it in default.enumerations.values() for name in (it.name, *it.values)}
    names |= {machine.name for machine in default.objects} | {"Identification", *NAMEPLATE}
    texts = {text for kind in default.types.values() for text in texts_of(kind)}
    texts |= {machine.description for machine in default.objects}
    texts |= {
        machine.nameplate[key]
        for machine in default.objects
        for key in TRANSLATED_NAMEPLATE
        if machine.nameplate.get(key)
    }
    texts -= UNITS.keys()  # symbols are international, but for those that are words
    assert len(names) > 150
    assert len(texts) > 150
    assert untranslated(default.translations["de"], names, texts | {"piece"}) == []


def test_the_server_says_every_unit_in_german() -> None:
    assert untranslated(server_words()["de"], set(), {unit.description for unit in UNITS.values()}) == []
