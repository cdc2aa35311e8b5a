"""History as node-opcua's history client reads it: raw, at times, processed, changed; also after a restart."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import credentials
from tests.interop.node_client import Connection, Identity, NodeClient, RefusedError, connect
from tests.process_rig import PlantreeProcess, wait_until

LOAD = "ns=2;s=Plant.Generator1.LoadSetpoint"  # 0 to 500 kW, stepped
SPEED = "ns=2;s=Plant.Generator1.Speed"
NOON = datetime(2026, 2, 3, 12, tzinfo=UTC)
GOOD = 0
CALCULATED, INTERPOLATED, PARTIAL = 0x401, 0x402, 0x404
"""InfoBits of a processed value's StatusCode (OPC 10000-13 5.3.3)."""
BAD_NO_DATA = 0x809B_0000
VALUES = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
"""Inserted at 0, 10, 20 … s after noon."""

Row = list[Any]


def at(seconds: float) -> str:
    return (NOON + timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(rows: list[Row]) -> list[tuple[float, Any]]:
    """Return (seconds after noon, value)."""
    return [((datetime.fromisoformat(row[0]) - NOON).total_seconds(), row[1]) for row in rows]


class Server:
    """A server that can be restarted in between, and an Engineer's session on it."""

    def __init__(self, process: PlantreeProcess, node: NodeClient, identity: Identity) -> None:
        self.process = process
        self._connect = lambda name: connect(node, process.endpoint, identity, credentials(name))
        self.engineer = self._connect("emil")

    def session(self, name: str | None) -> Connection:
        return self._connect(name)

    def restart(self) -> None:
        self.engineer.close()
        assert self.process.stop() == 0
        self.process.start()
        self.engineer = self._connect("emil")


@pytest.fixture(scope="module")
def started(
    plantree_process: Callable[..., PlantreeProcess], trusting: Callable[..., PlantreeProcess], small_plant: Path,
    node: NodeClient, identity: Identity,
) -> Iterator[Server]:  # fmt: skip
    """Return a server whose history holds VALUES."""
    users = {"emil": "Engineer", "olga": "Observer", "anna": "AuthenticatedUser"}
    long = {"PLANTREE_HISTORIAN__RETENTION_DAYS": "36500"}  # NOON is some time ago
    server = Server(trusting(plantree_process(long, small_plant, users=users)), node, identity)
    values = [[at(10 * place), value] for place, value in enumerate(VALUES)]
    done = server.engineer.ask("history_update", node=LOAD, how="Insert", type="Double", values=values)
    assert done == {"status": "Good", "operations": ["GoodEntryInserted"] * len(VALUES)}
    yield server
    server.engineer.close()


@pytest.fixture(scope="module", params=["as it was made", "after a restart"])
def server(started: Server, request: pytest.FixtureRequest) -> Server:
    """Return the server, a second time after a restart."""
    if request.param == "after a restart":
        started.restart()
    return started


def test_raw_forward_and_backward(server: Server) -> None:
    forward = server.engineer.ask("history_raw", node=LOAD, **{"from": at(0), "to": at(60)})
    rows = [(10.0 * place, value) for place, value in enumerate(VALUES)]
    assert forward["status"] == "Good"
    assert plain(forward["rows"]) == rows
    assert {row[2] for row in forward["rows"]} == {GOOD}
    backward = server.engineer.ask("history_raw", node=LOAD, **{"from": at(50), "to": at(5)})
    assert plain(backward["rows"]) == rows[:0:-1]


def test_bounds(server: Server) -> None:
    found = server.engineer.ask("history_raw", node=LOAD, bounds=True, **{"from": at(15), "to": at(35)})
    assert plain(found["rows"]) == [(10, 20.0), (20, 30.0), (30, 40.0), (40, 50.0)]
    found = server.engineer.ask("history_raw", node=LOAD, bounds=True, **{"from": at(-5), "to": at(5)})
    assert [row[3] for row in found["rows"]] == ["BadBoundNotFound", "Good", "Good"]


@pytest.mark.parametrize(("begin", "end", "order"), [(0, 60, 1), (50, -1, -1)], ids=["forward", "backward"])
def test_continuation_points(server: Server, begin: float, end: float, order: int) -> None:
    found = server.engineer.ask("history_raw", node=LOAD, most=2, **{"from": at(begin), "to": at(end)})
    assert found["pages"] == 3
    assert [value for _, value in plain(found["rows"])] == VALUES[::order]


def test_a_point_is_of_its_session_and_is_used_once(server: Server) -> None:
    times = {"from": at(0), "to": at(60), "most": 2, "pages": 1}
    point = server.engineer.ask("history_raw", node=LOAD, **times)["point"]
    assert point
    with server.session("olga") as observer:
        found = observer.ask("history_raw", node=LOAD, point=point, **times)
        assert found["status"] == "BadContinuationPointInvalid"
    found = server.engineer.ask("history_raw", node=LOAD, point=point, **times)
    assert plain(found["rows"]) == [(20, 30.0), (30, 40.0)]
    found = server.engineer.ask("history_raw", node=LOAD, point=point, **times)
    assert found["status"] == "BadContinuationPointInvalid"


def test_at_time(server: Server) -> None:
    times = [at(20), at(25), at(-10)]
    found = server.engineer.ask("history_at_time", node=LOAD, times=times)
    assert plain(found["rows"])[:2] == [(20, 30.0), (25, 30.0)]  # stepped: it holds until the next
    assert [row[2] for row in found["rows"]] == [GOOD, INTERPOLATED, BAD_NO_DATA]


def test_processed(server: Server) -> None:
    names = ["Minimum", "Maximum", "Average", "Count", "Range", "Start", "End", "Delta", "TimeAverage", "Total"]
    found = server.engineer.ask(
        "history_processed", node=LOAD, interval=20_000, aggregates=names, **{"from": at(0), "to": at(60)}
    )
    assert {result["status"] for result in found} == {"Good"}
    values = {name: [row[1] for row in result["rows"]] for name, result in zip(names, found, strict=True)}
    assert values == {
        "Minimum": [10, 30, 50], "Maximum": [20, 40, 60], "Average": [15, 35, 55], "Count": [2, 2, 2],
        "Range": [10, 10, 10], "Start": [10, 30, 50], "End": [20, 40, 60], "Delta": [10, 10, 10],
        "TimeAverage": [15, 35, 55], "Total": [300, 700, 1100],
    }  # fmt: skip
    averages = found[names.index("Average")]["rows"]
    assert plain(averages) == [(0, 15), (20, 35), (40, 55)]
    assert {row[2] for row in averages} == {CALCULATED}


def test_processed_backward_and_what_is_left_over(server: Server) -> None:
    times = {"from": at(60), "to": at(10)}
    (found,) = server.engineer.ask("history_processed", node=LOAD, interval=20_000, aggregates=["Maximum"], **times)
    assert plain(found["rows"]) == [(60, 60), (40, 50), (20, 30)]
    assert [row[2] & PARTIAL == PARTIAL for row in found["rows"]] == [False, False, True]


def test_each_aggregate_that_the_client_knows_is_answered(server: Server) -> None:
    names = [
        "Interpolative", "TimeAverage2", "Total2", "Minimum2", "Maximum2", "Range2", "MinimumActualTime",
        "MaximumActualTime", "DurationGood", "DurationBad", "PercentGood", "PercentBad", "WorstQuality",
        "StandardDeviationSample", "StandardDeviationPopulation", "VarianceSample", "VariancePopulation",
        "StartBound", "EndBound", "DeltaBounds", "NumberOfTransitions", "DurationInStateZero",
    ]  # fmt: skip
    times = {"from": at(0), "to": at(60)}
    found = server.engineer.ask("history_processed", node=LOAD, interval=60_000, aggregates=names, **times)
    assert [(name, result["status"], len(result["rows"])) for name, result in zip(names, found, strict=True)] == [
        (name, "Good", 1) for name in names
    ]


def test_who_may_read_and_change(server: Server) -> None:
    with server.session("olga") as observer:
        assert len(observer.ask("history_raw", node=LOAD, **{"from": at(0), "to": at(60)})["rows"]) == len(VALUES)
        done = observer.ask("history_update", node=LOAD, how="Insert", type="Double", values=[[at(5), 1.0]])
        assert done["status"] == "BadUserAccessDenied"
    with server.session(None) as nobody:
        assert nobody.ask("history_raw", node=LOAD, **{"from": at(0), "to": at(60)})["status"] == "BadUserAccessDenied"


def test_server_timestamps_are_not_kept(server: Server) -> None:
    times = {"from": at(0), "to": at(60)}
    found = server.engineer.ask("history_raw", node=LOAD, timestamps="Server", **times)
    assert found["status"] == "BadTimestampNotSupported"
    with pytest.raises(RefusedError) as refused:
        server.engineer.ask("history_raw", node=LOAD, timestamps="Neither", **times)
    assert refused.value.status == "BadTimestampsToReturnInvalid"


def test_what_is_measured_is_found_again(server: Server) -> None:
    """The newest sample of a machine that runs, and its minute as an aggregate."""
    begin, end = datetime.now(UTC) - timedelta(minutes=1), datetime.now(UTC) + timedelta(minutes=1)
    times = {"from": begin.isoformat(), "to": end.isoformat()}
    rows = wait_until(lambda: server.engineer.ask("history_raw", node=SPEED, **times)["rows"], "history of the speed")
    stamps = [row[0] for row in rows]
    assert stamps == sorted(stamps)
    (count,) = server.engineer.ask("history_processed", node=SPEED, interval=0, aggregates=["Count"], **times)
    assert count["rows"][0][1] >= 1


def test_node_opcua_sees_that_there_is_history(server: Server) -> None:
    assert server.engineer.read(LOAD, "Historizing")["value"] is True
    assert server.engineer.read(LOAD, "AccessLevel")["value"] & 0x0C == 0x0C
    assert server.engineer.read(f"{LOAD}.HA Configuration.Stepped")["value"] is True
    assert server.engineer.read(f"{SPEED}.HA Configuration.Stepped")["value"] is False
    assert server.engineer.read(f"{SPEED}.HA Configuration.MaxTimeStoredValues")["value"] == 36_500 * 86_400_000
