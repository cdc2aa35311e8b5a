"""Evidence: whole or not at all, kept for as long as configured, and honest about a full disk."""

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from server.evidence import Detection, Evidence
from server.store import now_ticks
from sources.vision.draw import annotated, jpeg
from sources.vision.evidence import Archive, EvidenceStore, evidence_id
from sources.vision.settings import EvidenceSettings

SEEN = Detection("fire", 0.9, (0.1, 0.2, 0.3, 0.4), "fire")
HOUR = 36_000_000_000


def described(rule: str = "Fire", time: int | None = None) -> Evidence:
    taken = now_ticks() if time is None else time
    id_ = evidence_id("Plant.Camera1", rule, taken)
    return Evidence(id_, "Plant.Camera1", rule, SEEN, taken, "fire", "ab" * 32, 12.5, "", "", "", "")


def settings_of(**more: object) -> EvidenceSettings:
    return EvidenceSettings.model_validate({"min_free": 0, **more})


def test_what_is_stored_is_read_back(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path, settings_of())
    stored = store.store(described(), b"with boxes", b"clean")
    archive = Archive(tmp_path)
    assert archive.ids() == [stored.id]
    found = archive.find(stored.id)
    assert found == stored
    assert archive.read(stored) == b"with boxes"
    assert archive.read(stored, clean=True) == b"clean"
    assert stored.snapshot_sha256 == hashlib.sha256(b"with boxes").hexdigest()
    assert EvidenceStore(tmp_path, settings_of()).status().items == 1, "found again after a restart"


def test_changed_pictures_are_noticed(tmp_path: Path) -> None:
    stored = EvidenceStore(tmp_path, settings_of()).store(described(), b"with boxes", b"clean")
    (tmp_path / stored.snapshot).write_bytes(b"retouched")
    with pytest.raises(ValueError, match="not as it was stored"):
        Archive(tmp_path).read(stored)


@pytest.mark.parametrize("id_", ["../../etc/passwd", "", "20260101T000000000Z-../x", "20260101T000000000Z-none"])
def test_what_is_no_id_finds_nothing(tmp_path: Path, id_: str) -> None:
    assert Archive(tmp_path).find(id_) is None


def test_the_oldest_go_where_there_is_too_much(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path, settings_of(max_bytes=1 << 16))
    stored = [store.store(described(time=now_ticks() + n * HOUR), bytes(20_000), b"") for n in range(5)]
    assert Archive(tmp_path).ids() == [one.id for one in stored[-3:]]
    assert store.status().bytes <= 1 << 16
    assert not (tmp_path / stored[0].snapshot).exists()


def test_the_old_go(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path, settings_of(max_age=1))
    old = store.store(described("Old"), b"a", b"b")
    two_days_ago = (tmp_path / old.snapshot).stat().st_mtime - 2 * 86_400
    os.utime((tmp_path / old.snapshot).with_suffix(".json"), (two_days_ago, two_days_ago))
    store = EvidenceStore(tmp_path, settings_of(max_age=1))
    new = store.store(described("New"), b"a", b"b")
    assert Archive(tmp_path).ids() == [new.id]


def test_what_a_crash_left_half_done_goes(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path, settings_of())
    stored = store.store(described(), b"a", b"b")
    (tmp_path / stored.snapshot).with_suffix(".json").unlink()
    (tmp_path / stored.snapshot).with_suffix(".jpg.part").write_bytes(b"half")
    assert EvidenceStore(tmp_path, settings_of()).status().items == 0
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_a_description_whose_pictures_a_crash_took_goes(tmp_path: Path) -> None:
    stored = EvidenceStore(tmp_path, settings_of()).store(described(), b"a", b"b")
    (tmp_path / stored.clean).unlink()
    assert EvidenceStore(tmp_path, settings_of()).status().items == 0
    assert Archive(tmp_path).ids() == []


def test_on_a_full_disk_the_oldest_evidence_goes_first(small_disk: Path) -> None:
    store = EvidenceStore(small_disk, settings_of())
    stored = [store.store(described(time=now_ticks() + n * HOUR), bytes(50_000), bytes(1000)) for n in range(8)]
    left = Archive(small_disk).ids()
    assert 0 < len(left) < 8
    assert left[-1] == stored[-1].id
    assert Archive(small_disk).read(stored[-1]) == bytes(50_000)


