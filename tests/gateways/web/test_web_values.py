"""Values, set-points, commands and history by REST: what is shown is what is so, and what is wrong changes nothing."""

import asyncio
from typing import Any

import httpx
import pytest
from web_rig import BAD, World

from gateways.web.mapping import parse_time
from server.store.ticks import TICKS_PER_SECOND

VALUES = "/api/v1/values"


async def get(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_value_comes_with_quality_time_and_unit(plant: World) -> None:
    client = await plant.script("Observer")
    stamp = parse_time("2026-03-01T12:00:00.123456Z")
    plant.put("Press1.Speed", 1234.5, at=stamp)
    assert await get(client, f"{VALUES}/Plant.Press1.Speed") == {
        "path": "Plant.Press1.Speed", "value": 1234.5, "quality": "good", "status": "Good", "status_code": 0,
        "source_timestamp": "2026-03-01T12:00:00.123456Z", "unit": "r/min",
    }  # fmt: skip
    plant.put("Press1.Speed", 7.0, 0x40900000, stamp)
    assert (await get(client, f"{VALUES}/Plant.Press1.Speed"))["quality"] == "uncertain"
    plant.put("Press1.Speed", 7.0, BAD, stamp)
    shown = await get(client, f"{VALUES}/Plant.Press1.Speed")
    assert (shown["value"], shown["quality"], shown["status"]) == (None, "bad", "BadNoCommunication")


@pytest.mark.parametrize(
    ("name", "stored", "shown"),
    [("Speed", float("nan"), None), ("Speed", float("inf"), None), ("Count", 2**53 + 1, 2**53 + 1),
     ("Label", "ä\u2028<script>", "ä\u2028<script>"), ("State", 1, 1),
     ("Due", 0, None), ("Due", parse_time("2026-03-01T00:00:00+01:00"), "2026-02-28T23:00:00.000000Z")],
    ids=["nan", "infinity", "64 bits", "text", "enumeration", "no time", "time"],
)  # fmt: skip
async def test_values_of_every_kind(plant: World, name: str, stored: Any, shown: Any) -> None:
    plant.put(f"Press1.{name}", stored)
    form = await get(await plant.script("Observer"), f"{VALUES}/Plant.Press1.{name}")
    assert form["value"] == shown
    assert form.get("text") == ("Running" if name == "State" else None)


async def test_many_values_are_those_at_and_below_what_is_named(plant: World) -> None:
    client = await plant.script("Engineer")
    shown = await get(client, VALUES)
    assert [it["path"] for it in shown["values"]] == [it.path for it in plant.plant.variables]
    some = await get(client, VALUES, under=["Press1", "Plant.Press2.Speed"])
    paths = {it["path"] for it in some["values"]}
    assert paths == {it.path for it in plant.plant.machine("Plant.Press1").variables.values()} | {"Plant.Press2.Speed"}


async def test_what_a_role_protects_is_for_that_role(plant: World) -> None:
    observer, engineer = await plant.script("Observer"), await plant.script("Engineer")
    secret = f"{VALUES}/Plant.Press1.Secret"
    assert (await get(engineer, secret))["value"] == 7.0
    answer = await observer.get(secret)
    assert answer.status_code == 403
    assert answer.json()["status_name"] == "BadUserAccessDenied"
    assert "Secret" not in {it["path"].split(".")[-1] for it in (await get(observer, VALUES))["values"]}
    rows = await get(engineer, "/api/v1/data", machine="Press1")
    assert all("Secret" in it["values"] for it in rows["samples"])
    assert all(
        "Secret" not in it["values"] for it in (await get(observer, "/api/v1/data", machine="Press1"))["samples"]
    )
    assert (await observer.get("/api/v1/history/Plant.Press1.Secret")).status_code == 403


async def test_history_is_for_observers(plant: World) -> None:
    nobody = await plant.script("AuthenticatedUser")
    assert (await get(nobody, f"{VALUES}/Plant.Press1.Speed"))["path"]
    for path in ("history/Plant.Press1.Speed", "aggregates/Plant.Press1.Speed", "data?machine=Press1", "snapshots"):
        assert (await nobody.get(f"/api/v1/{path}")).status_code == 403, path


@pytest.mark.parametrize(
    ("name", "given", "stored"),
    [("Target", 20.5, 20.5), ("Target", 20, 20.0), ("Label", "hello", "hello"), ("Mode", 1, 1), ("Mode", "Running", 1),
     ("Due", "2026-03-01T12:00:00Z", parse_time("2026-03-01T12:00:00Z"))],
)  # fmt: skip
async def test_a_set_point_is_written_and_audited(plant: World, name: str, given: Any, stored: Any) -> None:
    client = await plant.script("Operator")
    answer = await client.put(f"{VALUES}/Plant.Press1.{name}", json={"value": given})
    assert (answer.status_code, answer.json()["status"]) == (200, "Good")
    assert plant.value(f"Press1.{name}") == stored
    assert ("put", f"Plant.Press1.{name}", stored) in plant.source.told
    assert plant.audit()[-1] == ("operator", "rest 127.0.0.1", f"Plant.Press1.{name}", "0x00000000")


@pytest.mark.parametrize(
    ("path", "body", "status", "name"),
    [
        ("Press1.Target", {"value": 101.0}, 422, "BadOutOfRange"),
        ("Press1.Target", {"value": "fast"}, 422, "BadTypeMismatch"),
        ("Press1.Target", {"value": True}, 422, "BadTypeMismatch"),
        ("Press1.Target", {"value": 10**400}, 422, "BadOutOfRange"),
        ("Press1.Target", {"value": None}, 422, None),
        ("Press1.Target", {"value": [1]}, 422, None),
        ("Press1.Target", {}, 422, None),
        ("Press1.Target", {"value": 1.0, "more": 1}, 422, None),
        ("Press1.Mode", {"value": "Flying"}, 422, "BadOutOfRange"),
        ("Press1.Mode", {"value": 3}, 422, "BadOutOfRange"),
        ("Press1.Due", {"value": "tomorrow"}, 422, "BadTypeMismatch"),
        ("Press1.Batch", {"value": 1}, 403, "BadUserAccessDenied"),
        ("Press1.Speed", {"value": 1.0}, 403, "BadNotWritable"),
        ("Press9.Target", {"value": 1.0}, 404, "BadNotFound"),
    ],
    ids=range(14),
)
async def test_a_wrong_write_is_a_clear_problem_and_changes_nothing(
    plant: World, path: str, body: dict[str, Any], status: int, name: str | None
) -> None:
    client = await plant.script("Operator")
    before = [plant.store.read(it.id) for it in plant.plant.variables]
    answer = await client.put(f"{VALUES}/Plant.{path}", json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"]
    assert problem.get("status_name") == name
    assert [plant.store.read(it.id) for it in plant.plant.variables] == before
    assert plant.source.told == []


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b'{"value": NaN}', b""])
async def test_what_is_no_json_is_a_problem(plant: World, content: bytes) -> None:
    client = await plant.script("Operator")
    headers = {"Content-Type": "application/json"}
    answer = await client.put(f"{VALUES}/Plant.Press1.Target", content=content, headers=headers)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert plant.value("Press1.Target") == 10.0


