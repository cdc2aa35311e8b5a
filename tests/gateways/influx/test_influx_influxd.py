"""The gateway with a real InfluxDB: its parser, its refusals, its answers to queries."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateways.influx.observe import observe
from gateways.observing import Observation
from server.quality import BAD_NO_COMMUNICATION, UNCERTAIN_LAST_USABLE
from server.store import now_ticks
from server.store.ticks import UNIX_EPOCH_TICKS
from tests.gateways.influx.influx_rig import Rig, until
from tests.gateways.influx.influxd_rig import Influxd, influxd, needs_influxd, v2_front

pytestmark = needs_influxd
TEXTS = ["plain", "", 'a "b", c=d \\', "line\nline", "\\n", "é漢🏭 x"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    """One server; each test has a database of its own."""
    with influxd(tmp_path_factory.mktemp("influxd")) as server:
        yield server


def database(server: Influxd, name: str) -> str:
    server.ask(f'CREATE DATABASE "{name}"')
    return name


async def test_values_texts_and_times_are_exact(shared: Influxd, tmp_path: Path) -> None:
    bucket = database(shared, "exact")
    numbers = [0.1, 1506.9116838412958, -2.5e-7, 1.7976931348623157e308, 5e-324, 1e20, -0.0, 3.0]
    async with v2_front(shared) as url:
        rig = Rig(tmp_path, url, bucket=bucket, site='Hall 2, "west"=x\\')
        async with rig.running():
            await rig.delivered()
            at = now_ticks() // 10_000 * 10_000 + 7
            rig.write("Double", *numbers, at=at)
            rig.write("Text", *TEXTS, at=at)
            rig.write("Mode", 2, at=at)
            await rig.delivered()
            (plane,) = await observe(rig.plant, rig.settings, 0.1)
        assert rig.status.dropped == 0, rig.status.last_error
    first = (at - UNIX_EPOCH_TICKS) * 100
    rows = shared.rows("SELECT * FROM opcua WHERE \"name\" = 'Double' AND node =~ /Kinds1/ AND good = 1", bucket)
    assert [(row["time"], row["value"]) for row in rows] == [(first + n * 10**6, v) for n, v in enumerate(numbers)]
    assert {row["site"] for row in rows} == {'Hall 2, "west"=x⧵'}
    assert {row["type"] for row in rows} == {"KindsType"}
    rows = shared.rows("SELECT text, value FROM opcua WHERE \"name\" = 'Text' AND good = 1", bucket)
    assert [(row["text"], row["value"]) for row in rows] == [(text, None) for text in TEXTS]
    rows = shared.rows("SELECT text, value, status FROM opcua WHERE \"name\" = 'Mode' AND good = 1", bucket)
    assert [(row["text"], row["value"], row["status"]) for row in rows] == [("Tripped", 2, 0)]
    assert plane.name == "influxdb"
    assert {one.path for one in plane.observations} == {variable.path for variable in rig.plant.variables}
    texts = [one.value for one in plane.observations if one.path == "Plant.Kinds1.Text" and one.status == 0]
    assert texts == TEXTS
    truth = Observation("Plant.Kinds1.Double", 0.1, 0, at)
    assert any(plane.same(rig.plant.variable(one.path), truth, one) for one in plane.observations)


async def test_what_is_written_twice_is_there_once(shared: Influxd, tmp_path: Path) -> None:
    bucket = database(shared, "twice")
    async with v2_front(shared) as url:
        for folder in ("one", "two"):  # a new gateway tells the present values again
            (tmp_path / folder).mkdir()
            rig = Rig(tmp_path / folder, url, bucket=bucket)
            rig.write("Double", 1.0, at=UNIX_EPOCH_TICKS + 17 * 10**15)
            async with rig.running():
                await rig.delivered()
    assert len(shared.rows("SELECT * FROM opcua WHERE \"name\" = 'Double' AND good = 1", bucket)) == 1


async def test_a_status_that_changes_alone_leaves_the_sample_as_it_was(shared: Influxd, tmp_path: Path) -> None:
    bucket = database(shared, "status")
    async with v2_front(shared) as url:
        rig = Rig(tmp_path, url, bucket=bucket)
        id_ = rig.plant.variable("Plant.Kinds1.Double").id
        async with rig.running():
            await rig.delivered()
            rig.write("Double", 7.5)
            await rig.delivered()
            rig.store.set_status([id_], UNCERTAIN_LAST_USABLE)  # type: ignore[arg-type]
            rig.store.set_status([id_], BAD_NO_COMMUNICATION)  # type: ignore[arg-type]
            await rig.delivered()
    rows = shared.rows('SELECT "value", "status", "age" FROM opcua WHERE node = \'Plant.Kinds1.Double\'', bucket)[-3:]
    assert [(row["value"], row["status"]) for row in rows] == [
        (7.5, 0), (7.5, UNCERTAIN_LAST_USABLE), (None, BAD_NO_COMMUNICATION),
    ]  # fmt: skip
    assert rows[0]["age"] is None
    for row in rows[1:]:
        assert row["time"] - row["age"] * 1e9 == pytest.approx(rows[0]["time"], abs=1000)
        assert row["age"] > 0


async def test_the_rest_is_taken_and_wrong_lines_are_kept(shared: Influxd, tmp_path: Path) -> None:
    """A field that has another type there already: InfluxDB refuses these lines, and only these."""
    bucket = database(shared, "conflict")
    (node, at) = "Plant.Kinds1.Double", now_ticks() // 10_000 * 10_000
    assert shared.request("POST", f"/write?db={bucket}", f'opcua,node={node} value="t"'.encode())[0] == 204
    async with v2_front(shared) as url:
        rig = Rig(tmp_path, url, bucket=bucket)
        async with rig.running():
            await rig.delivered()
            before = rig.status.dropped
            rig.write("Text", *("text" for _ in range(300)), at=at)
            rig.write("Double", 1.5, 2.5, at=at)
            rig.write("Text", *("more" for _ in range(300)), at=at + 10_000_000)
            await rig.delivered()
            assert rig.status.dropped == before + 2
            assert rig.status.connected
    letters = [json.loads(line) for line in (tmp_path / "influx" / "rejected.jsonl").read_text().splitlines()]
    kept = [letter for letter in letters if "name=Double" in letter["line"]]
    assert len(kept) == 2
    assert all("field type conflict" in letter["reason"] for letter in kept)
    assert "rejected.jsonl: 4" in rig.status.last_error
    texts = shared.rows("SELECT text FROM opcua WHERE \"name\" = 'Text' AND good = 1", bucket)
    assert len(texts) == 600


async def test_a_missing_database_is_no_reason_to_give_samples_up(shared: Influxd, tmp_path: Path) -> None:
    async with v2_front(shared) as url:
        rig = Rig(tmp_path, url, bucket="late")
        async with rig.running():
            rig.write("Double", 1.0, 2.0)
            await until(lambda: "database not found" in rig.status.last_error, lambda: rig.status.last_error)
            assert rig.status.dropped == 0
            database(shared, "late")
            await rig.delivered()
            assert rig.status.dropped == 0
    assert len(shared.rows("SELECT value FROM opcua WHERE \"name\" = 'Double' AND good = 1", "late")) == 2
