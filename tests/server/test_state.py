"""What survives a restart and `kill -9`, on disk."""

import asyncio
import sqlite3
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from server.errors import StartError
from server.state import State

CAUSE = {"reason": "smoke", "by": "ulf", "origin": "test", "time": 5}


async def test_latches_setpoints_and_audit_are_read_back(tmp_path: Path) -> None:
    state = State(tmp_path / "new" / "state.sqlite")
    await state.latch("Plant.A", CAUSE)
    await state.latch("Plant.A", {**CAUSE, "reason": "later"})
    await state.latch("Plant.B", CAUSE)
    await state.release("Plant.B")
    await asyncio.wrap_future(state.post_setpoints([("Plant.A.x", 1.5, 7)]))
    await asyncio.wrap_future(state.post_setpoints([("Plant.A.x", 2**64 - 1, 8)]))
    await asyncio.wrap_future(state.post_setpoints([("Plant.A.y", "Grüße", 9)]))
    await asyncio.wrap_future(state.post_audit([(1, "ulf", "test", "Plant.A.Start", "[]", 0x80AB0000, "no")]))
    state.close()
    again = State(tmp_path / "new" / "state.sqlite")
    assert again.latches() == {"Plant.A": CAUSE}
    assert again.setpoints() == {"Plant.A.x": (2**64 - 1, 8), "Plant.A.y": ("Grüße", 9)}
    again.close()
    database = sqlite3.connect(tmp_path / "new" / "state.sqlite")
    assert database.execute("SELECT who, status FROM audit").fetchall() == [("ulf", 0x80AB0000)]
    database.close()


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    State(tmp_path / "state.sqlite").close()
    assert stat.S_IMODE((tmp_path / "state.sqlite").stat().st_mode) == 0o600


def test_a_latch_survives_a_kill(tmp_path: Path) -> None:
    program = (
        "import asyncio, os, signal, sys\nfrom pathlib import Path\nfrom server.state import State\n"
        "async def main():\n"
        "    await State(Path(sys.argv[1])).latch('Plant.A', {'reason': 'smoke'})\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    file = tmp_path / "state.sqlite"
    killed = subprocess.run([sys.executable, "-c", program, file], timeout=20, check=False)
    assert killed.returncode == -9
    state = State(file)
    assert state.latches() == {"Plant.A": {"reason": "smoke"}}
    state.close()


GROUPS = [(11, ["Plant.A.x", "Plant.A.y"]), (6, ["Plant.A.n"])]
VALUES = struct.pack("<ddi", 1.5, 2.5, 7)


def test_what_is_kept_at_once_survives_a_kill(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom server.state import State\n"
        "state = State(Path(sys.argv[1]))\n"
        f"layout = state.new_layout({GROUPS!r})\n"
        f"assert state.keep_put(layout, (1, 'ulf', 'test'), None, {VALUES!r}, (9).to_bytes(8, 'little'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    file = tmp_path / "state.sqlite"
    killed = subprocess.run([sys.executable, "-c", program, file], timeout=20, check=False)
    assert killed.returncode == -9
    state = State(file)
    assert state.setpoints() == {"Plant.A.x": (1.5, 9), "Plant.A.y": (2.5, 9), "Plant.A.n": (7, 9)}
    state.close()


async def test_the_newer_of_two_writes_holds_whichever_is_committed_first(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite")
    layout = state.new_layout(GROUPS)
    assert layout is not None
    assert state.keep_put(layout, (1, "ulf", "test"), None, VALUES, (9).to_bytes(8, "little"))
    await asyncio.wrap_future(state.post_setpoints([("Plant.A.x", 4.5, 3)]))
    assert state.setpoints()["Plant.A.x"] == (4.5, 3)
    assert state.keep_put(layout, (2, "ulf", "test"), None, VALUES, (10).to_bytes(8, "little"))
    assert state.setpoints()["Plant.A.x"] == (1.5, 10)
    state.close()


def test_a_busy_database_keeps_nothing_at_once_and_says_so(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite")
    layout = state.new_layout(GROUPS)
    assert layout is not None
    other = sqlite3.connect(tmp_path / "state.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert not state.keep_put(layout, (1, "ulf", "test"), None, VALUES, (9).to_bytes(8, "little"))
    other.execute("ROLLBACK")
    assert state.keep_put(layout, (1, "ulf", "test"), None, VALUES, (9).to_bytes(8, "little"))
    assert other.execute("SELECT count(*) FROM puts").fetchone() == (1,)
    other.close()
    state.close()


@pytest.mark.parametrize("kind", ["a folder", "no database", "a file in the way"])
def test_where_it_cannot_be_kept_the_server_does_not_start(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "state.sqlite"
    if kind == "a folder":
        file.mkdir()
    elif kind == "no database":
        file.write_bytes(b"not a database, but long enough to be taken for one" * 40)
    else:
        (tmp_path / "x").write_text("")
        file = tmp_path / "x" / "state.sqlite"
    with pytest.raises(StartError, match=r"state\.sqlite: the state cannot be kept here: ") as caught:
        State(file)
    assert "\n" not in str(caught.value)