async def test_of_many_set_points_none_is_written_when_one_is_wrong(plant: World) -> None:
    client = await plant.script("Operator")
    good = {"Plant.Press1.Target": 20.0, "Plant.Press2.Target": 30.0}
    for wrong in ({"Plant.Press1.Mode": "Flying"}, {"Plant.Press1.Batch": 1}, {"Plant.Press1.Nothing": 1}):
        assert (await client.put(VALUES, json={"values": good | wrong})).status_code in (403, 404, 422)
        assert plant.value("Press1.Target") == 10.0
    assert plant.audit()[-1][2:] == ("Plant.Press1.Batch", "0x801F0000")
    assert (await client.put(VALUES, json={"values": good})).status_code == 200
    assert (plant.value("Press1.Target"), plant.value("Press2.Target")) == (20.0, 30.0)


async def test_a_source_that_refuses_is_told(plant: World) -> None:
    client = await plant.script("Operator")
    plant.source.deaf = True
    answer = await client.post("/api/v1/commands/Plant.Press1.Start")
    assert (answer.status_code, answer.json()["status_name"]) == (504, "BadTimeout")
    plant.source.error = RuntimeError("broken wire")
    answer = await client.put(f"{VALUES}/Plant.Press1.Target", json={"value": 20.0})
    assert answer.status_code == 500
    many = await client.put(VALUES, json={"values": {"Plant.Press1.Target": 20.0}})
    assert many.status_code == 207
    assert "broken wire" in many.json()["results"][0]["message"]
    assert plant.value("Press1.Target") == 10.0


