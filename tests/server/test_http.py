import asyncio
import socket

import aiohttp
import pytest
from prometheus_client import Histogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from server.errors import StartError
from server.http import Http
from server.metrics import Metrics
from server.settings import HttpSettings


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
async def http(metrics):
    server = Http(HttpSettings(port=0), metrics, details=lambda: {"sources": {"plc": "Running"}})
    await server.start()
    yield server
    await server.stop()


async def get(http, path, **headers):
    url = f"http://127.0.0.1:{http.port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        body = await (response.json() if path == "/healthz" else response.text())
        return response.status, body, response.headers


async def test_healthz_is_ok_only_between_ready_and_stopping(http):
    http.health.starting("certificate", "address space")
    status, body, headers = await get(http, "/healthz")
    assert status == 503
    assert body["status"] == "starting"
    assert body["reasons"] == ["certificate", "address space"]
    assert headers["Cache-Control"] == "no-store"
    http.health.ready()
    status, body, _ = await get(http, "/healthz")
    assert (status, body) == (200, {"status": "ok", "sources": {"plc": "Running"}})
    http.health.stopping("SIGTERM")
    status, body, _ = await get(http, "/healthz")
    assert (status, body["status"], body["reasons"]) == (503, "stopping", ["SIGTERM"])


async def test_healthz_is_not_ok_before_anybody_said_so(http):
    assert (await get(http, "/healthz"))[0] == 503


async def test_the_port_is_the_one_taken_and_free_after_stop(metrics):
    http = Http(HttpSettings(port=0), metrics)
    await http.start()
    assert http.port > 0
    assert (await get(http, "/metrics"))[0] == 200
    await http.stop()
    await http.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", http.port)


async def test_a_port_in_use_is_told_in_one_sentence(metrics):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        before = asyncio.all_tasks()
        sentence = f"HTTP cannot listen on 127.0.0.1, port {port} .*: Address already in use$"
        with pytest.raises(StartError, match=sentence):
            await Http(HttpSettings(port=port), metrics).start()
        assert asyncio.all_tasks() == before


async def test_a_host_that_is_not_ours_is_told(metrics):
    with pytest.raises(StartError, match=r"cannot listen on 192\.0\.2\.1, port 0 .*: Cannot assign requested address$"):
        await Http(HttpSettings(host="192.0.2.1", port=0), metrics).start()


async def scrape(http, **headers):
    status, body, got = await get(http, "/metrics", **headers)
    assert status == 200
    openmetrics = got["Content-Type"].startswith("application/openmetrics-text")
    parse = openmetrics_families if openmetrics else text_string_to_metric_families
    return {(s.name, *s.labels.values()): s.value for family in parse(body) for s in family.samples}


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text; version=1.0.0"])
async def test_metrics_are_computed_at_each_scrape(http, metrics, accept):
    values = {"rows": 1}
    metrics.gauge("plantree_journal_rows", "Rows held.", lambda: values["rows"])
    metrics.counter("plantree_task_restarts_total", "Restarts.", lambda: {"plc": values["rows"]}, labels=("task",))
    metrics.gauge("plantree_up", "Up.", lambda: {("a", "b"): True}, labels=("kind", "name"))
    for rows in (1, 2):
        values["rows"] = rows
        found = await scrape(http, Accept=accept)
        assert found["plantree_journal_rows",] == rows
        assert found["plantree_task_restarts_total", "plc"] == rows
        assert found["plantree_up", "a", "b"] == 1


async def test_metrics_of_the_process_are_included(http):
    found = await scrape(http)
    assert found["process_resident_memory_bytes",] > 0
    assert found["process_cpu_seconds_total",] > 0


async def test_a_metric_that_cannot_be_computed_costs_only_itself_and_is_counted(http, metrics, caplog):
    def broken():
        raise ZeroDivisionError

    metrics.gauge("plantree_broken", "Raises.", broken)
    metrics.gauge("plantree_mislabelled", "One label too few.", lambda: {"a": 1}, labels=("x", "y"))
    metrics.gauge("plantree_fine", "Fine.", lambda: 1)
    await scrape(http)
    found = await scrape(http)
    assert found["plantree_fine",] == 1
    assert not [key for key in found if key[0] in {"plantree_broken", "plantree_mislabelled"}]
    # Computed in the order of their names' registration: the count is that of the scrapes before.
    assert found["plantree_metric_errors_total", "plantree_broken"] == 1
    assert found["plantree_metric_errors_total", "plantree_mislabelled"] == 1
    assert {record.msg["metric"] for record in caplog.records} == {"plantree_broken", "plantree_mislabelled"}


def test_metrics_have_names_of_ours_once(metrics):
    metrics.gauge("plantree_x", "X.", lambda: 1)
    for add, name in [
        (metrics.gauge, "plantree_x"),
        (metrics.gauge, "other_x"),
        (metrics.gauge, "plantree_X"),
        (metrics.counter, "plantree_count"),
    ]:
        with pytest.raises(ValueError, match=name):
            add(name, "Wrong.", lambda: 1)


async def test_two_servers_share_nothing_and_take_histograms(http, metrics):
    Histogram("plantree_latency_seconds", "Latency.", registry=metrics.registry).observe(0.5)
    Histogram("plantree_latency_seconds", "Latency.", registry=Metrics().registry)
    assert (await scrape(http))["plantree_latency_seconds_sum",] == 0.5
