"""The columnar store: one record array a built-in type, each record the binary form of its DataValue."""

import struct
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from address_space.model import BuiltinType, Feed, Plant, VariableDeclaration
from server.quality import BAD_NOT_CONNECTED, BAD_WAITING_FOR_INITIAL_DATA, is_bad
from server.store.journal import DEFAULT_ROWS, Batch, Journal
from server.store.ticks import now_ticks
from server.store.values import VALUE_DTYPES, VALUE_FORMATS, cast, from_bits, record_dtype, to_bits

Ids = NDArray[np.int64]

_RECORDS = {int(builtin): struct.Struct(f"<BB{form}Iqq") for builtin, form in VALUE_FORMATS.items()}
_AFTER_VALUE = 20
"""Bytes of a record behind its value: StatusCode and two timestamps."""
_WITH_VALUE = 0x0F
"""Encoding mask of a DataValue: value, StatusCode, source and server timestamp (OPC 10000-6 5.2.2.17)."""
_WITHOUT_VALUE = 0x0E


class Store:
    """Every variable's value, status and timestamps; `write` and `set_status` are the only ways to change them.

    Both belong to the event loop's thread. Timestamps are OPC UA ticks (100 ns since 1601), ids are `Variable.id`.
    A Bad status hides the value (OPC 10000-4 7.11); the column keeps it for the day the status is Good again.
    """

    def __init__(self, plant: Plant, journal_rows: int = DEFAULT_ROWS) -> None:
        self.plant = plant
        self.journal = Journal(journal_rows)
        count = len(plant.variables)
        self._type_of = np.fromiter((v.declaration.type for v in plant.variables), np.uint8, count)
        self._row_of = np.zeros(count, np.int64)
        self._known = np.zeros(count, np.bool_)
        self.received = np.full(count, -np.inf)
        """When each variable was last written, in seconds of the monotonic clock, shape (variables,)."""
        self._tables: dict[int, NDArray[Any]] = {}
        self._raw: dict[int, memoryview] = {}
        """The bytes of each table."""
        for builtin in np.unique(self._type_of):
            ids = np.flatnonzero(self._type_of == builtin)
            self._row_of[ids] = np.arange(len(ids))
            table = np.zeros(len(ids), record_dtype(BuiltinType(builtin)))
            if table.dtype.hasobject:
                table["value"] = None  # numpy's own zero is a number, which is no String
            table["mask"] = _WITHOUT_VALUE
            table["variant"] = builtin
            table["status"] = BAD_WAITING_FOR_INITIAL_DATA
            self._tables[int(builtin)] = table
            if not table.dtype.hasobject:
                raw: Any = table.view(np.uint8)
                self._raw[int(builtin)] = memoryview(raw)
        self._initialise()

    def __len__(self) -> int:
        return len(self._type_of)

    def _initialise(self) -> None:
        sourceless: list[int] = []
        for machine in self.plant.objects:
            if machine.source is None:
                measured = (v for v in machine.variables.values() if v.declaration.feed is Feed.SOURCE)
                sourceless.extend(v.id for v in measured)
        now = now_ticks()
        self.set_status(np.array(sourceless, np.int64), BAD_NOT_CONNECTED)
        for table in self._tables.values():
            table["source"] = now
            table["server"] = now
        by_declaration: dict[int, tuple[VariableDeclaration, list[int]]] = {}
        for variable in self.plant.variables:
            declaration = variable.declaration
            if declaration.initial is not None:
                by_declaration.setdefault(id(declaration), (declaration, []))[1].append(variable.id)
        for declaration, ids in by_declaration.values():
            values = np.full(len(ids), declaration.initial, dtype=VALUE_DTYPES[declaration.type])
            self.write(np.array(ids, np.int64), values, now)

    def write(
        self,
        ids: Ids,
        values: NDArray[Any],
        source_timestamps: NDArray[np.int64] | int,
        statuses: NDArray[np.uint32] | int = 0,
    ) -> None:
        """Set values of shape (n,), timestamps and statuses of shape (n,) or scalar, and journal the n rows.

        Each value is cast to its variable's type; where an id comes twice the last row wins. A non-number in an
        integer, and a number outside its type, are the caller's to mark Bad.
        """
        ids = np.asarray(ids, np.int64)
        count = len(ids)
        if count == 0:
            return
        status = np.empty(count, np.uint32)
        status[:] = statuses
        source = np.empty(count, np.int64)
        source[:] = source_timestamps
        bits = np.zeros(count, np.uint64)
        objects: dict[int, Any] = {}
        mask = np.where(is_bad(status), np.uint8(_WITHOUT_VALUE), np.uint8(_WITH_VALUE))
        server = now_ticks()
        for table, rows, positions in self._groups(ids):
            column = cast(np.asarray(values)[positions], table.dtype["value"])
            table["value"][rows] = column
            table["mask"][rows] = mask[positions]
            table["status"][rows] = status[positions]
            table["source"][rows] = source[positions]
            table["server"][rows] = server
            if column.dtype == object:
                where = np.arange(count)[positions]
                objects.update(zip(where.tolist(), column.tolist(), strict=True))
            else:
                bits[positions] = to_bits(column)
        self._known[ids] = True
        self.received[ids] = time.monotonic()
        self.journal.append(ids, bits, status, source, objects)

    def write_one(self, id_: int, value: float, source_timestamp: int) -> None:
        """Set one Good value of a type other than String: what `write` does, without arrays of one element.

        Raises struct.error or OverflowError, and changes nothing, when the value is none of its variable's type.
        """
        builtin, now = int(self._type_of[id_]), now_ticks()
        record = _RECORDS[builtin]
        packed = record.pack(_WITH_VALUE, builtin, value, 0, source_timestamp, now)
        at = int(self._row_of[id_]) * record.size
        self._raw[builtin][at : at + record.size] = packed
        self._known[id_] = True
        self.received[id_] = time.monotonic()
        bits = int.from_bytes(packed[2 : record.size - _AFTER_VALUE], "little")
        self.journal.append_one(id_, bits, 0, source_timestamp)

    def packed_value(self, id_: int) -> bytes:
        """Return the value of a type other than String as it is in memory, whatever its status."""
        builtin = int(self._type_of[id_])
        record = _RECORDS[builtin]
        at = int(self._row_of[id_]) * record.size
        return bytes(self._raw[builtin][at + 2 : at + record.size - _AFTER_VALUE])

    def set_status(self, ids: Ids, status: int) -> None:
        """Change the status of variables and nothing else: the value and its source timestamp stay."""
        ids = np.asarray(ids, np.int64)
        if len(ids) == 0:
            return
        bits = np.zeros(len(ids), np.uint64)
        source = np.zeros(len(ids), np.int64)
        objects: dict[int, Any] = {}
        server = now_ticks()
        bad = bool(status & 0x80000000)
        for table, rows, positions in self._groups(ids):
            shown = np.zeros(len(rows), np.bool_) if bad else self._known[ids[positions]]
            table["mask"][rows] = np.where(shown, _WITH_VALUE, _WITHOUT_VALUE)
            table["status"][rows] = status
            table["server"][rows] = server
            source[positions] = table["source"][rows]
            column = table["value"][rows]
            if column.dtype == object:
                where = np.arange(len(ids))[positions]
                objects.update(zip(where.tolist(), column.tolist(), strict=True))
            else:
                bits[positions] = to_bits(column)
        self.journal.append(ids, bits, np.full(len(ids), status, np.uint32), source, objects)

    def values(self, ids: Ids) -> NDArray[np.float64]:
        """Return numbers as float64 of shape (n,), NaN where there is no value (a Bad status, a String)."""
        result = np.full(len(ids), np.nan)
        for table, rows, positions in self._groups(np.asarray(ids, np.int64)):
            if not table.dtype["value"].hasobject:
                column = table["value"][rows].astype(np.float64)
                result[positions] = np.where(table["mask"][rows] == _WITH_VALUE, column, np.nan)
        return result

    def statuses(self, ids: Ids) -> NDArray[np.uint32]:
        """Return StatusCodes of shape (n,)."""
        return self._column(ids, "status", np.uint32)

    def source_timestamps(self, ids: Ids) -> NDArray[np.int64]:
        """Return source timestamps in ticks, shape (n,)."""
        return self._column(ids, "source", np.int64)

    def value(self, id_: int) -> Any:
        """Return one variable's value as a Python object (DateTime as ticks); None where it has none."""
        table = self._tables[int(self._type_of[id_])]
        record = table[self._row_of[id_]]
        return record["value"].item() if _is_scalar(record, table) else _object(record)

    def read(self, id_: int) -> tuple[Any, int, int, int]:
        """Return value (None where it has none), StatusCode, source and server timestamp of one variable."""
        record = self._tables[int(self._type_of[id_])][self._row_of[id_]]
        return self.value(id_), int(record["status"]), int(record["source"]), int(record["server"])

    def table(self, builtin: BuiltinType) -> NDArray[Any]:
        """Return the record array of a type, read-only: its rows' bytes are DataValues as they go on the wire."""
        view = self._tables[builtin].view()
        view.flags.writeable = False
        return view

    def types(self, ids: Ids) -> NDArray[np.uint8]:
        """Return the built-in type number of each variable."""
        return self._type_of[ids]

    def rows(self, ids: Ids) -> NDArray[np.int64]:
        """Return the row of each id in the record array of its type."""
        return self._row_of[ids]

    def floats(self, batch: Batch) -> NDArray[np.float64]:
        """Return the numbers of a journal batch as float64 of shape (n,), NaN for Strings."""
        result = np.full(len(batch), np.nan)
        types = self._type_of[batch.ids]
        for builtin in np.unique(types):
            if VALUE_DTYPES[BuiltinType(builtin)] != "O":
                positions = types == builtin
                result[positions] = from_bits(batch.bits[positions], BuiltinType(builtin)).astype(np.float64)
        return result

    def objects(self, batch: Batch) -> list[Any]:
        """Return the values of a journal batch as Python objects (DateTime as ticks), whatever their status."""
        result: list[Any] = [None] * len(batch)
        types = self._type_of[batch.ids]
        for builtin in np.unique(types):
            positions = np.flatnonzero(types == builtin)
            if VALUE_DTYPES[BuiltinType(builtin)] == "O":
                column = [batch.objects.get(position) for position in positions.tolist()]
            else:
                column = from_bits(batch.bits[positions], BuiltinType(builtin)).tolist()
            for position, value in zip(positions.tolist(), column, strict=True):
                result[position] = value
        return result

    def _column(self, ids: Ids, field: str, dtype: Any) -> NDArray[Any]:
        result = np.zeros(len(ids), dtype)
        for table, rows, positions in self._groups(np.asarray(ids, np.int64)):
            result[positions] = table[field][rows]
        return result

    def _groups(self, ids: Ids) -> Iterator[tuple[NDArray[Any], NDArray[np.int64], Any]]:
        """Split ids by type: (record array, its rows, their positions among the ids)."""
        if len(ids) == 0:
            return
        types = self._type_of[ids]
        rows = self._row_of[ids]
        if (types == types[0]).all():
            yield self._tables[int(types[0])], rows, slice(None)
            return
        for builtin in np.unique(types):
            positions = np.flatnonzero(types == builtin)
            yield self._tables[int(builtin)], rows[positions], positions


def _is_scalar(record: Any, table: NDArray[Any]) -> bool:
    return record["mask"] == _WITH_VALUE and not table.dtype["value"].hasobject


def _object(record: Any) -> Any:
    return record["value"] if record["mask"] == _WITH_VALUE else None