def test_a_disk_that_others_filled_is_an_error_that_ends(small_disk: Path) -> None:
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(1 << 20))
    store = EvidenceStore(small_disk, settings_of())
    with pytest.raises(OSError, match="No space") as raised:
        store.store(described(), bytes(50_000), b"")
    assert raised.value.errno == errno.ENOSPC
    assert "cannot be stored" in store.status().error
    assert list(small_disk.rglob("*.jp*g")) == [], "nothing half done is left"
    filler.unlink()
    store.store(described(), bytes(50_000), b"")
    assert store.status().error == ""


def test_a_full_disk_is_noticed_before_an_alarm_needs_it(small_disk: Path) -> None:
    store = EvidenceStore(small_disk, settings_of())
    store.look_after()
    assert store.status().error == ""
    assert list(small_disk.rglob("*")) == [], "nothing is left of the attempt"
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(1 << 20))
    store.look_after()
    assert "No space left" in store.status().error
    filler.unlink()
    store.look_after()
    assert store.status().error == ""


def test_a_disk_that_is_full_of_evidence_has_room_for_more(small_disk: Path) -> None:
    store = EvidenceStore(small_disk, settings_of())
    stored = store.store(described(), bytes(100_000), bytes(100_000))
    store.look_after()
    assert store.status().error == ""
    assert Archive(small_disk).ids() == [stored.id], "to find out removes nothing"


def test_a_folder_that_cannot_be_is_an_error_until_it_can(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = EvidenceStore(tmp_path / "file" / "evidence", settings_of())
    assert "cannot be stored" in store.status().error
    with pytest.raises(OSError, match="Not a directory"):
        store.store(described(), b"a", b"b")
    (tmp_path / "file").unlink()
    store.store(described(), b"a", b"b")
    assert store.status().error == ""


def test_space_is_left_to_others(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path, settings_of(min_free=1 << 60))
    with pytest.raises(OSError, match="No space"):
        store.store(described(), b"a", b"b")


def test_a_false_alarm_is_kept_for_good(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path, settings_of(max_bytes=1 << 16))
    archive = Archive(tmp_path)
    false = store.store(described("False"), b"boxes", b"clean")
    archive.report_false_alarm(false.id, "operator", "sunset")
    for number in range(4):
        store.store(described(time=now_ticks() + (number + 1) * HOUR), bytes(30_000), b"")
    assert false.id not in archive.ids()
    assert archive.find(false.id) == false
    assert archive.read(false, clean=True) == b"clean"
    said = json.loads((tmp_path / "false_alarms" / f"{false.id}.json").read_text())["false_alarm"]
    assert (said["user"], said["comment"]) == ("operator", "sunset")
    with pytest.raises(KeyError):
        archive.report_false_alarm("20260101T000000000Z-none", "operator", "")


def test_a_process_killed_while_it_writes_leaves_only_whole_evidence(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.sources.vision.test_vision_evidence import *\n"
        "store = EvidenceStore(Path(sys.argv[1]), settings_of())\n"
        "for n in range(10**6): store.store(described(time=now_ticks() + n * HOUR), bytes(50_000), b'c'); print(n)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    while writer.stdout.readline() != "5\n":
        assert writer.poll() is None
    writer.kill()
    writer.wait()
    writer.stdout.close()
    archive = Archive(tmp_path)
    EvidenceStore(tmp_path, settings_of())
    assert len(archive.ids()) >= 6
    for id_ in archive.ids():
        found = archive.find(id_)
        assert found is not None
        assert len(archive.read(found)) == 50_000


def test_the_drawn_picture_shows_the_decisive_box_and_the_other_stays_as_it_was() -> None:
    picture = np.full((200, 300, 3), 100, np.uint8)
    drawn = annotated(picture, [SEEN], SEEN, [[(0.5, 0.5), (0.9, 0.5), (0.7, 0.9)]], "Camera é")
    assert (picture == 100).all()
    assert (drawn[60, 30] == (40, 40, 230)).all()
    assert (drawn[100, 200] == (0, 215, 255)).all()
    assert cv2.imdecode(np.frombuffer(jpeg(drawn, 90), np.uint8), cv2.IMREAD_COLOR).shape == picture.shape
