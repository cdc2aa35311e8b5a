"""Every InfluxQL query of every dashboard on a real InfluxDB that a running plant writes to."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from address_space import load_plant
from grafana.alerting import RULES
from grafana.languages import SPEAKERS
from grafana.languages.influxql import InfluxQl
from grafana.pages import dashboards
from grafana.query import MACHINE_OF, Series
from tests.gateways.influx.influxd_rig import Influxd, influxd, needs_influxd, v2_front
from tests.grafana.grafana_rig import SITE, answerable, asked, camera_lines, condition_lines, filled_in, picture
from tests.process_rig import PlantreeProcess, calm_plant, wait_until

pytestmark = needs_influxd
PLANT = load_plant()
DATABASE = "plantree"
PATHS = {machine.path for machine in PLANT.objects}


@asynccontextmanager
async def written_to(folder: Path) -> AsyncGenerator[Influxd]:
    """Yield one that a plant has written to."""
    with influxd(folder) as server:
        server.ask(f'CREATE DATABASE "{DATABASE}"')
        async with v2_front(server) as url:
            env = {"PLANTREE_INFLUX__URL": url, "PLANTREE_INFLUX__BUCKET": DATABASE, "PLANTREE_INFLUX__ENABLED": "true"}
            plantree = PlantreeProcess(folder, env, calm_plant(folder / "plant.yaml"))
            try:
                # Everything that blocks is in threads: the front lives on this loop.
                await asyncio.to_thread(plantree.start)
                await asyncio.to_thread(wait_until, lambda: _nodes(server) == len(PLANT.variables), "all are there")
                oee = "SELECT last(value) FROM opcua WHERE \"name\" = 'OEE' GROUP BY node"
                await asyncio.to_thread(wait_until, lambda: len(server.ask(oee, DATABASE)) == 3, "all lines tell OEE")
                for lines in (camera_lines(PLANT, "influxdb"), condition_lines("influxdb")):
                    status, text = await asyncio.to_thread(server.request, "POST", f"/write?db={DATABASE}", lines)
                    assert status == 204, text
                pieces = "SELECT value FROM opcua WHERE node = 'Plant.Line1.ProductionCount'"
                await asyncio.to_thread(wait_until, lambda: len(server.rows(pieces, DATABASE)) > 2, "pieces")
            finally:
                await asyncio.to_thread(plantree.end)
        yield server


def _nodes(server: Influxd) -> int:
    return sum(len(one["values"]) for one in server.ask('SHOW TAG VALUES FROM "opcua" WITH KEY = "node"', DATABASE))


async def test_every_query_returns_what_is_there(tmp_path: Path) -> None:
    speaks = InfluxQl()
    async with written_to(tmp_path) as server:
        end = time.time()

        def rows(text: str, **chosen: Any) -> list[dict[str, Any]]:
            return server.rows(filled_in(text, end, **chosen), DATABASE)

        queries = list(asked(dashboards(PLANT, SPEAKERS["influxql"])))
        assert len(queries) > 150
        # Nothing is Uncertain or Bad here: InfluxDB counts nothing with no row.
        present = 'SELECT last("value"), last("text") FROM "opcua" WHERE time > now() - 5m GROUP BY "type", "name"'
        told = {(one["tags"]["type"], one["tags"]["name"]) for one in server.ask(present, DATABASE)}
        silent = [q for q in answerable(queries, told) if not rows(q.text) and 'WHERE "s" >=' not in q.text]
        assert "\n".join(f"{q.dashboard} {q.panel}: {filled_in(q.text, end)}" for q in silent) == ""

        (target,) = speaks.last(Series("ProductionLineType", ("OEE",)))
        found = server.ask(
            filled_in(target.text, end, site=["Plant"], machine=["Plant.Line1", "Plant.Line3"]), DATABASE
        )
        assert {one["tags"]["node"] for one in found} == {"Plant.Line1.OEE", "Plant.Line3.OEE"}
        nodes = [row["value"] for row in rows(str(speaks.machines("CameraType")))]
        assert {re.match(MACHINE_OF.strip("/"), node)[1] for node in nodes} == {"Plant.Camera1", "Plant.Camera2"}  # type: ignore[index]
        assert [row["value"] for row in rows(str(speaks.sites()))] == ["Plant"]

        # The states of conditions, as test_grafana_promql has them.
        states = server.ask(filled_in(speaks.condition_states()[0].text, end, site=[SITE]), DATABASE)
        last = {one["tags"]["condition"].rpartition(".")[2]: one["values"][-1][1] for one in states}
        assert last == {"Hot": 3, "Leak": 2, "Slow": 1, "FireAlarm": 2, "Noisy": 2}
        standing = rows(speaks.standing()[0].text, site=[SITE])
        columns = ("condition", "message", "severity", "active", "acked", "snapshot")
        assert {tuple(row[name] for name in columns) for row in standing} == {
            ("Plant.Generator1.Hot", "Hot it is", 800, 1, 0, None),
            ("Plant.Generator1.Leak", "Leak it is", 500, 1, 1, None),
            ("Plant.Generator1.Slow", "Slow it is", 300, 0, 0, None),
            ("Plant.Camera1.FireAlarm", "Fire is seen", 700, 1, 1, picture(2)),
        }
        counts = [speaks.standing_count(), speaks.unacknowledged_count(), speaks.activations()]
        assert [rows(targets[0].text, site=[SITE])[0]["count"] for targets in counts] == [3, 2, 3]
        chosen = {"site": [SITE], "machine": ["Plant.Camera1"]}
        assert [[row["count"] for row in rows(targets[0].text, **chosen)] for targets in counts] == [[1], [], [1]]
        assert [row["snapshot"] for row in rows(speaks.snapshots()[0].text)] == [picture(2), picture(1)]

        rules = {rule.uid: rule.queries["influxql"] for rule in RULES}
        critical = server.ask(rules["plantree-critical"], DATABASE)
        ours = {one["tags"]["condition"] for one in critical} - {f"{path}.CommunicationLost" for path in PATHS}
        assert ours == {"Plant.Generator1.Hot", "Plant.Camera1.FireAlarm"}  # and not Noisy, which is shelved
        assert [row for row in rows(rules["plantree-gap"]) if any(v for k, v in row.items() if k != "time")] == []
        assert rows(rules["plantree-gateway"]) == []
