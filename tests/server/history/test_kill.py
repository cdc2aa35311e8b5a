"""`kill -9` in the middle of writing: whatever was acknowledged is there, in order and whole."""

import subprocess
import sys
from pathlib import Path

import pytest

from server.history.ports import ReadRequest
from tests.process_rig import CHECKOUT
from tests.server.history.history_rig import NOON, archive, bits_of, plain


def write_until_killed(folder: Path, head_rows: int, first: int, batches: int) -> int:
    """Append from batch `first` on; kill once so many are acknowledged. Returns the last one acknowledged."""
    command = [sys.executable, "-m", "tests.server.history.history_child", str(folder), str(head_rows), str(first)]
    child = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    last = -1
    try:
        for line in child.stdout:
            last = int(line)
            if last >= first + batches:
                break
    finally:
        child.kill()
        rest = [line for line in child.stdout if line.endswith("\n")]
        child.wait()
        child.stdout.close()
    return int(rest[-1]) if rest else last


@pytest.mark.parametrize("head_rows", [1 << 20, 50], ids=["in the log", "in blocks"])
def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, head_rows: int) -> None:
    last = -1
    for turn in range(3):  # each start recovers what the kill before it left
        last = write_until_killed(tmp_path, head_rows, last + 2 if turn else 0, 40)
        assert last > 0
        history = archive(tmp_path, head_rows=head_rows)
        (verdict,) = history.database.execute("PRAGMA integrity_check").fetchone()
        assert verdict == "ok"
        numbers = plain(history.read(ReadRequest(1, NOON, 2**62)))
        texts = plain(history.read(ReadRequest(2, NOON, 2**62)))
        floats = plain(history.read(ReadRequest(0, NOON, 2**62)))
        history.close()
        kept = [value for _, value, _ in numbers]
        assert last in kept
        assert kept == sorted(kept)
        assert [text for _, text, _ in texts] == [f"text {number}" for number in kept]
        assert [bits for _, bits, _ in floats] == [bits_of(float(number), history.keys[0][1]) for number in kept]
        missing = set(range(last + 1)) - set(kept)
        assert len(missing) <= turn  # the number that each turn left out on purpose, unless it was written after all
        last = max(kept)
