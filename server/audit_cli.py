"""`export audit`: the audit trail as CSV or JSON lines, for people and for other tools."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import argparse
import contextlib
import csv
import json
import re
import sqlite3
import sys
from collections.abc import Callable, Generator, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from asyncua import ua

from server.audit import AuditEntry
from server.audit_trail import AuditTrail
from server.settings import Settings
from server.store import to_ticks

_EXIT_OK, _EXIT_WRONG = 0, 2
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_RELATIVE = re.compile(r"(\d+)([smhdw])")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_TICKS_A_SECOND = 10_000_000
_EPOCH_S = 11_644_473_600
"""Seconds from 1601, where ticks begin, to 1970."""

_EPILOG = """\
examples:
  python -m server export audit                              everything, as CSV, on the standard output
  python -m server export audit trail.csv --since 7d         the last seven days into a file
  python -m server export audit --since 2026-03-01 --until 2026-04-01 march.csv
  python -m server export audit --since 1h --format jsonl | jq 'select(.status != "Good")'

Each line is one thing that was done, or refused: when (UTC), who, from where, what, with which arguments, the value
before (of a write), the StatusCode, and details (certificates, session ids) as JSON. It may be read while the server
runs. Records stay for as long as audit.retention_days says.
"""


def register_export(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:  # pyright: ignore[reportPrivateUsage]
    """Add `export audit`; its handler takes (arguments, settings)."""
    audit = commands.add_parser(
        "audit",
        help="the audit trail: who did what, from where, and what became of it",
        description="Write the audit trail, the oldest record first.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    audit.add_argument("file", type=Path, nargs="?", metavar="FILE", help="file to write; the standard output if none")
    audit.add_argument(
        "--since", type=moment, metavar="WHEN", help="from then on: 2026-03-01, 2026-03-01T06:00, 7d, 12h"
    )
    audit.add_argument("--until", type=moment, metavar="WHEN", help="up to then, exclusive; written alike")
    audit.add_argument(
        "--format", choices=tuple(_WRITERS), help="csv, or jsonl (one object a line); as FILE is called, csv if none"
    )
    audit.set_defaults(handler=_export)


def moment(text: str) -> datetime:
    """Return a time that is ISO 8601 (UTC unless it says otherwise) or how long ago; raises ArgumentTypeError."""
    ago = _RELATIVE.fullmatch(text.strip())
    try:
        if ago is not None:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        found = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        message = f"{text!r} is no time: write 2026-03-01, 2026-03-01T06:00 or how long ago, like 90m, 12h, 7d"
        raise argparse.ArgumentTypeError(message) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _export(args: argparse.Namespace, settings: Settings) -> int:
    database = settings.data_dir / "state.sqlite"
    if not database.exists():
        sys.stderr.write(f"error: {database}: there is no audit trail yet (setting data_dir)\n")
        return _EXIT_WRONG
    bounds = {key: to_ticks(at) for key, at in (("since", args.since), ("until", args.until)) if at is not None}
    form = args.format or (args.file.suffix.lstrip(".").lower() if args.file else "csv")
    write = _WRITERS.get(form, _write_csv)
    try:
        with _output(args.file) as stream:
            count = write(stream, AuditTrail(database).entries(**bounds))
    except sqlite3.Error as error:
        sys.stderr.write(f"error: {database}: the audit trail cannot be read: {error}\n")
        return _EXIT_WRONG
    except BrokenPipeError:  # whoever reads has had enough
        sys.stderr.close()
        return _EXIT_OK
    except OSError as error:
        sys.stderr.write(f"error: {args.file} cannot be written: {error.strerror}\n")
        return _EXIT_WRONG
    sys.stderr.write(f"{count} records\n")
    return _EXIT_OK


@contextlib.contextmanager
def _output(file: Path | None) -> Generator[TextIO]:
    if file is None:
        yield sys.stdout
        sys.stdout.flush()
    else:
        with file.open("w", encoding="utf-8", newline="") as stream:
            yield stream


def record(entry: AuditEntry) -> dict[str, Any]:
    """Return an entry as it is exported."""
    details = dict(entry.details)
    return {
        "time": _iso(entry.time),
        "who": entry.who,
        "origin": entry.origin,
        "kind": str(entry.kind),
        "action": entry.action,
        "arguments": list(entry.arguments),
        "old": details.pop("old", None),
        "status": ua.StatusCode(entry.status).name,
        "code": f"0x{entry.status:08X}",
        "message": entry.message,
        "details": details,
        "event_id": entry.event_id.hex(),
    }


def _iso(ticks: int) -> str:
    """Return ticks as ISO 8601 with all their 100 ns."""
    seconds, rest = divmod(ticks, _TICKS_A_SECOND)
    return f"{datetime.fromtimestamp(seconds - _EPOCH_S, UTC):%Y-%m-%dT%H:%M:%S}.{rest:07d}Z"


def _write_jsonl(stream: TextIO, entries: Iterable[AuditEntry]) -> int:
    count = 0
    for entry in entries:
        stream.write(json.dumps(record(entry), ensure_ascii=False) + "\n")
        count += 1
    return count


def _write_csv(stream: TextIO, entries: Iterable[AuditEntry]) -> int:
    writer, count = csv.writer(stream, lineterminator="\n"), 0
    for entry in entries:
        shown = record(entry)
        if not count:
            writer.writerow(shown)
        writer.writerow([_cell(value) for value in shown.values()])
        count += 1
    return count


def _cell(value: Any) -> Any:
    """Return what stands in a cell; text that a spreadsheet would calculate (a name that was tried) is quoted."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


_WRITERS: dict[str, Callable[[TextIO, Iterable[AuditEntry]], int]] = {"csv": _write_csv, "jsonl": _write_jsonl}
