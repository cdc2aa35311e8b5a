"""Samples as line protocol, whole columns at a time, and back.

`opcua,name=Speed,node=Plant.Generator1.Speed,site=Plant,type=GeneratorType status=0i,good=1i,value=1500.5 TIME`: see
docs/influx.md for what each part says.
"""

from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from address_space.model import BuiltinType, Plant, Variable
from gateways.influx.protocol import Lines, quoted, tag, untag
from gateways.influx.settings import Database
from gateways.observing import Observation
from server.quality import is_bad, is_good
from server.store import Batch
from server.store.ticks import TICKS_PER_SECOND, UNIX_EPOCH_TICKS
from server.store.values import VALUE_DTYPES

MEASUREMENT = "opcua"
TAGS = ("name", "node", "site", "type")
FIELDS = ("value", "text", "status", "good", "age")
TEXT_BYTES = {"influxdb": 65_000, "victoriametrics": 4000}
"""Bytes of a text that each database takes; what is longer is cut and ends in an ellipsis."""

_TICK_NS = 100
_FARTHEST_TICKS = (2**63 - 1) // _TICK_NS  # from 1970: line protocol's time is nanoseconds in an Int64
_NUMBER_TYPES = [builtin for builtin, dtype in VALUE_DTYPES.items() if dtype != "O"]


