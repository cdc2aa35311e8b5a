"""Every PromQL query of every dashboard on a real VictoriaMetrics that a running plant writes to."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from address_space import load_plant
from gateways.influx.protocol import tag
from grafana.alerting import RULES
from grafana.languages import SPEAKERS
from grafana.languages.promql import PromQl
from grafana.pages import dashboards
from grafana.query import BAD, CARRY_S, MACHINE_OF, Series
from tests.conftest import StartPlantree
from tests.gateways.influx.victoria_rig import Victoria, environment, needs_victoria
from tests.grafana.grafana_rig import (
    RANGE_S,
    SITE,
    answerable,
    asked,
    camera_lines,
    condition_lines,
    filled_in,
    picture,
)
from tests.process_rig import calm_plant, wait_until

pytestmark = needs_victoria
PLANT = load_plant()
SPEED = Series("GeneratorType", ("Speed",))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory, plantree_process: StartPlantree) -> Iterator[Victoria]:
    """Return one that a plant has written to, and that has scraped it."""
    folder = tmp_path_factory.mktemp("promql")
    scrape = folder / "scrape.yml"
    scrape.write_text("scrape_configs: []\n", encoding="utf-8")
    with Victoria(folder / "victoria", f"-promscrape.config={scrape}", "-search.latencyOffset=1s") as victoria:
        with plantree_process(environment(victoria, enabled="true"), calm_plant(folder / "plant.yaml")) as server:
            job = {"job_name": "plantree", "scrape_interval": "1s"}
            job["static_configs"] = [{"targets": [f"127.0.0.1:{server.http_port}"]}]  # type: ignore[assignment]
            scrape.write_text(json.dumps({"scrape_configs": [job]}), encoding="utf-8")
            victoria.get("/-/reload")
            paths = {variable.path for variable in PLANT.variables}
            wait_until(lambda: {node for node, _ in victoria.samples("opcua_status")} == paths, "all are there")
            oee = 'opcua_value{name="OEE"}'
            wait_until(lambda: len({labels["node"] for labels, _ in victoria.export(oee)}) == 3, "all lines tell OEE")
            victoria.post("/write", camera_lines(PLANT, "victoriametrics"))
            victoria.post("/write", condition_lines("victoriametrics"))
            piece = 'opcua_value{node="Plant.Line1.ProductionCount"}'
            wait_until(lambda: len({value for _, found in victoria.export(piece) for _, value in found}) > 2, "pieces")
            wait_until(lambda: len(victoria.query("plantree_changes_total[1m]", time.time())) > 0, "it scrapes")
        victoria.get("/internal/force_flush")
        yield victoria


def rows(database: Victoria, expression: str, end: float, *, instant: bool) -> list[Any]:
    if instant:
        return database.query(expression, end)
    query = {"query": expression, "start": f"{end - RANGE_S}", "end": f"{end}", "step": "1s", "nocache": "1"}
    return json.loads(database.get("/api/v1/query_range", **query))["data"]["result"]


def test_every_query_returns_rows(database: Victoria) -> None:
    end = time.time()
    queries = list(asked(dashboards(PLANT, SPEAKERS["promql"])))
    assert len(queries) > 150
    told = {(one["type"], one["name"]) for one, _ in database.export('{__name__=~"opcua_(value|text)"}')}
    empty = [q for q in answerable(queries, told) if not rows(database, filled_in(q.text, end), end, instant=q.instant)]
    assert "\n".join(f"{q.dashboard} {q.panel} {q.instant}" for q in empty) == ""


def test_a_choice_of_machines_is_kept(database: Victoria) -> None:
    end = time.time()
    (target,) = PromQl().last(Series("ProductionLineType", ("OEE",)))
    for machine in (["Plant.Line1"], ["Plant.Line1", "Plant.Line3"], ["Plant.Line"]):
        found = database.query(filled_in(target.text, end, site=["Plant"], machine=machine), end)
        wanted = {f"{name}.OEE" for name in machine if name != "Plant.Line"}
        assert {one["metric"]["node"] for one in found} == wanted


def test_the_variables_have_their_values(database: Victoria) -> None:
    query = PromQl().machines("ProductionLineType")
    matched = re.fullmatch(r"label_values\((.*), node\)", query)
    assert matched is not None
    series = json.loads(database.get("/api/v1/series", **{"match[]": filled_in(matched[1], 0), "start": "1"}))["data"]
    machines = {re.match(MACHINE_OF.strip("/"), one["node"])[1] for one in series}  # type: ignore[index]
    assert machines == {"Plant.Line1", "Plant.Line2", "Plant.Line3"}
    matched = re.fullmatch(r"label_values\((.*), site\)", PromQl().sites())
    assert matched is not None
    chosen = {"match[]": matched[1], "start": "1"}
    sites = json.loads(database.get("/api/v1/label/site/values", **chosen))["data"]
    assert sites == ["Plant"]


def test_conditions_are_what_they_are(database: Victoria) -> None:
    end, speaks = time.time(), PromQl()

    def by_condition(expression: str) -> dict[str, float]:
        found = database.query(filled_in(expression, end, site=[SITE]), end)
        return {one["metric"]["condition"].rpartition(".")[2]: float(one["value"][1]) for one in found}

    assert by_condition(speaks.condition_states()[0].text) == {
        "Hot": 3,
        "Leak": 2,
        "Slow": 1,
        "FireAlarm": 2,
        "Noisy": 2,
    }
    severity, active, acked, pictured = speaks.standing()
    assert by_condition(severity.text) == {"Hot": 800, "Leak": 500, "Slow": 300, "FireAlarm": 700}
    assert by_condition(active.text) == {"Hot": 1, "Leak": 1, "Slow": 0, "FireAlarm": 1}
    assert by_condition(acked.text) == {"Hot": 0, "Leak": 1, "Slow": 0, "FireAlarm": 1}
    assert by_condition(speaks.offenders()[0].text) == {"Hot": 1, "Slow": 1, "FireAlarm": 1}
    for target, wanted in (
        (speaks.standing_count()[0], 3),
        (speaks.unacknowledged_count()[0], 2),
        (speaks.activations()[0], 3),
    ):
        (found,) = database.query(filled_in(target.text, end, site=[SITE]), end)
        assert float(found["value"][1]) == wanted
        (found,) = database.query(filled_in(target.text, end, site=[SITE], machine=["Plant.Camera1"]), end)
        assert float(found["value"][1]) == (target not in speaks.unacknowledged_count())
    # Grafana merges rows whose common labels are the same.
    for target in (severity, active, acked):
        found = database.query(filled_in(target.text, end, site=[SITE]), end)
        assert {tuple(sorted(one["metric"])) for one in found} == {("condition", "site", "source")}
    (newest,) = database.query(filled_in(pictured.text, end, site=[SITE]), end)
    assert newest["metric"]["uri"] == picture(2)
    pictures = database.query(filled_in(speaks.snapshots()[0].text, end), end)
    assert {(one["metric"]["uri"], one["metric"]["sha256"]) for one in pictures} == {
        (picture(number), f"a{number}" * 32) for number in (1, 2)
    }


def test_a_last_value_is_carried_until_it_is_bad_or_old(database: Victoria) -> None:
    now = time.time()

    def write(node: str, ago: float, value: float | None, status: int) -> None:
        shown = "" if value is None else f",value={value}"
        labels = b"opcua,name=Speed,node=%s,site=Plant,type=GeneratorType" % tag(node)
        database.post("/write", labels + f" status={status}i{shown} {round((now - ago) * 1e9)}".encode())

    write("Plant.Quiet.Speed", CARRY_S - 60, 1.0, 0)
    write("Plant.Old.Speed", CARRY_S + 60, 2.0, 0)
    write("Plant.Lost.Speed", 60, 3.0, 0)
    write("Plant.Lost.Speed", 30, None, BAD)
    (target,) = PromQl().last(SPEED)
    found = {one["metric"]["node"]: one["value"][1] for one in database.query(filled_in(target.text, now), now)}
    assert found.pop("Plant.Quiet.Speed") == "1"
    assert set(found) == {"Plant.Generator1.Speed"}
    (target,) = PromQl().trend(SPEED)
    series = {
        one["metric"]["node"]: one["values"] for one in rows(database, filled_in(target.text, now), now, instant=False)
    }
    times = [float(at) for at, _ in series["Plant.Lost.Speed"]]
    assert min(times) >= now - 61
    assert max(times) <= now - 29
    assert max(float(at) for at, _ in series["Plant.Quiet.Speed"]) > now - 11


def test_alert_rules_see_what_they_are_for(database: Victoria, tmp_path: Path) -> None:
    queries = {rule.uid: rule.queries["promql"] for rule in RULES}
    now = time.time()
    found = [one["metric"] for one in database.query(queries["plantree-critical"], now)]
    critical = {one["condition"] for one in found if one["site"] == SITE}
    assert critical == {"Plant.Generator1.Hot", "Plant.Camera1.FireAlarm"}  # and not Noisy, which is shelved
    (arrives,) = database.query(queries["plantree-gap"], now)
    assert arrives["value"][1] == "0"
    assert database.query(queries["plantree-gap"], now + 2 * CARRY_S) == []
    assert database.query(queries["plantree-gateway"], now) == []
    failed = b"opcua,name=State,node=Plant.ServerDiagnostics.mqtt.State,site=Plant,type=GatewayDiagnosticsType"
    database.post("/write", failed + b",text=Failed text=1")
    (down,) = database.query(queries["plantree-gateway"], time.time() + 1)
    assert down["metric"]["node"] == "Plant.ServerDiagnostics.mqtt.State"
