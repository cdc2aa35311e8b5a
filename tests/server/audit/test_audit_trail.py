"""The audit trail on disk: both tables in one order, its bounds, databases of earlier versions, and the export."""

import asyncio
import csv
import io
import json
import sqlite3
import struct
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.audit import AuditKind, AuditRecord
from server.audit_cli import moment
from server.audit_trail import AuditTrail, key
from server.state import State

LAYOUT = [(11, ["Plant.A.X", "Plant.B.X"]), (6, ["Plant.A.N"])]


def put(state: State, time: int, values: tuple[float, float, int], olds: tuple[float, float, int]) -> None:
    number = state.new_layout(LAYOUT)
    assert number is not None
    packed, before = struct.pack("<ddi", *values), struct.pack("<ddi", *olds)
    assert state.keep_put(number, (time, "ulf", "test"), None, packed, struct.pack("<q", time), before)


async def record(state: State, time: int, action: str = "Plant.A.Start", who: str = "eva", status: int = 0) -> None:
    row = AuditRecord(time, who, "test", action, "[]", status, "", event_id=time.to_bytes(16, "big"))
    await asyncio.wrap_future(state.post_audit([row]))


async def filled(path: Path) -> State:
    """Return a state with records at 10, 20, ... and puts of three set-points at 15, 25, ... up to 100."""
    state = State(path / "state.sqlite")
    for time in range(10, 101, 10):
        await record(state, time)
        put(state, time + 5, (time, -time, time), (time - 10, 10 - time, time - 10))
    return state


async def test_records_and_set_points_come_in_one_order(tmp_path: Path) -> None:
    state = await filled(tmp_path)
    found = AuditTrail(state.path).read()
    assert [entry.time for entry in found[:8]] == [10, 15, 15, 15, 20, 25, 25, 25]
    assert [(it.action, it.arguments, it.details) for it in found[5:8]] == [
        ("Plant.A.X", [20.0], {"old": 10.0}),
        ("Plant.B.X", [-20.0], {"old": -10.0}),
        ("Plant.A.N", [20], {"old": 10}),
    ]
    assert {it.kind for it in found} == {AuditKind.WRITE, AuditKind.METHOD}
    assert len({it.event_id for it in found}) == len(found) == 40
    assert AuditTrail(state.path).read(newest_first=True) == found[::-1]
    state.close()


@pytest.mark.parametrize("newest_first", [False, True])
async def test_a_reader_goes_on_anywhere(tmp_path: Path, newest_first: bool) -> None:
    state = await filled(tmp_path)
    trail = AuditTrail(state.path)
    whole = trail.read(25, 76, newest_first=newest_first)
    assert sorted({it.time for it in whole}) == list(range(25, 76, 5))
    for place in range(len(whole)):
        rest = trail.read(25, 76, 6, newest_first=newest_first, after=key(whole[place]))
        assert rest == whole[place + 1 : place + 7]
    state.close()


async def test_what_is_too_old_goes_and_the_set_points_stay(tmp_path: Path) -> None:
    (await filled(tmp_path)).close()
    state = State(tmp_path / "state.sqlite")
    await state.prune_audit(before=60, most=10**6)
    assert min(it.time for it in AuditTrail(state.path).read()) == 60
    await state.prune_audit(before=0, most=2)
    assert {it.time for it in AuditTrail(state.path).read()} == {90, 95, 100, 105}
    assert state.setpoints()["Plant.B.X"] == (-100.0, 105)
    state.close()