class Mapping:
    """The lines of one plant for one kind of database.

    VictoriaMetrics keeps numbers only: there a text becomes a label of a series of its own,
    `opcua_text{node="…",text="Running"} 1`; it counts times from 1970 in milliseconds.
    """

    def __init__(self, plant: Plant, database: Database, site: str = "") -> None:
        self.plant = plant
        self.database: Database = database
        self.site = site or plant.name
        self._types = np.array([v.declaration.type for v in plant.variables], np.uint8)
        self._texts: dict[str, bytes] = {}
        series = [_series(plant, variable, self.site) for variable in plant.variables]
        self._series = series
        self._heads = pa.array([b"\n" + key + b" status=" for key in series], pa.binary())
        self._with_text = np.array(
            [v.declaration.type is BuiltinType.String or v.declaration.enumeration is not None for v in plant.variables]
        )
        self._names = {
            v.id: v.declaration.enumeration.values for v in plant.variables if v.declaration.enumeration is not None
        }
        self._earliest = 0 if database == "victoriametrics" else -_FARTHEST_TICKS

    def writable(self, source_timestamps: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return where the database can hold a time (ticks): InfluxDB 1677 to 2262, VictoriaMetrics from 1970."""
        return (source_timestamps - UNIX_EPOCH_TICKS >= self._earliest) & (
            source_timestamps - UNIX_EPOCH_TICKS <= _FARTHEST_TICKS
        )

    def lines(self, batch: Batch, times: NDArray[np.int64] | None = None) -> Lines:
        """Return the lines of rows whose times are all writable.

        `times` (ticks) are those of the lines, by default the rows' own; where another is given, `age` says how many
        seconds before it the sample was taken.
        """
        count = len(batch)
        own = batch.source_timestamps
        ticks = own if times is None else times
        nanoseconds = _texts(pa.array((ticks - UNIX_EPOCH_TICKS) * _TICK_NS))
        numbers = numbers_of(self._types, batch)
        shown = np.isfinite(numbers) & ~is_bad(batch.statuses)
        pieces = [self._heads.take(pa.array(batch.ids)), _status_pieces(batch.statuses, shown)]
        pieces.append(_texts(pa.array(numbers, mask=~shown)))
        again = ticks != own
        if again.any():
            age = _texts(pa.array((ticks - own) / TICKS_PER_SECOND, mask=~again))
            pieces += [pa.array([b"", b",age="], pa.binary()).take(pa.array(again.astype(np.int8))), age]
        rows_with_text = self._rows_with_text(batch)
        if len(rows_with_text) and self.database == "influxdb":
            column = np.full(count, b"", object)
            column[rows_with_text] = [b",text=" + self._field(text) for text in self._text(batch, rows_with_text)]
            pieces.append(pa.array(column, pa.binary()))
        arrays = [_joined(*pieces, pa.scalar(b" "), nanoseconds)]
        rows = [np.arange(count)]
        if len(rows_with_text) and self.database == "victoriametrics":
            arrays.append(self._text_lines(batch, rows_with_text, nanoseconds))
            rows.append(rows_with_text)
        return Lines.of(arrays, rows)

    def _rows_with_text(self, batch: Batch) -> NDArray[np.int64]:
        rows = np.flatnonzero(self._with_text[batch.ids] & ~is_bad(batch.statuses))
        known = [row for row, text in zip(rows.tolist(), self._text(batch, rows), strict=True) if text is not None]
        return np.array(known, np.int64)

    def _text(self, batch: Batch, rows: NDArray[np.int64]) -> list[str | None]:
        """Return the string, or the enumeration's name of the number; None where there is neither."""
        ids, bits = batch.ids[rows].tolist(), batch.bits[rows].tolist()
        texts: list[str | None] = []
        for row, id_, number in zip(rows.tolist(), ids, bits, strict=True):
            names = self._names.get(id_)
            if names is None:
                texts.append(batch.objects.get(row))
            else:
                texts.append(names[number] if number < len(names) else None)
        return texts

    def _field(self, text: str | None) -> bytes:
        return quoted(cut(text or "", TEXT_BYTES["influxdb"]))

    def _text_lines(self, batch: Batch, rows: NDArray[np.int64], times: Any) -> Any:
        """Return lines of the series whose label is the text."""
        most = TEXT_BYTES["victoriametrics"]
        ids = batch.ids[rows].tolist()
        heads = [
            b"\n" + self._series[id_] + (b",text=" + tag(cut(text, most)) if text else b"") + b" text=1 "
            for id_, text in zip(ids, self._text(batch, rows), strict=True)
        ]
        return _joined(pa.array(heads, pa.binary()), times.take(pa.array(rows)))


def numbers_of(types: NDArray[np.uint8], batch: Batch) -> NDArray[np.float64]:
    """Return what the field `value` holds: booleans as 0 and 1, DateTimes as seconds since 1970, NaN for Strings."""
    result = np.full(len(batch), np.nan)
    present = types[batch.ids]
    for builtin in _NUMBER_TYPES:
        positions = present == builtin
        if positions.any():
            dtype = np.dtype(VALUE_DTYPES[builtin])
            column = batch.bits[positions].astype(f"<u{dtype.itemsize}").view(dtype)
            if builtin is BuiltinType.DateTime:
                result[positions] = (column - UNIX_EPOCH_TICKS) / TICKS_PER_SECOND
            else:
                result[positions] = column.astype(np.float64)
    return result


def observation(
    variable: Variable, value: float | None, text: str | None, status: int, source_timestamp: int
) -> Observation:
    """Turn what the database holds of one sample back into the value that the tree shows (DateTime as ticks)."""
    kind = variable.declaration.type
    shown: Any = value
    if kind is BuiltinType.String:
        shown = None if text is None else untag(text)
    elif value is not None and kind is BuiltinType.Boolean:
        shown = bool(value)
    elif value is not None and kind is BuiltinType.DateTime:
        shown = round(value * TICKS_PER_SECOND) + UNIX_EPOCH_TICKS
    elif value is not None and kind not in (BuiltinType.Float, BuiltinType.Double):
        shown = round(value)
    return Observation(variable.path, shown, status, source_timestamp)


def cut(text: str, most: int) -> str:
    """Return a text of at most `most` bytes of UTF-8; one that is cut ends in an ellipsis."""
    if len(text) * 4 <= most or len(data := text.encode("utf-8", "replace")) <= most:
        return text
    return data[: most - 3].decode("utf-8", "ignore") + "\u2026"


def _series(plant: Plant, variable: Variable, site: str) -> bytes:
    """Return measurement and tags: the series of a variable, the tags in the order that InfluxDB sorts them to."""
    values = {"name": variable.name, "node": variable.path, "site": site, "type": plant.owner(variable).type.name}
    return MEASUREMENT.encode() + b"".join(b"," + key.encode() + b"=" + tag(values[key]) for key in TAGS)


def _status_pieces(statuses: NDArray[np.uint32], shown: NDArray[np.bool_]) -> Any:
    """Return `0i,good=1i,value=` of each row; they are few different ones."""
    keys = statuses.astype(np.int64) * 2 + shown
    different, which = np.unique(keys, return_inverse=True)
    good = is_good((different >> 1).astype(np.uint32))
    pieces = [
        b"%di,good=%di%s" % (key >> 1, is_good_, b",value=" if key & 1 else b"")
        for key, is_good_ in zip(different.tolist(), good.tolist(), strict=True)
    ]
    return pa.array(pieces, pa.binary()).take(pa.array(which))


def _texts(numbers: Any) -> Any:
    """Write numbers as text, the shortest that reads back the same; null stays null."""
    return numbers.cast(pa.string()).cast(pa.binary())


def _joined(*pieces: Any) -> Any:
    """Join the pieces row by row; what is null counts as empty."""
    join: Any = cast("Any", pc).binary_join_element_wise
    return join(*pieces, pa.scalar(b""), null_handling="replace", null_replacement=b"")
