"""What the embedded historian could have been kept in: SQLite rows, DuckDB, Parquet files, and what it is kept in.

`python -m bench.history_backends` writes the same values to each, kills each, and prints the table of docs/adr/0007.
DuckDB is no dependency: `pip install duckdb` in an environment of your own adds its row.
"""

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from address_space.model import BuiltinType
from bench.report import console, number, table
from server.history.archive import Archive
from server.history.head import Rows
from server.history.ports import ReadRequest, Samples

VARIABLES = 10_000
ROWS = 40_000  # a batch: each variable four times, then it has to be on the disk
READS = 20
_START = 133_500_000_000_000_000
_LOG = "SELECT coalesce(max(stamp), 0) FROM samples"


class Backend(Protocol):
    """What each can do; `read` returns how many rows a variable has, all of them taken into numpy."""

    def append(self, numbers: Any, stamps: Any, values: Any, statuses: Any) -> None:
        """Keep a batch; returns once it is on the disk."""
        ...

    def read(self, variable: int) -> int:
        """Read one variable from its first sample to its last."""
        ...

    def close(self) -> None:
        """Tidy up as a server would now and then, and close."""
        ...


class Ours:
    """Blocks of columns by variable in SQLite, and a log of what is not in blocks yet."""

    def __init__(self, folder: Path) -> None:
        keys = [(f"Plant.V{number}", BuiltinType.Double) for number in range(VARIABLES)]
        self._archive = Archive(folder / "history.sqlite", keys)

    def append(self, numbers: Any, stamps: Any, values: Any, statuses: Any) -> None:
        """Keep a batch."""
        samples = Samples(stamps, values.view(np.uint64), statuses)
        self._archive.append(Rows(self._archive.numbers[numbers], samples, {}))

    def read(self, variable: int) -> int:
        """Read one variable."""
        return len(self._archive.read(ReadRequest(variable, 0, 2**62)))

    def close(self) -> None:
        """Make blocks of all."""
        self._archive.seal()
        self._archive.close()


class SqliteRows:
    """One row a sample, by variable and time."""

    def __init__(self, folder: Path) -> None:
        self._database = sqlite3.connect(folder / "rows.sqlite", isolation_level=None)
        self._database.executescript(
            """PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
            CREATE TABLE IF NOT EXISTS samples (number INTEGER, stamp INTEGER, value REAL, status INTEGER,
            PRIMARY KEY (number, stamp)) WITHOUT ROWID"""
        )

    def append(self, numbers: Any, stamps: Any, values: Any, statuses: Any) -> None:
        """Keep a batch."""
        rows = zip(numbers.tolist(), stamps.tolist(), values.tolist(), statuses.tolist(), strict=True)
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany("INSERT OR REPLACE INTO samples VALUES (?, ?, ?, ?)", rows)
        self._database.execute("COMMIT")

    def read(self, variable: int) -> int:
        """Read one variable."""
        sql = "SELECT stamp, value, status FROM samples WHERE number = ? ORDER BY stamp"
        return len(np.array(self._database.execute(sql, (variable,)).fetchall()))

    def close(self) -> None:
        """Empty the write-ahead log."""
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._database.close()


class DuckDb:
    """A table of DuckDB, a transaction a batch."""

    def __init__(self, folder: Path) -> None:
        import duckdb  # noqa: PLC0415  # pyright: ignore[reportMissingImports]

        self._database: Any = duckdb.connect(str(folder / "history.duckdb"))
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS samples (number INTEGER, stamp BIGINT, value DOUBLE, status UINTEGER)"
        )

    def append(self, numbers: Any, stamps: Any, values: Any, statuses: Any) -> None:
        """Keep a batch."""
        batch = pa.table({"number": numbers, "stamp": stamps, "value": values, "status": statuses})
        self._database.register("batch", batch)
        self._database.execute("INSERT INTO samples SELECT number, stamp, value, status FROM batch")
        self._database.unregister("batch")

    def read(self, variable: int) -> int:
        """Read one variable."""
        sql = "SELECT stamp, value, status FROM samples WHERE number = ? ORDER BY stamp"
        return len(self._database.execute(sql, [variable]).fetchnumpy()["stamp"])

    def close(self) -> None:
        """Empty the write-ahead log."""
        self._database.execute("CHECKPOINT")
        self._database.close()


