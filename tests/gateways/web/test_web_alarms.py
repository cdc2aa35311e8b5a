"""Conditions, the audit trail, certificates and pictures by REST."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from web_rig import PASSWORD, World, until

from server.alarms.ports import Snapshot
from server.evidence import Detection, Evidence
from server.security.certificates import load_or_create
from server.store import from_ticks, now_ticks

FAST = "/api/v1/alarms/Plant.Press1.Fast"


async def raised(plant: World, client: httpx.AsyncClient) -> dict[str, Any]:
    plant.put("Press1.Speed", 1500.0)
    condition = plant.plant.find_condition("Plant.Press1.Fast")
    assert condition is not None
    await until(lambda: plant.alarms.state(condition).active)
    form: dict[str, Any] = (await client.get(FAST)).json()
    return form


async def test_an_alarm_is_listed_acknowledged_and_confirmed(plant: World) -> None:
    client = await plant.person("Operator")
    assert (await client.get("/api/v1/alarms")).json() == {"alarms": []}
    every = (await client.get("/api/v1/alarms", params={"all": True})).json()["alarms"]
    assert {it["condition"] for it in every} == {it.path for it in plant.plant.conditions}
    form = await raised(plant, client)
    assert form.items() >= {
        "condition": "Plant.Press1.Fast", "message": "Too fast", "severity": 700, "active": True, "acknowledged": False,
        "exceeded": ["High"], "limits": {"high": 1000.0, "high_high": 2000.0}, "input": "Plant.Press1.Speed",
    }.items()  # fmt: skip
    (listed,) = (await client.get("/api/v1/alarms")).json()["alarms"]
    assert listed["event_id"] == form["event_id"]
    body = {"event_id": form["event_id"], "comment": "seen"}
    done = await client.post(f"{FAST}/acknowledge", json=body)
    assert (done.status_code, done.json()["acknowledged"], done.json()["comment"]) == (200, True, "seen")
    assert done.json()["user"] == "operator"
    again = await client.post(f"{FAST}/acknowledge", json=body)
    assert (again.status_code, again.json()["status_name"]) == (409, "BadConditionBranchAlreadyAcked")
    assert (await client.post(f"{FAST}/confirm")).json()["confirmed"] is True
    actions = [it[2] for it in plant.audit() if it[1] == "web 127.0.0.1"]
    assert [it.partition(" ")[0].rpartition(".")[2] for it in actions][1:2] == ["Acknowledge"]
    events = (await client.get("/api/v1/alarm-events", params={"start": "2026-01-01T00:00:00Z"})).json()["alarms"]
    assert [it["event"] for it in events] == ["active", "acknowledged", "confirmed"]


async def test_an_alarm_is_shelved_and_what_is_wrong_is_refused(plant: World) -> None:
    client = await plant.person("Operator")
    await raised(plant, client)
    shelved = await client.post(f"{FAST}/shelve", json={"minutes": 10, "comment": "known"})
    assert (shelved.json()["shelving"], shelved.json()["hidden"]) == ("TimedShelved", True)
    assert 0 < shelved.json()["unshelved_in"] <= 600
    assert (await client.post(f"{FAST}/unshelve")).json()["shelving"] == "Unshelved"
    for method, body, code in (
        ("unshelve", {}, 409), ("shelve", {}, 422), ("shelve", {"minutes": 0}, 422), ("shelve", {"minutes": 1441}, 422),
        ("acknowledge", {"event_id": "xyz"}, 422), ("acknowledge", {"event_id": "abc"}, 422),
        ("acknowledge", {"event_id": "ab"}, 409), ("comment", {"comment": 5}, 422), ("explode", {}, 404),
        ("report_false_alarm", {}, 404), ("__class__", {}, 404),
    ):  # fmt: skip
        answer = await client.post(f"{FAST}/{method}", json=body)
        assert answer.status_code == code, (method, body, answer.text)
        assert answer.json()["detail"]
    assert (await client.post("/api/v1/alarms/Plant.Press1.Slow/acknowledge")).status_code == 404
    form = (await client.get(FAST)).json()
    assert (form["acknowledged"], form["shelving"]) == (False, "Unshelved")


async def test_who_may_not_acknowledge_does_not_and_it_is_audited(plant: World) -> None:
    client = await plant.script("Observer")
    await raised(plant, client)
    answer = await client.post(f"{FAST}/acknowledge")
    assert (answer.status_code, answer.json()["status_name"]) == (403, "BadUserAccessDenied")
    assert plant.audit()[-1][0::3] == ("observer", "0x801F0000")
    assert (await client.get(FAST)).json()["acknowledged"] is False


async def test_a_limit_is_an_engineer_s(plant: World) -> None:
    operator, engineer = await plant.script("Operator"), await plant.script("Engineer")
    limit = f"{FAST}/limits/high"
    assert (await operator.put(limit, json={"value": 1100.0})).status_code == 403
    assert (await engineer.put(limit, json={"value": 3000.0})).status_code == 422
    assert (await engineer.put(f"{FAST}/limits/low", json={"value": 1.0})).status_code == 404
    assert (await engineer.put(limit, json={"value": 1100.0})).json()["limits"]["high"] == 1100.0


@pytest.mark.parametrize(
    "moved", [{"high": 2500.0, "high_high": 2600.0}, {"high_high": 900.0, "high": 500.0}, {"high": 1999.0}]
)
async def test_limits_are_changed_together_though_they_pass_each_other(plant: World, moved: dict[str, float]) -> None:
    engineer = await plant.script("Engineer")
    answer = await engineer.put(f"{FAST}/limits", json={"values": moved})
    assert answer.status_code == 200, answer.text
    assert answer.json()["limits"] == {"high": 1000.0, "high_high": 2000.0} | moved
    assert answer.json()["declared_limits"] == {"high": 1000.0, "high_high": 2000.0}
    assert (answer.json()["unit"], answer.json()["configure_role"]) == ("r/min", "Engineer")


@pytest.mark.parametrize(
    ("values", "code"),
    [({"high": 1100.0, "high_high": 1100.0}, 422), ({"high": 1.0, "low": 0.0}, 404), ({"upper": 1.0}, 422), ({}, 422),
     ({"high": "x"}, 422)],
    ids=range(5),
)  # fmt: skip
async def test_of_wrong_limits_none_is_changed(plant: World, values: dict[str, object], code: int) -> None:
    engineer = await plant.script("Engineer")
    assert (await engineer.put(f"{FAST}/limits", json={"values": values})).status_code == code
    operator = await plant.script("Operator")
    assert (await operator.put(f"{FAST}/limits", json={"values": {"high": 1100.0}})).status_code == 403
    assert (await operator.get(FAST)).json()["limits"] == {"high": 1000.0, "high_high": 2000.0}


async def test_the_audit_trail_goes_on_where_a_page_ended(plant: World) -> None:
    operator, supervisor = await plant.script("Operator"), await plant.script("Supervisor")
    for value in range(5):  # several of one request have one time, and differ by their row
        body = {"values": {"Plant.Press1.Target": value, "Plant.Press2.Target": value}}
        assert (await operator.put("/api/v1/values", json=body)).status_code in (200, 207)
    query: dict[str, str | int | bool] = {"start": "2026-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}
    every = (await supervisor.get("/api/v1/audit", params=query)).json()
    assert len(every["entries"]) == 12
    assert every["next"] is None
    for newest_first in (True, False):
        paged: list[object] = []
        given = query | {"limit": 4, "newest_first": newest_first}
        while True:
            found = (await supervisor.get("/api/v1/audit", params=given)).json()
            paged += found["entries"]
            if found["next"] is None:
                break
            assert len(found["entries"]) == 4
            given["after"] = found["next"]
        assert paged == (every["entries"] if newest_first else every["entries"][::-1])
    assert (await supervisor.get("/api/v1/audit", params=query | {"after": "x"})).status_code == 422


async def test_the_audit_trail_is_for_those_who_audit(plant: World) -> None:
    operator, supervisor = await plant.script("Operator"), await plant.script("Supervisor")
    assert (await operator.put("/api/v1/values/Plant.Press1.Target", json={"value": 20.0})).status_code == 200
    assert (await operator.get("/api/v1/audit")).status_code == 403
    entries = (await supervisor.get("/api/v1/audit")).json()["entries"]
    (entry,) = [it for it in entries if it["kind"] == "write"]
    assert entry.items() >= {
        "who": "operator", "origin": "rest 127.0.0.1", "kind": "write", "action": "Plant.Press1.Target",
        "arguments": [20.0], "status": "Good", "details": {"old": 10.0},
    }.items()  # fmt: skip


async def test_a_certificate_is_trusted_by_its_thumbprint_alone(plant: World, tmp_path: Path) -> None:
    client, operator = await plant.person("SecurityAdmin"), await plant.person("Operator")
    own = await asyncio.to_thread(load_or_create, tmp_path / "client")
    der = own.certificate_file.read_bytes()
    rejected = plant.folder / "certs" / "rejected" / "scada.der"
    rejected.write_bytes(der)
    (form,) = (await client.get("/api/v1/certificates")).json()["certificates"]
    assert form["folder"] == "rejected"
    path = f"/api/v1/certificates/{form['thumbprint']}/trust"
    assert (await operator.get("/api/v1/certificates")).status_code == 403
    assert (await operator.post(path)).status_code == 403
    for wrong in (form["thumbprint"][:8], "scada", "..%2Fclient%2Fown.der", "0" * 40):
        answer = await client.post(f"/api/v1/certificates/{wrong}/trust")
        assert answer.status_code in (404, 422), wrong
    assert rejected.exists()
    assert (await client.post(path)).json()["folder"] == "trusted"
    assert (plant.folder / "certs" / "trusted" / "scada.der").read_bytes() == der
    assert ("securityadmin", "web 127.0.0.1", "TrustCertificate", "0x00000000") in plant.audit()
    assert ("operator", "web 127.0.0.1", "TrustCertificate", "0x801F0000") in plant.audit()


class Archive:
    """Pictures that a test keeps."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.reported: list[tuple[str, str, str]] = []
        detection = Detection("person", 0.9, (0.1, 0.1, 0.5, 0.5))
        files = ("x.jpg", "0" * 64, "x-clean.jpg", "0" * 64)
        self.evidence = Evidence(
            "20260301-x", "Plant.Camera1", "zone", detection, now_ticks(), "m", "0" * 64, 12.5, *files
        )

    def ids(self) -> list[str]:
        return [self.evidence.id]

    def find(self, id_: str) -> Evidence | None:
        return self.evidence if id_ == self.evidence.id else None

    def read(self, evidence: Evidence, *, clean: bool = False) -> bytes:
        if self.error is not None:
            raise self.error
        return b"\xff\xd8clean" if clean else b"\xff\xd8boxes"

    def report_false_alarm(self, id_: str, user: str, comment: str) -> Evidence:
        self.reported.append((id_, user, comment))
        return self.evidence


