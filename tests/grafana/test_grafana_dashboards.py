"""Dashboards as files: every variable is on one, Grafana's own schema takes them, what the model says is in them."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from address_space import Plant, load_plant
from address_space.model import BuiltinType, Feed, Machine, MachineType, VariableDeclaration
from address_space.units import UNITS
from grafana.generate import DASHBOARDS, PROVISIONING, generate
from grafana.languages import SPEAKERS
from grafana.pages import dashboards, type_pages
from grafana.panels import limits_of, thresholds
from grafana.sdk import units
from grafana.settings import LANGUAGES, Language
from grafana.units import UNIT_IDS
from tests.grafana.grafana_rig import NODE, ROOT, about, asked, needs_node

OF_PLUGINS = {"expr", "step", "titleFormat", "textFormat", "useValueForTime", "target", "mappings"}
"""Fields of annotation queries that are their data source's and in no schema of Grafana's own."""
SMALL = """\
plant: {name: Works, type: WorksType}
types:
  WorksType: {description: The works}
  BoilerType:
    description: A boiler
    variables:
      Pressure: {type: Double, unit: bar, range: [0, 40], description: Steam pressure}
      Flow: {type: Double, unit: m³/h, range: [0, 9], description: Feed water}
      Mode: {type: String, description: What it does}
    alarms:
      Overpressure: {input: Pressure, high: 20, high_high: 25, severity: 900, message: Too high}
      Underpressure: {input: Pressure, low: 3, low_low: 1, severity: 500, message: Too low}
sources:
  fake: {kind: physics}
objects:
  Boiler1: {type: BoilerType, source: fake}