async def test_a_command_takes_its_arguments_by_name(plant: World) -> None:
    client = await plant.person("Operator")
    answer = await client.post("/api/v1/commands/Plant.Press1.Aim", json={"arguments": {"Speed": 40}})
    assert (answer.status_code, answer.json()) == (200, {"outputs": {}})
    assert plant.value("Press1.Target") == 40.0
    assert plant.audit()[-1] == ("operator", "web 127.0.0.1", "Plant.Press1.Aim", "0x00000000")
    for body, status in (
        ({}, 422), ({"arguments": {}}, 422), ({"arguments": {"Speed": 60}}, 422), ({"arguments": {"Speed": "x"}}, 422),
        ({"arguments": {"Speed": 1, "More": 1}}, 422), ({"arguments": [1]}, 422),
    ):  # fmt: skip
        assert (await client.post("/api/v1/commands/Plant.Press1.Aim", json=body)).status_code == status, body
    assert (await client.post("/api/v1/commands/Plant.Press1.Fly")).status_code == 404
    observer = await plant.person("Observer")
    assert (await observer.post("/api/v1/commands/Plant.Press1.Start")).status_code == 403
    assert plant.value("Press1.Target") == 40.0


async def test_the_emergency_stop_latches_and_is_reset_in_two_steps(plant: World) -> None:
    anybody, supervisor = await plant.script("AuthenticatedUser"), await plant.person("Supervisor")
    stop = await anybody.post("/api/v1/commands/Plant.EmergencyStop", json={"arguments": {"Reason": "smoke"}})
    assert stop.status_code == 200
    assert plant.source.stopped == {"Plant.Press1", "Plant.Press2"}
    shown = {it["path"].split(".")[-1]: it["value"] for it in (await get(anybody, VALUES))["values"][:6]}
    assert shown.items() >= {"EmergencyStopReason": "smoke", "EmergencyStopOrigin": "rest 127.0.0.1"}.items()
    assert (await supervisor.post("/api/v1/commands/Plant.Press1.Start")).status_code == 409
    reset = "/api/v1/commands/Plant.ResetEmergencyStop"
    assert (await anybody.post(reset, json={"arguments": {"Confirmation": ""}})).status_code == 403
    first = await supervisor.post(reset, json={"arguments": {"Confirmation": ""}})
    (code,) = first.json()["outputs"].values()
    assert plant.source.stopped == {"Plant.Press1", "Plant.Press2"}
    assert (await supervisor.post(reset, json={"arguments": {"Confirmation": "wrong"}})).status_code == 422
    (code,) = (await supervisor.post(reset, json={"arguments": {"Confirmation": ""}})).json()["outputs"].values()
    assert (await supervisor.post(reset, json={"arguments": {"Confirmation": code}})).status_code == 200
    assert plant.source.stopped == set()
    assert (await supervisor.post("/api/v1/commands/Plant.Press1.Start")).status_code == 200


async def kept(plant: World, name: str, samples: list[tuple[float, float, int]]) -> int:
    """Have history keep samples (seconds, value, status) from a start on, which is returned (ticks)."""
    start = parse_time("2026-03-01T12:00:00Z")
    client = await plant.script("Observer")
    for second, value, status in samples:
        plant.put(name, value, status, start + round(second * TICKS_PER_SECOND))
    query = {"start": "2026-03-01T12:00:00Z", "end": "2026-03-02T12:00:00Z"}
    async with asyncio.timeout(10):
        while len((await get(client, f"/api/v1/history/Plant.{name}", **query))["samples"]) < len(samples):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return start