@pytest.mark.parametrize(("clean", "content"), [(False, b"\xff\xd8boxes"), (True, b"\xff\xd8clean")])
async def test_pictures_are_for_observers(plant: World, clean: bool, content: bytes) -> None:
    archive = Archive()
    plant.evidence.add(archive)
    client = await plant.person("Observer")
    (form,) = (await client.get("/api/v1/snapshots")).json()["snapshots"]
    assert (form["id"], form["detection"]["name"]) == ("20260301-x", "person")
    picture = await client.get(f"/api/v1/snapshots/{form['id']}", params={"clean": clean})
    assert (picture.content, picture.headers["content-type"]) == (content, "image/jpeg")
    assert (await client.get("/api/v1/snapshots/..%2F..%2Fstate.sqlite")).status_code == 404
    archive.error = FileNotFoundError()
    assert (await client.get(f"/api/v1/snapshots/{form['id']}")).status_code == 404
    archive.error = ValueError("its SHA-256 is another")
    assert (await client.get(f"/api/v1/snapshots/{form['id']}")).status_code == 503
    await plant.add_user("ulf", "AuthenticatedUser")
    stranger = await plant.stranger()
    await stranger.post("/login", json={"user": "ulf", "password": PASSWORD})
    assert (await stranger.get(f"/api/v1/snapshots/{form['id']}")).status_code == 403


