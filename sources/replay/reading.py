"""Reading a recording's file in batches of Arrow columns: CSV as text, Parquet as typed columns."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from address_space.errors import PlantError
from sources.replay.settings import Settings

Fault = Callable[[Sequence[str | int], str], PlantError]
"""Builds the error for a setting of this source: its place below the source's name, and what is wrong."""

_BLOCK: Final = 4 << 20  # bytes of text that are parsed at once
_BATCH: Final = 65_536  # rows of a Parquet file that are decoded at once
_PROBED_ROWS: Final = 10
_LONGEST_LINE: Final = 1 << 20


class RecordingFile(Protocol):
    """An opened recording. `bad_rows` (numbered from 1) and `cut_short` are complete once `batches` is exhausted."""

    columns: tuple[str, ...]
    bad_rows: list[int]
    cut_short: int

    def batches(self, wanted: Sequence[str]) -> Iterator[Any]:
        """Yield the rows of the columns `wanted` in file order; raises PlantError."""
        ...


def open_recording(path: Path, settings: Settings, fault: Fault) -> RecordingFile:
    """Open `path` and read its column names only; raises PlantError."""
    if not path.is_file():
        raise fault(("file",), f"there is no file {path}")
    try:
        return (_Parquet if settings.file_format == "parquet" else _Csv)(path, settings, fault)
    except OSError as error:
        raise fault(("file",), f"{path} cannot be read: {error.strerror or error}") from error


class _Csv:
    """A text file: rows with a wrong number of fields are bad; a last line cut short ends the file before it."""

    def __init__(self, path: Path, settings: Settings, fault: Fault) -> None:
        self._path, self._settings, self._fault = path, settings, fault
        self.bad_rows: list[int] = []
        self.cut_short = 0
        with path.open("rb") as file:
            if file.read(3) != b"\xef\xbb\xbf":
                file.seek(0)
            for _ in range(settings.skip_rows):
                file.readline()
            names = self._fields(_next_line(file)) if settings.has_header else []
            self._first = file.tell()
            probed = [self._fields(line) for line in (_next_line(file) for _ in range(_PROBED_ROWS)) if line]
            self.columns = tuple(settings.header or (name.strip() for name in names))
            self._end = self._complete_end(file)
        if not self.columns:
            raise fault(("file",), f"{path} has no header")
        counts = {len(fields) for fields in probed}
        if len(counts) == 1 and not self.cut_short and (count := counts.pop()) != len(self.columns):
            origin = "header" if settings.header else "file's header"
            raise fault(
                ("header",) if settings.header else ("file",),
                f"the {origin} names {len(self.columns)} columns, the rows of {path} have {count}"
                + ("" if settings.header else ": name all columns in header, or check separator"),
            )

    def batches(self, wanted: Sequence[str]) -> Iterator[Any]:
        """Yield the columns `wanted` as text, null where the cell is one of `missing`."""
        if self._first >= self._end:
            return
        settings = self._settings
        with pa.OSFile(str(self._path)) as file:
            reader = self._guarded(
                pa_csv.open_csv,
                file.get_stream(self._first, self._end - self._first),
                read_options=pa_csv.ReadOptions(
                    column_names=list(self.columns), use_threads=False, block_size=_BLOCK, encoding=settings.encoding
                ),
                parse_options=pa_csv.ParseOptions(delimiter=settings.separator, invalid_row_handler=self._on_bad_row),
                convert_options=pa_csv.ConvertOptions(
                    column_types={name: pa.string() for name in wanted},
                    include_columns=list(wanted),
                    null_values=settings.missing,
                    strings_can_be_null=True,
                ),
            )
            while (batch := self._guarded(_next_batch, reader)) is not None:
                yield batch

    def _on_bad_row(self, row: Any) -> str:
        self.bad_rows.append(int(row.number))
        return "skip" if self._settings.on_error == "skip" else "error"

    def _guarded(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except (pa.ArrowException, UnicodeDecodeError) as error:
            place = f"row {self.bad_rows[-1]} of " if self.bad_rows and self._settings.on_error == "fail" else ""
            raise self._fault(("file",), f"{place}{self._path} cannot be read: {error}") from error

    def _fields(self, line: bytes) -> list[str]:
        text = line.decode(self._settings.encoding, errors="replace").strip("\r\n")
        return next(csv.reader([text], delimiter=self._settings.separator), [])

    def _complete_end(self, file: Any) -> int:
        """Return where the file ends without a last line that was cut short: no line end, fields wanting."""
        size = file.seek(0, 2)
        start = max(self._first, size - _LONGEST_LINE)
        file.seek(start)
        tail: bytes = file.read()
        last = tail[tail.rfind(b"\n") + 1 :]
        if last.strip() and (len(self._fields(last)) < len(self.columns) or last.count(b'"') % 2):
            self.cut_short = 1
            return size - len(last)
        return size


class _Parquet:
    """A Parquet file."""

    def __init__(self, path: Path, settings: Settings, fault: Fault) -> None:
        self._path, self._settings, self._fault = path, settings, fault
        self.bad_rows: list[int] = []
        self.cut_short = 0
        try:
            self.columns = tuple(pa_parquet.read_schema(path).names)
        except pa.ArrowException as error:
            raise fault(("file",), f"{path} is no Parquet file: {error}") from error

    def batches(self, wanted: Sequence[str]) -> Iterator[Any]:
        """Yield the columns `wanted` in their own types."""
        try:
            with pa_parquet.ParquetFile(self._path) as file:
                batches: Iterable[Any] = file.iter_batches(batch_size=_BATCH, columns=list(wanted))
                yield from batches
        except (pa.ArrowException, OSError) as error:
            raise self._fault(("file",), f"{self._path} cannot be read: {error}") from error


def _next_line(file: Any) -> bytes:
    """Return the next line that is not blank; empty at the end."""
    line: bytes = file.readline(_LONGEST_LINE)
    while line and not line.strip():
        line = file.readline(_LONGEST_LINE)
    return line


def _next_batch(reader: Any) -> Any:
    try:
        return reader.read_next_batch()
    except StopIteration:
        return None
