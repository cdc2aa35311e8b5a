"""Conditions, the audit trail, certificates and pictures by REST."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from web_rig import PASSWORD, World, until

from server.evidence import Detection, Evidence
from server.security.certificates import load_or_create
from server.store import now_ticks

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
    assert [it.partition(" ")[0].rpartition(".")[2] for it in actions][:1] == ["Acknowledge"]
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


async def test_the_audit_trail_is_for_those_who_audit(plant: World) -> None:
    operator, supervisor = await plant.script("Operator"), await plant.script("Supervisor")
    assert (await operator.put("/api/v1/values/Plant.Press1.Target", json={"value": 20.0})).status_code == 200
    assert (await operator.get("/api/v1/audit")).status_code == 403
    (entry,) = (await supervisor.get("/api/v1/audit")).json()["entries"]
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
        raise NotImplementedError


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