"""


@pytest.fixture(scope="module")
def plant() -> Plant:
    return load_plant()


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if NODE is None or not (ROOT / "node_modules" / "@grafana" / "schema").exists():
        pytest.skip("Grafana's schema is not installed (npm packages @grafana/schema, ts-json-schema-generator)")
    command = [NODE, str(Path(__file__).with_name("schema.mjs")), str(tmp_path_factory.mktemp("schema"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=50)
    return json.loads(done.stdout)["properties"]


def committed(language: Language) -> dict[str, dict[str, Any]]:
    folder = ROOT / "grafana" / "dashboards" / language
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))}


@needs_node
def test_grafanas_schema_takes_every_dashboard_and_panel(schema: dict[str, Any]) -> None:
    parts = {name: jsonschema.Draft7Validator(part) for name, part in schema.items()}
    for language in LANGUAGES:
        found = committed(language)
        assert len(found) == 8
        for uid, dashboard in found.items():
            for annotation in dashboard["annotations"]["list"]:
                if annotation["datasource"]["type"] != "grafana":
                    for name in OF_PLUGINS:
                        annotation.pop(name, None)
            faults = [
                f"{language} {uid} {error.json_path}: {error.message}"
                for error in parts["dashboard"].iter_errors(dashboard)
            ]
            for panel in dashboard["panels"]:
                if panel["type"] != "row":
                    custom = panel["fieldConfig"]["defaults"].get("custom", {})
                    shown = {"options": panel.get("options", {}), "custom": custom}
                    faults += [
                        f"{uid} {panel['title']} {error.json_path}: {error.message}"
                        for error in parts[panel["type"]].iter_errors(shown)
                    ]
            assert faults == []


def test_no_file_is_left_over() -> None:
    there = {file for place in (DASHBOARDS, PROVISIONING) for file in place.rglob("*.*")}
    assert there == set(generate())


@needs_node
def test_grafanas_schema_refuses_what_is_wrong(schema: dict[str, Any]) -> None:
    wrong = committed("promql")["plantree-lines"]
    wrong["panels"][1]["gridPos"]["w"] = "wide"
    wrong["refreshes"] = True
    paths = {error.json_path for error in jsonschema.Draft7Validator(schema["dashboard"]).iter_errors(wrong)}
    assert paths >= {"$"}
    options = {"options": {"textMode": "loud"}, "custom": {}}
    assert not jsonschema.Draft7Validator(schema["stat"]).is_valid(options)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_variable_is_on_a_dashboard(plant: Plant, language: Language) -> None:
    found: set[tuple[str, str]] = set()
    for query in asked(dashboards(plant, SPEAKERS[language])):
        if shown := about(query.text):
            found |= {(shown[0], name) for name in shown[1]}
    assert {(plant.owner(variable).type.name, variable.name) for variable in plant.variables} - found == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_are_linked_and_have_the_same_variables(plant: Plant, language: Language) -> None:
    found = {uid: json.loads(text) for uid, text in dashboards(plant, SPEAKERS[language]).items()}
    assert len(found) == 3 + len(type_pages(plant))
    for uid, dashboard in found.items():
        assert dashboard["uid"] == uid
        assert [v["name"] for v in dashboard["templating"]["list"]] == ["datasource", "site", "machine"]
        pages, wall = dashboard["links"]
        assert pages["tags"] == dashboard["tags"]
        assert (wall["url"], wall["includeVars"], wall["keepTime"]) == (f"/d/{uid}?kiosk", True, True)
        numbers = [panel["id"] for panel in dashboard["panels"]]
        assert numbers == list(range(1, len(numbers) + 1))
        assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in dashboard["panels"])
        sources = {panel["datasource"]["uid"] for panel in dashboard["panels"] if panel["type"] != "row"}
        assert sources == {"${datasource}"}
        for panel in dashboard["panels"]:
            for link in panel.get("links", ()):
                assert re.match(r"/d/([a-z-]+)", link["url"])[1] in found  # type: ignore[index]


def test_limits_of_alarms_are_thresholds(tmp_path: Path) -> None:
    file = tmp_path / "works.yaml"
    file.write_text(SMALL, encoding="utf-8")
    plant = load_plant(file)
    boiler = plant.types["BoilerType"]
    assert limits_of(boiler, "Pressure") == {"high": 20, "high_high": 25, "low": 3, "low_low": 1}
    page = json.loads(dashboards(plant, SPEAKERS["promql"])["plantree-boiler"])
    panels = {(panel["type"], panel["title"]): panel for panel in page["panels"]}
    pressure = panels["timeseries", "Pressure"]["fieldConfig"]["defaults"]
    steps = [(step["value"], step["color"]) for step in pressure["thresholds"]["steps"]]
    assert steps == [(None, "red"), (1, "orange"), (3, "green"), (20, "orange"), (25, "red")]
    assert pressure["custom"]["thresholdsStyle"] == {"mode": "dashed"}
    assert pressure["custom"]["lineInterpolation"] == "stepAfter"
    assert pressure["unit"] == "pressurebar"
    assert panels["timeseries", "Flow"]["fieldConfig"]["defaults"]["unit"] == "suffix: m³/h"
    only_low = [(step.value, step.color) for step in thresholds({"low": 3.0}).build().steps]
    assert only_low == [(None, "orange"), (3.0, "green")]


def test_figures_of_alarms_are_on_their_page_and_others_on_the_servers(plant: Plant) -> None:
    def shows(name: str) -> Machine:
        shown = VariableDeclaration("Figure", BuiltinType.Double, "A figure", Feed.SERVER)
        kind = MachineType(f"{name}DiagnosticsType", "Figures", {"Figure": shown}, {}, {}, None, nameplate=False)
        return Machine(f"Plant.ServerDiagnostics.{name}", name, kind, "", None, {}, 0, {}, {})

    alarms, history = shows("Alarms"), shows("History")
    by_path = {**{machine.path: machine for machine in plant.objects}, alarms.path: alarms}
    more = replace(plant, machines=(*plant.machines, alarms, history), _machine_by_path=by_path)
    pages = dashboards(more, SPEAKERS["promql"])
    assert "AlarmsDiagnosticsType" in pages["plantree-alarms"]
    assert "AlarmsDiagnosticsType" not in pages["plantree-server"]
    assert "HistoryDiagnosticsType" in pages["plantree-server"]


def test_states_have_their_names(plant: Plant) -> None:
    page = json.loads(dashboards(plant, SPEAKERS["flux"])["plantree-lines"])
    state = next(panel for panel in page["panels"] if panel["type"] == "state-timeline" and panel["title"] == "State")
    (mapping,) = state["fieldConfig"]["defaults"]["mappings"]
    names = {number: option["text"] for number, option in mapping["options"].items()}
    assert names == {str(number): name for number, name in enumerate(plant.enumerations["LineState"].values)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_stands_is_listed_with_pictures_and_links(plant: Plant, language: Language) -> None:
    pages = dashboards(plant, SPEAKERS[language])
    alarms, cameras = (json.loads(pages[f"plantree-{page}"]) for page in ("alarms", "cameras"))
    (standing,) = (panel for panel in alarms["panels"] if panel["title"] == "Standing and unacknowledged")
    (gallery,) = (panel for panel in cameras["panels"] if panel["title"] == "Pictures of alarms")
    for panel in (standing, gallery):
        assert panel["type"] == "table"
        column = "uri" if language == "promql" else "snapshot"
        assert panel["transformations"][-1]["options"]["renameByName"][column] == "Picture"
        shown = {one["matcher"]["options"]: one["properties"] for one in panel["fieldConfig"]["overrides"]}
        picture = {one["id"]: one["value"] for one in shown["Picture"]}
        assert picture["custom.cellOptions"] == {"type": "image"}
        assert picture["links"] == [{"title": "Open the picture", "url": "${__value.raw}", "targetBlank": True}]
        assert any(column in target.get("expr", target.get("query")) for target in panel["targets"]) or (
            column == "uri" and "alarm_snapshot" in panel["targets"][-1]["expr"]
        )
    links = {
        one["matcher"]["options"]: link["url"]
        for one in standing["fieldConfig"]["overrides"]
        for value in one["properties"]
        if value["id"] == "links"
        for link in value["value"]
    }
    for column, page in (("Machine", "overview"), ("Condition", "alarms")):
        assert links[column].startswith(f"/d/plantree-{page}?")
        assert links[column].endswith("&var-machine=${__data.fields.Machine}")


def test_pages_begin_with_the_time_that_their_figures_need(plant: Plant) -> None:
    since = {uid: json.loads(text)["time"]["from"] for uid, text in dashboards(plant, SPEAKERS["promql"]).items()}
    # A heat map by hour, and energy an hour, show nothing of a single one.
    assert (since.pop("plantree-alarms"), since.pop("plantree-energy")) == ("now-24h", "now-24h")
    assert since.pop("plantree-lines") == "now-8h"
    assert set(since.values()) == {"now-1h"}


def test_units_are_grafanas() -> None:
    known = {value.__args__[0] for value in units.__annotations__.values()}
    assert set(UNIT_IDS.values()) <= known
    assert set(UNIT_IDS) <= set(UNITS)
