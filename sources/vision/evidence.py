"""Evidence on the disk: two pictures and a description of each alarm, kept for as long as age and size allow.

`DAY/ID.jpg` has boxes, `DAY/ID.clean.jpg` has none, `DAY/ID.json` is written last: without it the others do not count.
Pictures of false alarms are kept apart in `false_alarms/`, and no retention touches them.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from server.evidence import Evidence, parse
from server.security.files import sync_folder
from server.store import from_ticks
from sources.vision.ports import StorageStatus
from sources.vision.settings import EvidenceSettings

FALSE_ALARMS = "false_alarms"
_ID = re.compile(r"\d{8}T\d{9}Z-[A-Za-z0-9_.-]{1,200}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_LONGEST = 150  # characters of camera and rule in an id
_SECONDS_PER_DAY = 86_400.0
_PROBE, _PROBE_BYTES = ".probe", 1 << 16


def evidence_id(camera: str, rule: str, frame_time: int) -> str:
    """Return the name of an alarm's evidence, also that of its files: time, camera and rule."""
    moment = from_ticks(frame_time)
    clean = _plain(f"{camera}.{rule}")[:_LONGEST]
    return f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}Z-{clean}"


def _plain(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]", "_", path)


def _day(id_: str) -> str:
    return f"{id_[:4]}-{id_[4:6]}-{id_[6:8]}"


@dataclass(frozen=True, slots=True)
class _Item:
    id: str
    bytes: int
    stored: float


class EvidenceStore:
    """The one writer of an evidence folder; a folder that cannot be is an error in `status`, and tried again."""

    def __init__(self, folder: Path, settings: EvidenceSettings) -> None:
        self.folder = folder
        self.quality = settings.quality
        """Of the JPEG pictures, 1 to 100."""
        self._settings = settings
        self._error = ""
        self._items: deque[_Item] = deque()
        self._bytes = 0
        self._opened = False
        with contextlib.suppress(OSError):  # `status` has it
            self._open()

    def _open(self) -> None:
        """Make the folder and see what is in it, once."""
        if self._opened:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._items = deque(sorted(self._scan(), key=lambda item: item.id))
        except OSError as error:
            self._fail(error)
            raise
        self._bytes = sum(item.bytes for item in self._items)
        self._opened = True

    def _fail(self, error: OSError) -> None:
        self._error = f"evidence cannot be stored in {self.folder}: {error.strerror or error}"

    @property
    def error(self) -> str:
        """What keeps evidence from being stored, empty for nothing."""
        return self._error

    def status(self) -> StorageStatus:
        """Return how the evidence is kept."""
        try:
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            return StorageStatus(self._error or str(error), self._bytes, len(self._items), 0)
        return StorageStatus(self._error, self._bytes, len(self._items), free)

    def store(self, evidence: Evidence, with_boxes: bytes, clean: bytes) -> Evidence:
        """Write both pictures and the description, and wait until they are on the disk; return it with names and sums.

        The oldest evidence goes where there is no room. Raises OSError when there is none even so.
        """
        base = f"{_day(evidence.id)}/{evidence.id}"
        complete = replace(
            evidence,
            snapshot=f"{base}.jpg",
            snapshot_sha256=hashlib.sha256(with_boxes).hexdigest(),
            clean=f"{base}.clean.jpg",
            clean_sha256=hashlib.sha256(clean).hexdigest(),
        )
        described = json.dumps(asdict(complete), indent=1).encode()
        files = {complete.snapshot: with_boxes, complete.clean: clean, f"{base}.json": described}
        size = sum(len(data) for data in files.values())
        try:
            self._open()
            self._make_room(size)
            self._write_all(files)
        except OSError as error:
            self._fail(error)
            raise
        self._error = ""
        self._items.append(_Item(evidence.id, size, time.time()))
        self._bytes += size
        self.prune()
        return complete

    def prune(self) -> int:
        """Remove what is too old or too much, the oldest first; return how many went. `status` has what went wrong."""
        oldest = time.time() - self._settings.max_age * _SECONDS_PER_DAY
        gone = 0
        try:
            while self._items and (self._items[0].stored < oldest or self._bytes > self._settings.max_bytes):
                self._remove_oldest()
                gone += 1
        except OSError as error:
            self._error = f"old evidence cannot be removed from {self.folder}: {error.strerror or error}"
        return gone

    def look_after(self) -> None:
        """Prune, and find out whether evidence can be written, before an alarm needs it; `status` has the answer."""
        probe = self.folder / _PROBE
        try:
            self._open()
            if not self._items and shutil.disk_usage(self.folder).free < self._settings.min_free + _PROBE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            try:
                _write(probe, bytes(_PROBE_BYTES))
            except OSError as error:
                # With evidence to remove, an alarm will find room.
                if error.errno not in {errno.ENOSPC, errno.EDQUOT} or not self._items:
                    raise
            finally:
                probe.unlink(missing_ok=True)
        except OSError as error:
            self._fail(error)
            return
        self._error = ""
        self.prune()

    def _make_room(self, size: int) -> None:
        needed = size + self._settings.min_free
        while shutil.disk_usage(self.folder).free < needed:
            if not self._items:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._remove_oldest()

    def _write_all(self, files: dict[str, bytes]) -> None:
        """Write files, each whole or not at all; with a full disk, the oldest evidence goes and it is tried again."""
        while True:
            try:
                for name, data in files.items():
                    _write(self.folder / name, data)
                day = (self.folder / next(iter(files))).parent
                sync_folder(day)
                sync_folder(self.folder)  # the day may be new
            except OSError as error:
                for name in files:
                    (self.folder / name).unlink(missing_ok=True)
                if error.errno not in {errno.ENOSPC, errno.EDQUOT} or not self._items:
                    raise
                self._remove_oldest()
            else:
                return

    def _remove_oldest(self) -> None:
        item = self._items.popleft()
        self._bytes -= item.bytes
        base = self.folder / _day(item.id) / item.id
        for suffix in (".json", ".jpg", ".clean.jpg"):
            base.with_name(base.name + suffix).unlink(missing_ok=True)
        if not any(base.parent.iterdir()):
            base.parent.rmdir()

    def _scan(self) -> Iterator[_Item]:
        """Find what is there; what is not complete was never finished, and goes."""
        for day in self.folder.iterdir():
            if not _DAY.fullmatch(day.name):
                continue
            names = {file.name for file in day.iterdir()}
            for file in list(day.iterdir()):
                id_ = re.sub(r"(\.clean)?\.(jpg|json)(\.part)?$", "", file.name)
                if not {f"{id_}.json", f"{id_}.jpg", f"{id_}.clean.jpg"} <= names or file.suffix == ".part":
                    file.unlink(missing_ok=True)
                elif file.suffix == ".json":
                    parts = (file, day / f"{id_}.jpg", day / f"{id_}.clean.jpg")
                    size = sum(part.stat().st_size for part in parts if part.exists())
                    yield _Item(id_, size, file.stat().st_mtime)


