"""The gateway with a real VictoriaMetrics: what comes in, what comes back, and that nothing is lost."""

import asyncio
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from address_space import load_plant
from gateways.delivery import snapshot
from gateways.influx.observe import ObserveError, observe, same
from gateways.observing import Observation
from server.errors import StartError
from server.quality import BAD_SENSOR_FAILURE, is_bad
from server.store import now_ticks
from server.store.ticks import UNIX_EPOCH_TICKS
from tests.gateways.influx.broken_link import broken_link
from tests.gateways.influx.influx_rig import Rig, until
from tests.gateways.influx.victoria_rig import Victoria, needs_victoria

pytestmark = needs_victoria
DOUBLE = '{__name__="opcua_value",node="Plant.Kinds1.Double"}'


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victoria]:
    """One server for the tests that never stop it; each writes with a tag `site` of its own."""
    with Victoria(tmp_path_factory.mktemp("victoria")) as server:
        yield server


async def test_every_variable_of_the_default_plant_comes_back(shared: Victoria, tmp_path: Path) -> None:
    plant = load_plant()
    rig = Rig(tmp_path, shared.url, plant, site="default")
    generator = np.random.default_rng(7)
    numbers = [v.id for v in plant.variables if v.declaration.type.name == "Double"]
    rig.store.write(np.array(numbers), generator.normal(0, 1000, len(numbers)), now_ticks())
    texts = [v.id for v in plant.variables if v.declaration.type.name == "String"]
    rig.store.write(np.array(texts), np.array(['a, ="é"\n'] * len(texts), object), now_ticks())
    others = [v.id for v in plant.variables if v.declaration.type.is_numeric and v.id not in numbers]
    rig.store.write(np.array(others), np.ones(len(others)), now_ticks())
    times = [v.id for v in plant.variables if v.declaration.type.name in ("DateTime", "Boolean")]
    rig.store.write(np.array(times), np.array([now_ticks()] * len(times)), now_ticks())
    rig.store.set_status(np.array(numbers[:3]), BAD_SENSOR_FAILURE)
    batch = snapshot(rig.store)
    truth = [
        Observation(plant.variables[id_].path, None if bad else value, status, at)
        for id_, value, bad, status, at in zip(
            batch.ids.tolist(), rig.store.objects(batch), is_bad(batch.statuses).tolist(),
            batch.statuses.tolist(), batch.source_timestamps.tolist(), strict=True,
        )
    ]  # fmt: skip
    async with rig.running():
        await rig.delivered()
        (plane,) = await observe(plant, rig.settings, 0.1)
    assert plane.name == "victoriametrics"
    seen = {one.path: one for one in plane.observations}
    assert set(seen) == {variable.path for variable in plant.variables}
    different = [
        (one, seen[one.path]) for one in truth if not plane.same(plant.variable(one.path), one, seen[one.path])
    ]
    assert different == []
    wrong = seen["Plant.Generator1.Speed"]
    assert not plane.same(
        plant.variable(wrong.path), wrong, Observation(wrong.path, 1e9, wrong.status, wrong.source_timestamp)
    )


async def test_labels_and_times_as_promql_sees_them(shared: Victoria, tmp_path: Path) -> None:
    rig = Rig(tmp_path, shared.url, site='Hall 2, "west"')
    async with rig.running():
        (at,) = rig.write("Double", 1506.9116)
        rig.write("Mode", 2)
        await rig.delivered()
    ((labels, found),) = shared.export('{__name__="opcua_value",site="Hall 2, \\"west\\"",name="Double"}')
    assert labels == {
        "__name__": "opcua_value", "name": "Double", "node": "Plant.Kinds1.Double",
        "site": 'Hall 2, "west"', "type": "KindsType",
    }  # fmt: skip
    assert found == [(at, 1506.9116)]
    query = 'opcua_value{name="Double",site=~"Hall.*"} * on(node) opcua_good > 1000'
    assert [float(one["value"][1]) for one in shared.query(query, at / 1000 + 1)] == [1506.9116]
    query = 'topk(1, tlast_over_time(opcua_text{node="Plant.Kinds1.Mode",site=~"Hall.*"}[1h])) by (node)'
    assert [one["metric"]["text"] for one in shared.query(query, at / 1000 + 1)] == ["Tripped"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.1, [0.1]), (1.7976931348623157e308, [1.7976931348623157e308]), (-2.5e-7, [-2.5e-7]), (5e-324, [0.0]),
     (math.nan, []), (math.inf, []), (-math.inf, [])],
)  # fmt: skip
async def test_special_floats(shared: Victoria, tmp_path: Path, value: float, shown: list[float]) -> None:
    site = f"float {value!r}"
    rig = Rig(tmp_path, shared.url, site=site)
    async with rig.running():
        (at,) = rig.write("Double", value)
        await rig.delivered()
    found = [found for _, found in shared.export(f'{{__name__="opcua_value",name="Double",site="{site}"}}')]
    assert found == [[(at, pytest.approx(one, rel=1e-11))] for one in shown]
    ((_, statuses),) = shared.export(f'{{__name__="opcua_good",node="Plant.Kinds1.Double",site="{site}"}}')
    assert statuses[-1] == (at, 1)