class Parquet:
    """A file a batch, sorted by variable, made whole and then renamed; every 25 are put together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "parquet"
        self._folder.mkdir(exist_ok=True)
        self._count = len(list(self._folder.glob("*.parquet")))
        self._new: list[Path] = []

    def append(self, numbers: Any, stamps: Any, values: Any, statuses: Any) -> None:
        """Keep a batch."""
        order = np.lexsort((stamps, numbers))
        columns = {"number": numbers[order], "stamp": stamps[order], "value": values[order], "status": statuses[order]}
        self._new.append(self._write(pa.table(columns)))
        if len(self._new) == 25:
            self._put_together()

    def read(self, variable: int) -> int:
        """Read one variable."""
        found = pq.read_table(self._folder, filters=[("number", "=", variable)])
        return len(np.sort(found.column("stamp").to_numpy()))

    def close(self) -> None:
        """Put the last files together."""
        if self._new:
            self._put_together()

    def _put_together(self) -> None:
        whole = pa.concat_tables([pq.read_table(file) for file in self._new])
        self._write(whole.sort_by([("number", "ascending"), ("stamp", "ascending")]))
        for file in self._new:
            file.unlink()
        self._new.clear()

    def _write(self, rows: pa.Table) -> Path:
        self._count += 1
        file = self._folder / f"{self._count:08d}.parquet"
        partial = file.with_suffix(".new")
        with partial.open("wb") as target:
            pq.write_table(rows, target, compression="zstd", row_group_size=65_536)
            target.flush()
            os.fsync(target.fileno())
        partial.rename(file)
        folder = os.open(self._folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        return file


BACKENDS: dict[str, Callable[[Path], Backend]] = {
    "blocks in SQLite (chosen)": Ours, "SQLite rows": SqliteRows, "DuckDB": DuckDb, "Parquet files": Parquet,
}  # fmt: skip


def batches(count: int) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Yield random walks with three decimals, 20 Hz, times that waver by 100 µs."""
    rng = np.random.default_rng(1)
    walk = rng.normal(size=VARIABLES) * 10 + 50
    numbers = np.tile(np.arange(VARIABLES, dtype=np.int32), ROWS // VARIABLES)
    late = np.repeat(np.arange(ROWS // VARIABLES), VARIABLES)
    for turn in range(count):
        walk = np.round(walk + rng.normal(size=VARIABLES) * 0.1, 3)
        values = np.round(np.tile(walk, ROWS // VARIABLES) + late * 0.001, 3)
        stamps = _START + (late + turn * (ROWS // VARIABLES)) * 500_000 + rng.integers(0, 1000, ROWS)
        yield numbers, stamps.astype(np.int64), values, np.zeros(ROWS, np.uint32)


def measure(name: str, folder: Path, rows: int) -> list[str]:
    """Return a line of the table."""
    backend = BACKENDS[name](folder)
    start = time.perf_counter()
    taken = 0.0
    for batch in batches(rows // ROWS):
        start = time.perf_counter()
        backend.append(*batch)
        taken += time.perf_counter() - start
    start = time.perf_counter()
    backend.close()
    taken += time.perf_counter() - start
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    backend = BACKENDS[name](folder)
    start = time.perf_counter()
    for variable in range(0, VARIABLES, VARIABLES // READS):
        found = backend.read(variable)
        assert found == rows // VARIABLES, f"{name}: {found} rows"
    read = (time.perf_counter() - start) / READS
    backend.close()
    return [name, number(rows / taken), number(1000 * read), number(size / rows)]


def kill(name: str, folder: Path) -> str:
    """Kill a process that writes, after ten batches that it said were kept; return what was found after."""
    command = [sys.executable, "-m", "bench.history_backends", "--write", name, str(folder)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    last = 0
    for line in child.stdout:
        last = int(line)
        if last == 10:
            break
    time.sleep(0.05)  # into the middle of the next one
    child.kill()
    last = max([last, *map(int, child.stdout.read().split())])
    child.wait()
    child.stdout.close()
    try:
        backend = BACKENDS[name](folder)
        found = backend.read(0)
    except Exception as error:  # noqa: BLE001  whatever a damaged file leads to is the answer
        return f"cannot be read: {type(error).__name__}"
    backend.close()
    whole = found // (ROWS // VARIABLES)
    return "nothing lost" if whole in (last, last + 1) else f"{last} batches kept, {whole} found"


def main() -> int:
    """Measure all, or write until killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--write", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.write:
        backend = BACKENDS[args.write[0]](Path(args.write[1]))
        for place, batch in enumerate(batches(10_000), 1):
            backend.append(*batch)
            print(place, flush=True)
        return 0
    lines: list[list[str]] = []
    for name in BACKENDS:
        if name == "DuckDB" and find_spec("duckdb") is None:
            console.print("DuckDB is not installed: no row for it")
            continue
        with tempfile.TemporaryDirectory(prefix="plantree-bench-") as folder:
            line = measure(name, Path(folder), args.rows)
        with tempfile.TemporaryDirectory(prefix="plantree-bench-") as folder:
            lines.append([*line, kill(name, Path(folder))])
    heads = ["kept in", "written, values/s", "one variable read, ms", "bytes/value", "after kill -9"]
    table(f"{args.rows:,} values of {VARIABLES:,} variables, {ROWS:,} at a time", heads, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