async def test_history_comes_from_the_historian(plant: World) -> None:
    client = await plant.script("Observer")
    await kept(plant, "Press1.Speed", [(0, 1.0, 0), (1, 2.0, BAD), (2.5, 3.0, 0x40900000), (3, 4.0, 0)])
    path = "/api/v1/history/Plant.Press1.Speed"
    query = {"start": "2026-03-01T12:00:00Z", "end": "2026-03-01T12:00:03Z"}
    found = await get(client, path, **query)
    assert found["complete"] is True
    assert [(it["source_timestamp"][17:23], it["value"], it["quality"]) for it in found["samples"]] == [
        ("00.000", 1.0, "good"), ("01.000", None, "bad"), ("02.500", 3.0, "uncertain"),
    ]  # fmt: skip
    newest = await get(client, path, **query, limit=1, newest_first=True)
    assert ([it["value"] for it in newest["samples"]], newest["complete"]) == ([3.0], False)
    averages = await get(
        client, "/api/v1/aggregates/Plant.Press1.Speed", **query | {"end": "2026-03-01T12:00:04Z"},
        aggregate="Maximum", seconds=2,
    )  # fmt: skip
    assert [(it["time"][17:19], it["value"]) for it in averages["intervals"]] == [("00", 1.0), ("02", 4.0)]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("history", {"start": "yesterday"}),
        ("history", {"start": "2026-03-02T00:00:00Z", "end": "2026-03-01T00:00:00Z"}),
        ("history", {"start": "2026-03-01T00:00:00Z", "end": "2026-03-01T00:00:00Z"}),
        ("history", {"end": "99999-12-31T23:59:59Z"}),
        ("history", {"limit": 0}),
        ("history", {"limit": 10**9}),
        ("aggregates", {"aggregate": "Sum"}),
        ("aggregates", {"seconds": 0}),
        ("aggregates", {"seconds": "nan"}),
        ("aggregates", {"seconds": 0.001}),
    ],
    ids=str,
)
async def test_a_wrong_question_about_history_is_a_problem(plant: World, path: str, query: dict[str, Any]) -> None:
    answer = await (await plant.script("Observer")).get(f"/api/v1/{path}/Plant.Press1.Speed", params=query)
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"]


async def test_data_is_the_last_ten_samples_of_a_machine(plant: World) -> None:
    client = await plant.script("Observer")
    await kept(plant, "Press1.Speed", [(n, float(n), 0) for n in range(20)])
    await kept(plant, "Press1.Count", [(14.5, 7, 0), (18.5, 8, BAD)])
    for name in ("Press1", "Plant.Press1"):
        found = await get(client, "/api/v1/data", machine=name)
        assert found["machine"] == "Plant.Press1"
    # what the start of the server wrote is newer than the samples of March: these are the last of all
    rows = [it for it in found["samples"] if it["time"].startswith("2026-03-01")]
    assert len(found["samples"]) == 10
    newest = to_ticks_of(found["samples"])
    assert newest == sorted(newest, reverse=True)
    for row in rows:
        speed, count = row["values"]["Speed"], row["values"]["Count"]
        assert speed["source_timestamp"] <= row["time"]
        assert count is None or count["source_timestamp"] <= row["time"]
    assert (await client.get("/api/v1/data", params={"machine": "Press9"})).status_code == 404
    assert (await client.get("/api/v1/data")).status_code == 422


def to_ticks_of(rows: list[dict[str, Any]]) -> list[int]:
    return [parse_time(it["time"]) for it in rows]


async def test_without_a_historian_it_says_so(plant: World) -> None:
    historian, plant.historian = plant.historian, None
    answer = await (await plant.script("Observer")).get("/api/v1/data", params={"machine": "Press1"})
    plant.historian = historian
    assert answer.status_code == 503
    assert "historian.enabled" in answer.json()["detail"]


async def test_the_model_and_health_are_shown(plant: World) -> None:
    client = await plant.script("Observer")
    model = await get(client, "/api/v1/model")
    shown = {it["path"] for machine in model["machines"] for it in machine["variables"]}
    assert shown == {it.path for it in plant.plant.variables}
    assert {it["path"] for it in model["conditions"]} == {it.path for it in plant.plant.conditions}
    assert {it["path"] for it in (await get(client, "/api/v1/commands"))["commands"]} == set(plant.plant.commands)
    health = await get(client, "/api/v1/health")
    assert "web" in {it["part"] for it in health["parts"]}
    assert (await client.get("/api/v1/nothing")).status_code == 404
    assert (await client.delete("/api/v1/model")).status_code == 405
    assert (await client.get("/api/v1/nothing")).headers["content-type"] == "application/problem+json"