async def test_a_picture_is_reported_as_a_false_alarm(plant: World) -> None:
    archive, now = Archive(), now_ticks()
    stamp = from_ticks(now).strftime("%Y%m%dT%H%M%S%f")[:-3]
    archive.evidence = replace(archive.evidence, id=f"{stamp}Z-x", camera="Plant.Press1", rule="Speed")
    plant.evidence.add(archive)
    path = f"/api/v1/snapshots/{archive.evidence.id}/false_alarm"
    operator, observer = await plant.person("Operator"), await plant.person("Observer")
    assert (await operator.post(path, json={})).status_code == 404  # no alarm has it
    condition = plant.plant.find_condition("Plant.Press1.Fast")
    assert condition is not None
    event = Snapshot(condition, event_id=b"e" * 16, time=now, active=True, evidence=archive.evidence)
    await asyncio.wrap_future(plant.alarms._database.post([event]))
    assert (await observer.post(path, json={})).status_code == 403
    assert archive.reported == []
    assert (await operator.post(path, json={"comment": "a broom"})).status_code == 204
    assert archive.reported == [(archive.evidence.id, "operator", "a broom")]
    assert ("operator", "web 127.0.0.1", "Plant.Press1.Fast.ReportFalseAlarm", "0x00000000") in plant.audit()
