"""The outbox fills: a small bound, and a full disk. What is dropped is counted to the row."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server.store import now_ticks
from server.store.ticks import TICKS_PER_SECOND
from tests.gateways.influx.victoria_rig import needs_victoria
from tests.gateways.mqtt.mosquitto_rig import needs_mosquitto
from tests.process_rig import wait_until
from tests.system.outage_rig import GATEWAYS, LONG_S, Rig
from tests.system.samples import Counts

pytestmark = [needs_mosquitto, needs_victoria]

DROPPED_ROWS = 20_000  # two seconds of samples: enough to see what goes, and when
OUTBOX_BYTES = 1_048_576
JOURNAL_ROWS = 32_768
"""Three seconds: what the journal holds while the disk is full must overflow within the test."""
DISK_BYTES = 20 << 20
SERVED_S = 5.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a small tmpfs."""
    if shutil.which("mount") is None:
        pytest.skip("a small disk cannot be mounted here: there is no mount command")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.timeout(300)
def test_what_a_bounded_outbox_drops_is_counted_to_the_row(tmp_path: Path, measured: Callable[[str], None]) -> None:
    bounds = {f"PLANTREE_{gateway.upper()}__OUTBOX__MAX_BYTES": str(OUTBOX_BYTES) for gateway in GATEWAYS}
    with Rig(tmp_path, bounds) as rig:
        rig.finish()
        rig.stop_peers()
        overflow(rig)
        rig.start_peers()
        check_counts(rig, measured, "a bounded outbox")


@pytest.mark.timeout(300)
def test_a_full_disk_loses_nothing_stored_and_the_server_goes_on(
    tmp_path: Path, small_disk: Path, measured: Callable[[str], None]
) -> None:
    with Rig(tmp_path, {"PLANTREE_JOURNAL_ROWS": str(JOURNAL_ROWS)}, data=small_disk) as rig:
        rig.finish()
        rig.stop_peers()
        overflow(rig)
        free = os.statvfs(small_disk)
        measured(f"a full disk: {free.f_bavail * free.f_frsize:,} of {DISK_BYTES:,} bytes are free")
        assert any("cannot be written" in line["message"] for line in rig.server.log())
        still_serves(rig)
        rig.start_peers()
        check_counts(rig, measured, "a full disk")


def overflow(rig: Rig) -> None:
    """Wait until each gateway has dropped so many rows that it shows."""
    for gateway in GATEWAYS:
        wait_until(lambda name=gateway: rig.delivery(name).dropped > DROPPED_ROWS, f"{gateway} drops", LONG_S)


def still_serves(rig: Rig) -> None:
    """Check that a new session is let in, and that the observer still sees what happens now."""
    now = now_ticks()
    rig.dropped("mqtt")
    wait_until(lambda: rig.observers[-1].latest() > now, "the observer sees new samples", SERVED_S)
    assert now_ticks() - rig.observers[-1].latest() < SERVED_S * TICKS_PER_SECOND


def check_counts(rig: Rig, measured: Callable[[str], None], test: str) -> None:
    """Check that all that was sent, by the observer's count, is either stored or counted as dropped."""
    until = rig.finish()
    sent = rig.sent(until)
    counts: dict[str, Counts] = rig.count(sent, until)
    rig.show(measured, test, counts)
    for gateway, found in counts.items():
        assert found.lost == rig.dropped(gateway) > DROPPED_ROWS, gateway
        assert found.unsent == found.wrong == 0, gateway
        assert rig.alarmed(gateway), gateway
