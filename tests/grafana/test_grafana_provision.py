"""`python -m server grafana provision`: every request is one that Grafana's API takes; run twice it changes nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from grafana.alerting import RULES
from grafana.annotations import Annotations, Transition
from grafana.cli import language_of
from grafana.differences import differences
from grafana.provision import connect
from grafana.settings import GrafanaSettings
from server.__main__ import main
from tests.grafana.stand_in import OPERATIONS, TOKEN, StandIn, described, faults_of

DASHBOARDS = 8


@pytest.fixture
def grafana(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    monkeypatch.chdir(tmp_path)
    with StandIn() as stand_in:
        for name, value in {
            "GRAFANA__URL": stand_in.url, "GRAFANA__TOKEN": TOKEN, "GRAFANA__CONTACT_URL": "http://127.0.0.1:9/hook",
            "INFLUX__URL": "http://victoria:8428", "INFLUX__DATABASE": "victoriametrics", "INFLUX__TOKEN": "s3cret",
            "INFLUX__USERNAME": "plantree",
        }.items():  # fmt: skip
            monkeypatch.setenv(f"PLANTREE_{name}", value)
        yield stand_in


def provision(*arguments: str) -> int:
    return main(["grafana", "provision", *arguments])


def written(stand_in: StandIn) -> list[tuple[str, str]]:
    return [(method, path) for method, path, _ in stand_in.requests if method != "GET"]


def test_everything_is_made_once(grafana: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    assert provision() == 0
    output = capsys.readouterr().out
    assert grafana.faults == []
    total = 4 + DASHBOARDS
    assert len(written(grafana)) == total
    assert f"{total} of {total} changed" in output
    assert "Successfully queried" in output
    assert "s3cret" not in output
    assert "dashboard Plantree · Generator: create" in output
    group = grafana.things["/v1/provisioning/folder/plantree/rule-groups/plantree"]
    assert {rule["uid"] for rule in group["rules"]} == {rule.uid for rule in RULES}
    grafana.requests.clear()
    assert provision() == 0
    assert written(grafana) == []
    assert f"0 of {total} changed" in capsys.readouterr().out
    assert grafana.faults == []


def test_what_somebody_changed_is_shown_and_set_right(grafana: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    assert provision() == 0
    page: dict[str, Any] = grafana.things["/dashboards/uid/plantree-lines"]["dashboard"]
    page["panels"][1]["title"] = "Mine"
    page["panels"].pop()
    grafana.things["/datasources/uid/plantree"]["url"] = "http://elsewhere:1"
    grafana.requests.clear()
    capsys.readouterr()
    assert provision("--dry-run") == 0
    output = capsys.readouterr().out
    assert 'panels[1].title: "Mine" -> "OEE"' in output
    assert 'data source Plantree: url: "http://elsewhere:1" -> "http://victoria:8428"' in output
    assert "2 of 12 to be changed" in output
    assert written(grafana) == []
    assert provision() == 0
    assert written(grafana) == [("PUT", "/datasources/uid/plantree"), ("POST", "/dashboards/db")]
    assert page["panels"][1]["title"] == "Mine"  # the old one; Grafana has the new one:
    assert grafana.things["/dashboards/uid/plantree-lines"]["dashboard"]["panels"][1]["title"] == "OEE"
    grafana.requests.clear()
    assert provision("--renew-secrets") == 0
    assert written(grafana) == [("PUT", "/datasources/uid/plantree")]
    assert grafana.faults == []


def test_whose_default_it_is_stays(grafana: StandIn) -> None:
    assert provision() == 0
    source = grafana.things["/datasources/uid/plantree"]
    assert source["isDefault"] is False
    source["isDefault"] = True
    grafana.requests.clear()
    assert provision("--renew-secrets") == 0
    assert [body["isDefault"] for method, _, body in grafana.requests if method == "PUT"] == [True]


def test_flux_and_no_contact_point(grafana: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTREE_INFLUX__DATABASE", "influxdb")
    monkeypatch.setenv("PLANTREE_INFLUX__ORG", "works")
    monkeypatch.setenv("PLANTREE_GRAFANA__DATASOURCE_URL", "http://influxdb:8086")
    monkeypatch.setenv("PLANTREE_GRAFANA__CONTACT_URL", "")
    assert provision() == 0
    assert grafana.faults == []
    source = grafana.things["/datasources/uid/plantree"]
    assert source["url"] == "http://influxdb:8086"
    assert source["jsonData"] == {
        "version": "Flux", "organization": "works", "defaultBucket": "plantree", "timeInterval": "1s",
    }  # fmt: skip
    assert source["secureJsonFields"] == {"token": True}
    assert not any("contact-points" in path for path in grafana.things)
    rules = grafana.things["/v1/provisioning/folder/plantree/rule-groups/plantree"]["rules"]
    assert not any("notification_settings" in rule for rule in rules)


@pytest.mark.parametrize(
    ("name", "value", "sentence", "code"),
    [
        ("GRAFANA__URL", "", "grafana.url is not set: where is Grafana?", 2),
        ("GRAFANA__TOKEN", "", "grafana.token is not set", 2),
        ("INFLUX__URL", "", "influx.url is not set: where is the database?", 2),
        ("GRAFANA__TOKEN", "wrong", "Grafana does not know the token", 1),
        ("GRAFANA__URL", "http://127.0.0.1:9", "Grafana cannot be reached", 1),
        ("GRAFANA__URL", "grafana:3000", "must be an address like http://HOST:3000", 2),
    ],
)
def test_what_is_wrong_is_one_sentence(
    grafana: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str,
    sentence: str, code: int,
) -> None:  # fmt: skip
    monkeypatch.setenv(f"PLANTREE_{name}", value)
    assert provision() == code
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line
    assert grafana.faults == []


def test_a_grafana_that_will_not_or_cannot(grafana: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    for answer, sentence in (
        ((403, {"message": "You'll need additional permissions"}), "needs the role Admin"),
        ((412, {"message": "The dashboard has been changed"}), "Grafana refuses"),
        ((500, {"message": "database is locked"}), "Grafana failed"),
    ):
        grafana.answer = answer
        assert provision() == 1
        assert sentence in capsys.readouterr().err
    grafana.answer = None
    grafana.database = "failing"
    assert provision() == 1
    assert "its database is 'failing'" in capsys.readouterr().err
    grafana.database, grafana.version = "ok", "9.5.2"
    assert provision() == 1
    assert "Grafana 9.5.2 is too old: Plantree needs 10.4" in capsys.readouterr().err
    grafana.is_other = True
    assert provision() == 1
    assert "what answers at grafana.url is no Grafana" in capsys.readouterr().err
    assert written(grafana) == []


def test_annotations_are_regions(grafana: StandIn) -> None:
    settings = GrafanaSettings(url=grafana.url, token=TOKEN)  # type: ignore[arg-type]
    annotations = Annotations(connect(settings).client)

    def change(time: int, *, active: bool) -> None:
        annotations.write(Transition("Plant.Line1.Jam", "Plant.Line1", 700, active, "It is stuck", time))

    for time, active in ((1000, True), (1500, True), (2000, False), (2500, False), (3000, True)):
        change(time, active=active)
    sent = [(method, body) for method, path, body in grafana.requests if path.startswith("/annotations")]
    tags = ["plantree", "Plant.Line1", "severity:700"]
    text = "Plant.Line1.Jam: It is stuck"
    assert sent == [
        ("POST", {"time": 1000, "tags": tags, "text": text}), ("PATCH", {"timeEnd": 2000}),
        ("POST", {"time": 3000, "tags": tags, "text": text}),
    ]  # fmt: skip
    assert grafana.faults == []


def test_differences_are_those_that_matter() -> None:
    found = {"a": 1.0, "b": [1, 2, 3], "own": "Grafana's", "c": {"x": "y"}}
    assert list(differences({"a": 1, "b": [1, 2, 3], "c": {}, "no": False, "none": None, "empty": []}, found)) == []
    assert list(differences({"a": 0, "b": [1, 5], "c": {"x": "z"}}, found)) == [
        "a: 1.0 -> 0", "b[1]: 2 -> 5", "b[2]: 3 -> nothing", 'c.x: "y" -> "z"',
    ]  # fmt: skip
    assert list(differences({"yes": True, "zero": 0}, {})) == ["yes: nothing -> true", "zero: nothing -> 0"]


def test_the_language_follows_the_database() -> None:
    chosen = [language_of(GrafanaSettings(), *pair) for pair in (("victoriametrics", ""), ("auto", ""), ("auto", "o"))]
    assert chosen == ["promql", "promql", "flux"]
    assert language_of(GrafanaSettings(language="influxql"), "auto", "o") == "influxql"


def test_a_description_is_read() -> None:
    folder = {"type": "object", "required": ["title"]}
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Folder"}}}}
    paths = {"/folders": {"post": {"requestBody": body}}, "/folders/{folder_uid}": {"get": {}}}
    openapi = {"paths": paths, "components": {"schemas": {"Folder": folder}}}
    schema = described(openapi, "POST", "/folders")
    assert schema is not None
    assert jsonschema.Draft7Validator(schema).is_valid({"title": "x"})
    assert not jsonschema.Draft7Validator(schema).is_valid({})
    assert described(openapi, "GET", "/folders/{uid}") is None
    with pytest.raises(AssertionError, match="has no PUT"):
        described(openapi, "PUT", "/folders/{uid}")


def test_the_stand_in_finds_what_is_wrong() -> None:
    assert faults_of(("POST", "/folders"), {"uid": "x"}) != []
    assert faults_of(("POST", "/folders"), {"title": "x", "colour": "red"}) != []
    assert faults_of(("POST", "/folders"), None) != []
    assert faults_of(("GET", "/health"), {}) != []
    assert all(method in ("GET", "POST", "PUT", "PATCH") for method, _ in OPERATIONS)
    json.dumps([schema for schema in OPERATIONS.values() if schema])