async def test_what_is_not_settled_yet_is_never_removed(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite")
    put(state, 5, (1, 2, 3), (0, 0, 0))
    settled = sqlite3.connect(state.path).execute("SELECT put FROM puts_settled").fetchone()[0]
    assert settled == 0
    await state.prune_audit(before=10**6, most=10**6)
    state.close()
    assert State(tmp_path / "state.sqlite").setpoints()["Plant.A.N"] == (3, 5)


async def test_a_database_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "state.sqlite")
    old.executescript(
        """
        CREATE TABLE audit (
            id INTEGER PRIMARY KEY, time INTEGER NOT NULL, who TEXT NOT NULL, origin TEXT NOT NULL,
            action TEXT NOT NULL, arguments TEXT NOT NULL, status INTEGER NOT NULL, message TEXT NOT NULL
        ) STRICT;
        INSERT INTO audit VALUES (7, 1, 'ulf', 'test', 'Plant.A.Start', '[]', 0, '');
        CREATE TABLE put_layouts (id INTEGER PRIMARY KEY, digest TEXT NOT NULL, groups TEXT NOT NULL) STRICT;
        CREATE TABLE puts (
            id INTEGER PRIMARY KEY, time INTEGER NOT NULL, who TEXT NOT NULL, origin TEXT NOT NULL,
            action TEXT, layout INTEGER NOT NULL, vals BLOB NOT NULL, stamps BLOB NOT NULL
        ) STRICT;
        INSERT INTO put_layouts VALUES (1, 'x', '[[11, ["Plant.A.X"]]]');
        """
    )
    old.execute(
        "INSERT INTO puts VALUES (3, 2, 'eva', 'test', NULL, 1, ?, ?)", (struct.pack("<d", 4), struct.pack("<q", 2))
    )
    old.commit()
    old.close()
    state = State(tmp_path / "state.sqlite")
    found = AuditTrail(state.path).read()
    state.close()
    assert [(it.who, it.action, it.arguments, it.details) for it in found] == [
        ("ulf", "Plant.A.Start", [], {}),
        ("eva", "Plant.A.X", [4.0], {}),
    ]


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("Plant.Press1.Start", AuditKind.METHOD),
        ("Plant.Press1.Hot.Acknowledge", AuditKind.CONDITION),
        ("Acknowledge Plant.Press1.Hot", AuditKind.CONDITION),
        ("timed_shelve Plant.Press1.Hot", AuditKind.CONDITION),
        ("HistoryUpdate Plant.Press1.Speed", AuditKind.HISTORY),
    ],
)
async def test_kinds_are_told_from_actions(tmp_path: Path, action: str, kind: AuditKind) -> None:
    state = State(tmp_path / "state.sqlite")
    await record(state, 1, action)
    assert [it.kind for it in AuditTrail(state.path).read()] == [kind]
    state.close()


def export(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "server", "export", "audit", *arguments]
    environment = {"PLANTREE_DATA_DIR": str(folder), "PATH": "/usr/bin"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=50, check=False)


async def test_the_export_has_every_record(tmp_path: Path) -> None:
    state = await filled(tmp_path)
    await record(state, 200, who="=cmd()", status=0x801F0000)
    state.close()
    done = export(tmp_path)
    assert (done.returncode, done.stderr) == (0, "41 records\n")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(rows) == 41
    assert rows[0]["time"] == "1601-01-01T00:00:00.0000010Z"
    assert (rows[-1]["who"], rows[-1]["status"], rows[-1]["code"]) == ("'=cmd()", "BadUserAccessDenied", "0x801F0000")
    file = tmp_path / "trail.jsonl"
    assert export(tmp_path, str(file)).returncode == 0
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [line["action"] for line in lines] == [row["action"] for row in rows]
    assert lines[1]["old"] == 0.0
    assert export(tmp_path, "--since", "1d").stderr == "0 records\n"
    assert export(tmp_path, "--until", "1700-01-01").stderr == "41 records\n"


def test_the_export_says_what_is_wrong(tmp_path: Path) -> None:
    assert "there is no audit trail yet" in export(tmp_path).stderr
    refused = export(tmp_path, "--since", "yesterday")
    assert refused.returncode == 2
    assert "how long ago" in refused.stderr


def test_times_on_the_command_line() -> None:
    assert moment("2026-03-01") == datetime(2026, 3, 1, tzinfo=UTC)
    assert moment("2026-03-01T06:00+02:00") == datetime(2026, 3, 1, 4, tzinfo=UTC)
    assert abs(moment("90m") - (datetime.now(UTC) - timedelta(minutes=90))) < timedelta(seconds=10)
