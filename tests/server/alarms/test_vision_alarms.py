"""Alarms of cameras: the evidence of an activation, kept with it, and false alarms that are reported."""

import json
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from alarms_rig import BAD, ENGINEER, OPERATOR, ORIGIN, USER, Rig, refused, running
from asyncua.ua.status_codes import StatusCodes
from vision_alarms_rig import Camera, camera_plant

from server.evidence import Evidence, EvidenceRegister, parse, time_of
from server.store import now_ticks
from server.store.ticks import TICKS_PER_SECOND

SEEN = "M1.Seen"


async def test_an_activation_has_its_evidence_and_keeps_it_to_its_end(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    async with running(tmp_path, camera_plant(tmp_path), evidence=camera.register) as rig:
        assert rig.state(SEEN).evidence is None
        stored = await camera.sees(rig)
        raised = rig.state(SEEN)
        assert raised.active
        assert raised.time == stored.frame_time
        assert raised.evidence == stored
        await rig.alarms.acknowledge(rig.condition(SEEN), raised.event_id, "seen", OPERATOR, ORIGIN)
        await camera.loses_sight(rig)
        assert rig.state(SEEN).evidence == stored
        assert [it.evidence for it in rig.events if it.condition is rig.condition(SEEN)] == [stored] * 3


async def test_a_branch_keeps_its_own_evidence(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    async with running(tmp_path, camera_plant(tmp_path), evidence=camera.register) as rig:
        first = await camera.sees(rig)
        await camera.loses_sight(rig)
        second = await camera.sees(rig)
        assert rig.state(SEEN).evidence == second
        assert [it.evidence for it in rig.alarms.branches(rig.condition(SEEN))] == [first]


async def test_an_activation_without_an_offer_has_none_of_the_one_before(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    async with running(tmp_path, camera_plant(tmp_path), evidence=camera.register) as rig:
        await camera.sees(rig)
        await camera.loses_sight(rig)
        await rig.set(True, "M1.B")
        assert rig.state(SEEN).active
        assert rig.state(SEEN).evidence is None


async def test_a_delay_takes_what_the_input_turned_true_with(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    alarm = "\n      Seen: {kind: vision, input: B, severity: 950, on_delay: 0.05, message: Fire is seen}\n"
    async with running(tmp_path, camera_plant(tmp_path, alarm), evidence=camera.register) as rig:
        stored = await camera.sees(rig)
        await rig.until(lambda: rig.state(SEEN).active)
        assert rig.state(SEEN).evidence == stored
        assert rig.state(SEEN).time > stored.frame_time
        assert await rig.alarms.past_evidence(stored.id) == stored


async def test_a_blind_camera_changes_nothing_but_the_quality(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    async with running(tmp_path, camera_plant(tmp_path), evidence=camera.register) as rig:
        stored = await camera.sees(rig)
        await rig.set(False, "M1.B", BAD)
        assert rig.state(SEEN).active
        assert rig.state(SEEN).evidence == stored
        assert rig.state(SEEN).quality == BAD


async def test_an_alarm_that_was_disabled_is_told_with_evidence_when_it_is_enabled(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    async with running(tmp_path, camera_plant(tmp_path), evidence=camera.register) as rig:
        await rig.alarms.disable(rig.condition(SEEN), ENGINEER, ORIGIN)
        stored = await camera.sees(rig)
        assert not rig.state(SEEN).active
        await rig.alarms.enable(rig.condition(SEEN), ENGINEER, ORIGIN)
        assert rig.state(SEEN).evidence == stored


async def test_a_restart_keeps_evidence(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    async with running(tmp_path, camera_plant(tmp_path), evidence=camera.register) as rig:
        first = await camera.sees(rig)
        await camera.loses_sight(rig)
        second = await camera.sees(rig)
    rig = Rig(tmp_path, camera_plant(tmp_path))
    try:
        assert rig.state(SEEN).evidence == second
        assert [it.evidence for it in rig.alarms.branches(rig.condition(SEEN))] == [first]
        told = [it for it in await rig.alarms.history(0, 1 << 62) if it.kind_of_event == "active"]
        assert [it.evidence for it in told if it.condition is rig.condition(SEEN)] == [first, second]
    finally:
        rig.alarms.close()


def test_kill_9_keeps_evidence(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, str(Path(__file__).with_name("vision_child.py")), str(tmp_path)]
    with subprocess.Popen(
        command, cwd=root, env={"PYTHONPATH": str(root)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.kill()
        assert line.startswith("["), line + process.stdout.read()
    first, second = (parse(it) for it in json.loads(line))
    rig = Rig(tmp_path, camera_plant(tmp_path))
    try:
        assert rig.state(SEEN).evidence == second
        assert [it.evidence for it in rig.alarms.branches(rig.condition(SEEN))] == [first]
        assert Camera(tmp_path).register.read(second) == b"with boxes 2"
    finally:
        rig.alarms.close()


async def test_what_was_kept_before_there_was_evidence_is_read(tmp_path: Path) -> None:
    """Also what an edited or broken row has in its place."""
    camera = Camera(tmp_path)
    async with running(tmp_path, camera_plant(tmp_path), evidence=camera.register) as rig:
        await camera.sees(rig)
    with sqlite3.connect(tmp_path / "alarms.sqlite") as database:
        for table in ("states", "events"):
            database.execute(f"UPDATE {table} SET state = json_remove(state, '$.evidence')")  # noqa: S608
    rig = Rig(tmp_path, camera_plant(tmp_path))
    assert rig.state(SEEN).active
    assert rig.state(SEEN).evidence is None
    rig.alarms.close()
    with sqlite3.connect(tmp_path / "alarms.sqlite") as database:
        database.execute("""UPDATE states SET state = json_set(state, '$.evidence', json('{"id": "x"}'))""")
    rig = Rig(tmp_path, camera_plant(tmp_path))
    assert rig.state(SEEN).active
    assert rig.state(SEEN).evidence is None
    rig.alarms.close()


async def test_a_false_alarm_is_kept_told_and_audited(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    async with running(tmp_path, camera_plant(tmp_path), evidence=camera.register) as rig:
        stored = await camera.sees(rig)
        event_id = rig.state(SEEN).event_id
        await rig.alarms.report_false_alarm(rig.condition(SEEN), event_id, "a red jacket", OPERATOR, ORIGIN)
        told = rig.state(SEEN)
        assert (told.kind_of_event, told.comment, told.client_user) == ("false_alarm", "a red jacket", "olga")
        assert told.active, "only an acknowledgement says that somebody takes care"
        assert rig.audited[-1] == (
            "olga", ORIGIN, f"Plant.{SEEN}.ReportFalseAlarm", [event_id.hex(), "a red jacket"], 0,
        )  # fmt: skip
        marked = json.loads((tmp_path / "vision" / "false_alarms" / f"{stored.id}.json").read_text())
        assert (marked["false_alarm"]["user"], marked["false_alarm"]["comment"]) == ("olga", "a red jacket")


async def test_a_false_alarm_of_the_past_is_kept(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    async with running(tmp_path, camera_plant(tmp_path), evidence=camera.register) as rig:
        stored, condition = await camera.sees(rig), rig.condition(SEEN)
        event_id = rig.state(SEEN).event_id
        await rig.alarms.acknowledge(condition, event_id, None, OPERATOR, ORIGIN)
        await rig.alarms.confirm(condition, rig.state(SEEN).event_id, None, OPERATOR, ORIGIN)
        await camera.loses_sight(rig)
        await camera.sees(rig)
        before = len(rig.events)
        await rig.alarms.report_false_alarm(condition, event_id, None, OPERATOR, ORIGIN)
        assert (tmp_path / "vision" / "false_alarms" / f"{stored.id}.jpg").exists()
        assert len(rig.events) == before, "what is dealt with is not told again"


async def test_refusals_of_false_alarms(tmp_path: Path) -> None:
    camera = Camera(tmp_path, max_bytes=1 << 16)
    async with running(tmp_path, camera_plant(tmp_path), evidence=camera.register) as rig:
        condition = rig.condition(SEEN)
        async with refused(rig, StatusCodes.BadEventIdUnknown):
            await rig.alarms.report_false_alarm(condition, b"\0" * 16, None, OPERATOR, ORIGIN)
        stored = await camera.sees(rig)
        event_id = rig.state(SEEN).event_id
        async with refused(rig, StatusCodes.BadUserAccessDenied):
            await rig.alarms.report_false_alarm(condition, event_id, None, USER, ORIGIN)
        (tmp_path / "vision" / stored.snapshot).write_bytes(b"retouched")
        async with refused(rig, StatusCodes.BadNotReadable):
            await rig.alarms.report_false_alarm(condition, event_id, None, OPERATOR, ORIGIN)
        (tmp_path / "vision" / stored.snapshot).with_suffix(".json").unlink()
        async with refused(rig, StatusCodes.BadNotFound):
            await rig.alarms.report_false_alarm(condition, event_id, None, OPERATOR, ORIGIN)
        await camera.loses_sight(rig)
        await rig.set(True, "M1.B")
        async with refused(rig, StatusCodes.BadNotFound):
            await rig.alarms.report_false_alarm(condition, rig.state(SEEN).event_id, None, OPERATOR, ORIGIN)


def test_the_newest_offer_up_to_a_time_is_taken(tmp_path: Path) -> None:
    camera, variable = Camera(tmp_path), camera_plant(tmp_path).variable("Plant.M1.B")
    now = now_ticks()
    early, later, latest = (camera.evidence(now + seconds * TICKS_PER_SECOND) for seconds in range(3))
    for one in (early, later, latest):
        camera.register.offer(variable, one)
    assert camera.register.take(variable, now - 1) is None
    assert camera.register.take(variable, later.frame_time) == later
    assert camera.register.take(variable, later.frame_time) is None
    assert camera.register.take(variable, latest.frame_time + 5) == latest


def test_several_archives_are_one(tmp_path: Path) -> None:
    one, other = Camera(tmp_path / "one"), Camera(tmp_path / "other")
    both = EvidenceRegister()
    for camera in (one, other):
        both.add(camera.register)
    first, second = one.evidence(), other.evidence(now_ticks() + TICKS_PER_SECOND)
    assert both.ids() == [first.id, second.id]
    assert (both.find(first.id), both.find(second.id)) == (first, second)
    assert (both.read(first), both.read(second, clean=True)) == (b"with boxes 1", b"clean 1")
    assert both.report_false_alarm(second.id, "olga", "") == second
    assert both.find("20260101T000000000Z-none") is None
    with pytest.raises(KeyError):
        both.report_false_alarm("20260101T000000000Z-none", "olga", "")
    with pytest.raises(FileNotFoundError):
        both.read(replace(first, snapshot="2026-01-01/none.jpg"))


def test_an_id_says_when(tmp_path: Path) -> None:
    stored: Evidence = Camera(tmp_path).evidence()
    assert time_of(stored.id) == stored.frame_time // 10_000 * 10_000
    assert time_of("20261399T000000000Z-none") is None
    assert time_of("x") is None