class Archive:
    """Reads an evidence folder that another process writes: what the tree and HTTP show of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def ids(self) -> list[str]:
        """Return what there is, oldest first."""
        return sorted(file.stem for file in self.folder.glob("????-??-??/*.json"))

    def newest(self, camera: str, count: int) -> list[str]:
        """Return the ids of a camera's newest, newest first, at most `count`."""
        found: list[str] = []
        start = f"{_plain(camera)}."[:_LONGEST]
        for day in sorted(self.folder.glob("????-??-??"), reverse=True):
            own = [file.stem for file in day.glob("*.json") if file.stem.partition("-")[2].startswith(start)]
            found += sorted(own, reverse=True)
            if len(found) >= count:
                break
        return found[:count]

    def size(self, evidence: Evidence, *, clean: bool = False) -> int:
        """Return a picture's size in bytes; raises FileNotFoundError once retention took it."""
        return self._file(evidence, clean=clean).stat().st_size

    def _file(self, evidence: Evidence, *, clean: bool) -> Path:
        """Return where a picture is; the copy for training outlives the other."""
        name = evidence.clean if clean else evidence.snapshot
        file = self.folder / name
        return file if file.exists() else self.folder / FALSE_ALARMS / file.name

    def find(self, id_: str) -> Evidence | None:
        """Return the evidence with this id; None where there is none (any more), or the id is none."""
        if not _ID.fullmatch(id_):
            return None
        for folder in (self.folder / _day(id_), self.folder / FALSE_ALARMS):
            try:
                return parse(json.loads((folder / f"{id_}.json").read_text(encoding="utf-8")))
            except FileNotFoundError:
                continue
        return None

    def read(self, evidence: Evidence, *, clean: bool = False) -> bytes:
        """Return a picture's bytes; raises FileNotFoundError once retention took it, ValueError if it was changed."""
        file = self._file(evidence, clean=clean)
        data = file.read_bytes()
        if hashlib.sha256(data).hexdigest() != (evidence.clean_sha256 if clean else evidence.snapshot_sha256):
            raise ValueError(f"{file} is not as it was stored")
        return data

    def report_false_alarm(self, id_: str, user: str, comment: str) -> Evidence:
        """Keep the pictures of a false alarm for training, with who said so; raises KeyError, OSError."""
        evidence = self.find(id_)
        if evidence is None:
            raise KeyError(id_)
        folder = self.folder / FALSE_ALARMS
        folder.mkdir(exist_ok=True)
        for clean, name in ((False, evidence.snapshot), (True, evidence.clean)):
            _write(folder / Path(name).name, self.read(evidence, clean=clean))
        marked = {**asdict(evidence), "false_alarm": {"user": user, "comment": comment, "at": time.time()}}
        _write(folder / f"{id_}.json", json.dumps(marked, indent=1).encode())
        sync_folder(folder)
        return evidence


def _write(file: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all; its name is on the disk once its folder is synced."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    try:
        with part.open("wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(file)
    except OSError:
        part.unlink(missing_ok=True)
        raise
