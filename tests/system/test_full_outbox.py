"""The outbox fills: a small bound, and a full disk. What is dropped is counted to the row."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.store import now_ticks
from server.store.ticks import TICKS_PER_SECOND
from tests.gateways.influx.victoria_rig import needs_victoria
from tests.gateways.mqtt.mosquitto_rig import needs_mosquitto
from tests.process_rig import wait_until
from tests.system.outage_rig import GATEWAYS, Rig
from tests.system.samples import Counts

pytestmark = [needs_mosquitto, needs_victoria]

DROPPED_ROWS = 20_000  # two seconds of samples: enough to see what goes, and when
OUTBOX_BYTES = 1_048_576
JOURNAL_ROWS = 32_768
"""Three seconds: what the journal holds while the disk is full must overflow within the test."""
DISK_BYTES = 20 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a small tmpfs."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.timeout(120)
def test_what_a_bounded_outbox_drops_is_counted_to_the_row(tmp_path: Path) -> None:
    bounds = {f"PLANTREE_{gateway.upper()}__OUTBOX__MAX_BYTES": str(OUTBOX_BYTES) for gateway in GATEWAYS}
    with Rig(tmp_path, bounds) as rig:
        rig.finish(within=20)
        rig.stop_peers()
        overflow(rig)
        rig.start_peers()
        check_counts(rig, "a bounded outbox")


@pytest.mark.timeout(120)
def test_a_full_disk_loses_nothing_stored_and_the_server_goes_on(tmp_path: Path, small_disk: Path) -> None:
    with Rig(tmp_path, {"PLANTREE_JOURNAL_ROWS": str(JOURNAL_ROWS)}, data=small_disk) as rig:
        rig.finish(within=20)
        rig.stop_peers()
        overflow(rig)
        free = os.statvfs(small_disk)
        print(f"\nfree on the disk: {free.f_bavail * free.f_frsize:,} of {DISK_BYTES:,} bytes", end="")
        assert any("cannot be written" in line["message"] for line in rig.server.log())
        still_serves(rig)
        rig.start_peers()
        check_counts(rig, "a full disk")


def overflow(rig: Rig) -> None:
    """Wait until each gateway has dropped so many rows that it shows."""
    for gateway in GATEWAYS:
        wait_until(lambda name=gateway: rig.delivery(name).dropped > DROPPED_ROWS, f"{gateway} drops", 60)


def still_serves(rig: Rig) -> None:
    """Check that a new session is let in, and that the observer still sees what happens now."""
    now = now_ticks()
    rig.dropped("mqtt")
    wait_until(lambda: rig.observers[-1].latest() > now, "the observer sees new samples", 2.0)
    assert now_ticks() - rig.observers[-1].latest() < 2 * TICKS_PER_SECOND


def check_counts(rig: Rig, test: str) -> None:
    """Check that all that was sent, by the observer's count, is either stored or counted as dropped."""
    until = rig.finish(within=60)
    sent = rig.sent(until)
    counts: dict[str, Counts] = rig.count(sent, until)
    rig.show(test, counts)
    for gateway, found in counts.items():
        assert found.lost == rig.dropped(gateway) > DROPPED_ROWS, gateway
        assert found.unsent == found.wrong == 0, gateway
