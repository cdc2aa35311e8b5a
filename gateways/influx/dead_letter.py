"""Lines that the database will never take, kept for people to look at: bounded, the newest stay."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

FILE = "rejected.jsonl"
OLDER = "rejected.1.jsonl"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line, and why it was refused."""

    line: str
    reason: str


class DeadLetters:
    """Two files in a folder, `rejected.jsonl` and the one before it, each of at most half of `max_bytes`."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.file = folder / FILE
        self._older = folder / OLDER
        self._most = max_bytes // 2

    def add(self, rejected: Sequence[Rejected]) -> None:
        """Append lines, one JSON object each; raises OSError."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        for start in range(0, len(rejected), 1000):
            part = rejected[start : start + 1000]
            records = [{"time": time, "reason": one.reason, "line": one.line} for one in part]
            text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
            self._append(text.encode("utf-8", "replace"))

    def _append(self, data: bytes) -> None:
        held = self.file.stat().st_size if self.file.exists() else 0
        if held and held + len(data) > self._most:
            self.file.replace(self._older)
        with self.file.open("ab") as file:
            file.write(data[-self._most :])
