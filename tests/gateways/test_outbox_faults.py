"""The outbox when its process is killed in the middle of its work, and when its disk is full."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateways.outbox_child import BATCH
from tests.gateways.outbox_rig import numbers, on_disk, open_outbox, plant

ROOT = Path(__file__).parents[2]


def child(*arguments: str | Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.gateways.outbox_child", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("kill_after", [1, 23, 61])
async def test_kill_9_loses_nothing_that_was_confirmed_and_repeats_nothing(tmp_path: Path, kill_after: int) -> None:
    process = child("fill", tmp_path)
    assert process.stdout is not None
    confirmed: list[int] = []
    with process:
        for line in process.stdout:
            confirmed.append(int(line))
            if len(confirmed) == kill_after:
                process.kill()
    assert len(confirmed) >= kill_after
    outbox = open_outbox(tmp_path, plant(tmp_path))
    entries = await outbox.peek(max_rows=1 << 40)
    found = Counter(numbers(entries))
    assert set(confirmed) <= set(found)
    assert set(found.values()) == {BATCH}, "whole batches, each once"
    assert list(found) == sorted(found)
    assert all(entry.historical for entry in entries)
    assert (outbox.rows, outbox.dropped) == (len(found) * BATCH, 0)
    await outbox.close()
    assert on_disk(tmp_path) == (len(found) * BATCH, 0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 8 MiB."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", tmp_path], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_a_full_disk_keeps_what_is_there_and_takes_more_once_it_is_delivered(small_disk: Path) -> None:
    with child("full", small_disk) as process:
        output, _ = process.communicate(timeout=50)
    assert process.returncode == 0, output
    assert "full after" in output
    assert output.endswith("done\n")


@pytest.mark.skipif(os.name == "nt", reason="no limits on file sizes")
def test_a_file_that_may_not_grow_keeps_what_is_there(tmp_path: Path) -> None:
    with child("limited", tmp_path) as process:
        output, _ = process.communicate(timeout=50)
    assert process.returncode == 0, output
    assert "full after" in output
    assert output.endswith("done\n")