async def test_nothing_is_lost_while_it_is_gone(tmp_path: Path) -> None:
    rig_server = Victoria(tmp_path / "victoria")
    rig = Rig(tmp_path, rig_server.url)
    rig_server.start()
    sent: set[int] = set()
    try:
        async with rig.running():
            sent.update(rig.write("Double", *range(500)))
            await rig.delivered()
            await asyncio.to_thread(rig_server.stop)
            for part in range(20):  # more than once through the connection's failure
                sent.update(
                    rig.write("Double", *range(200), at=now_ticks() // 10_000 * 10_000 + (part + 1) * 10_000_000)
                )
                await asyncio.sleep(0)
            await until(lambda: not rig.status.connected, lambda: "the outage is noticed")
            assert rig.status.queue_depth >= 4000
            assert "annot connect" in rig.status.last_error
            await asyncio.to_thread(rig_server.start)
            await rig.delivered(40)
            assert rig.status.dropped == 0
        stored = {at for _, at in rig_server.samples(DOUBLE)}
        assert sent - stored == set()
        assert stored == sent
    finally:
        rig_server.stop()


async def test_what_waits_survives_a_restart_of_the_gateway(shared: Victoria, tmp_path: Path) -> None:
    gone = Rig(tmp_path, "http://127.0.0.1:1", site="restart")
    async with gone.running():
        sent = gone.write("Double", *range(300))
        await until(lambda: gone.status.last_error, lambda: "the outage is noticed")
    back = Rig(tmp_path, shared.url, site="restart")
    async with back.running():
        await back.delivered()
    assert {at for _, at in shared.samples('{__name__="opcua_value",name="Double",site="restart"}')} == set(sent)


@pytest.mark.parametrize("after", [200, 5000, 60_000])
async def test_a_connection_cut_within_a_body_loses_nothing(shared: Victoria, tmp_path: Path, after: int) -> None:
    async with broken_link(shared.port) as link:
        site = f"cut {after}"
        rig = Rig(tmp_path, f"http://127.0.0.1:{link.port}", site=site, database="victoriametrics")
        async with rig.running():
            await rig.delivered()
            link.cut_after = (
                after  # of a connection, which is open and has had more: cuts at once; of a new one, within
            )
            sent = rig.write("Double", *range(2000))
            await until(lambda: link.cuts == 1, lambda: "the link was cut")
            await rig.delivered()
            assert rig.status.dropped == 0
    assert {at for _, at in shared.samples(f'{{__name__="opcua_value",name="Double",site="{site}"}}')} == set(sent)


async def test_a_line_that_a_reset_tears_is_no_loss(tmp_path: Path) -> None:
    """VictoriaMetrics takes a body that a reset cuts off for a whole one, and throws a torn last line away."""
    with Victoria(tmp_path / "victoria", "-retentionPeriod=1d") as server:
        async with broken_link(server.port) as link:
            rig = Rig(tmp_path, f"http://127.0.0.1:{link.port}", watch=0.1)
            async with rig.running():
                await rig.delivered()
                invalid = 'vm_rows_invalid_total{type="influx"}'
                for after in range(5000, 5400, 20):  # somewhere there the place is in the middle of the tags
                    link.reset_in, cuts = after, link.cuts
                    rig.write("Double", *range(2000))
                    await until(lambda before=cuts: link.cuts > before, lambda: "the link was cut")
                    await rig.delivered()
                    if server.counter(invalid):
                        break
                assert server.counter(invalid)
                sent = rig.write("Double", 1.0)
                await rig.delivered()
                assert rig.status.dropped == 0
        assert set(sent) <= {at for _, at in server.samples(DOUBLE)}


async def test_a_server_that_does_not_answer_is_left_after_a_while(shared: Victoria, tmp_path: Path) -> None:
    async with broken_link(shared.port) as link:
        rig = Rig(tmp_path, f"http://127.0.0.1:{link.port}", site="stall", timeout=0.5, database="victoriametrics")
        async with rig.running():
            await rig.delivered()
            link.stall = True
            sent = rig.write("Double", 1.0)
            await until(lambda: "no answer in time" in rig.status.last_error, lambda: rig.status.last_error)
            link.stall = False
            await rig.delivered()
    assert {at for _, at in shared.samples('{__name__="opcua_value",name="Double",site="stall"}')} == set(sent)


async def test_a_wrong_password_is_told_and_nothing_is_given_up(tmp_path: Path) -> None:
    flags = ("-httpAuth.username=plantree", "-httpAuth.password=right")
    with Victoria(tmp_path / "victoria", *flags, health_needs_user=True) as server:
        wrong = Rig(tmp_path, server.url, username="plantree", token="wrong")
        async with wrong.running():
            sent = wrong.write("Double", 1.0, 2.0)
            await until(lambda: "401" in wrong.status.last_error, lambda: str(wrong.status))
            assert not wrong.status.connected
            assert wrong.status.dropped == 0
        blind = Rig(tmp_path, server.url, username="plantree", token="wrong", database="influxdb", startup="error")
        with pytest.raises(StartError, match="cannot be used: 401"):
            await blind.gateway.run()
        right = Rig(tmp_path, server.url, username="plantree", token="right")
        async with right.running():
            await right.delivered()
        server.user = ("plantree", "right")
        assert {at for _, at in server.samples(DOUBLE)} == set(sent)


async def test_lines_that_it_throws_away_are_counted(tmp_path: Path) -> None:
    with Victoria(tmp_path / "victoria", "-retentionPeriod=1d") as server:
        rig = Rig(tmp_path, server.url, watch=0.1)
        async with rig.running():
            await rig.delivered()
            server.post("/api/v2/write", b"this is no line\nnor this")  # somebody's
            await until(lambda: "vm_rows_invalid_total" in rig.status.last_error, lambda: rig.status.last_error)
            assert rig.status.last_error.endswith('vm_rows_invalid_total{type="influx"} +2')
            rig.write("Double", 1.0)
            await until(lambda: rig.status.dropped == 1, lambda: str(rig.status))
            old = UNIX_EPOCH_TICKS + 10_000_000 * 86_400  # beyond its retention
            rig.write("Double", 2.0, at=old)
            await until(lambda: "vm_rows_ignored_total" in rig.status.last_error, lambda: rig.status.last_error)
            rig.write("Double", 3.0, 4.0)
            await until(lambda: rig.status.dropped == 3, lambda: str(rig.status))
            delivered = rig.status.delivered
        assert delivered + rig.status.dropped == rig.store.journal.end - rig.first + len(rig.store)


async def test_a_time_that_it_cannot_hold_is_buried(shared: Victoria, tmp_path: Path) -> None:
    rig = Rig(tmp_path, shared.url, site="timeless")
    async with rig.running():
        await rig.delivered()
        rig.write("Double", 1.0, at=1)
        await until(lambda: rig.status.dropped == 1, lambda: str(rig.status))
    (letter,) = (tmp_path / "influx" / "rejected.jsonl").read_text().splitlines()
    assert json.loads(letter)["line"] == "Plant.Kinds1.Double"
    assert "SourceTimestamp, 1 ticks" in json.loads(letter)["reason"]
    assert "rejected.jsonl" in rig.status.last_error


async def test_flat_signals_have_a_heartbeat_that_is_no_measurement(shared: Victoria, tmp_path: Path) -> None:
    rig = Rig(tmp_path, shared.url, site="flat", heartbeat=0.2)
    select = '{{__name__="opcua_{}",node="Plant.Kinds1.Double",site="flat"}}'
    (at,) = rig.write("Double", 7.5)
    async with rig.running():
        await until(lambda: len(shared.samples(select.format("age"))) > 2, lambda: "three heartbeats")
        (plane,) = await observe(rig.plant, rig.settings, 0.1)
    ((_, ages),) = shared.export(select.format("age"))
    ((_, values),) = shared.export(select.format("value"))
    assert len(values) == len(ages) + 1
    assert values[0] == (at, 7.5)
    assert {value for _, value in values} == {7.5}
    for beat, age in ages:
        assert beat - age * 1000 == pytest.approx(at, abs=1e-3)
        assert age > 0
    seen = [one for one in plane.observations if one.path == "Plant.Kinds1.Double"]
    assert {one.source_timestamp for one in seen} == {at * 10_000 + UNIX_EPOCH_TICKS}
    truth = Observation("Plant.Kinds1.Double", 7.5, 0, seen[0].source_timestamp)
    assert all(same("victoriametrics", rig.plant.variable(one.path), truth, one) for one in seen)


async def test_compressed_is_the_same(shared: Victoria, tmp_path: Path) -> None:
    rig = Rig(tmp_path, shared.url, site="gzip", gzip="on")
    async with rig.running():
        sent = rig.write("Double", *range(6000))
        await rig.delivered()
    assert {at for _, at in shared.samples('{__name__="opcua_value",name="Double",site="gzip"}')} == set(sent)


async def test_without_a_database_there_is_nothing_to_observe(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "http://127.0.0.1:1")
    with pytest.raises(ObserveError, match=r"cannot be asked: http://127\.0\.0\.1:1: Cannot connect"):
        await observe(rig.plant, rig.settings, 0.0)
