"""The model as Sparkplug metrics: names, aliases, datatypes, properties, quality; samples as rows of bytes."""

import json
from bisect import bisect_left
from typing import Any

import numpy as np
from numpy.typing import NDArray

from address_space.model import BuiltinType, Plant, Variable
from gateways.mqtt import sparkplug_wire as wire
from server.quality import BAD_NO_COMMUNICATION, BAD_NOT_CONNECTED, is_bad, is_good
from server.store import Batch, Store

GOOD, STALE, BAD = 192, 500, 0
"""The quality codes of Sparkplug 3.0 6.4.12."""

BDSEQ, REBIRTH = "bdSeq", "Node Control/Rebirth"
QUALITY, STATUS_CODE = "Quality", "StatusCode"

DATATYPES = {
    BuiltinType.SByte: 1,
    BuiltinType.Int16: 2,
    BuiltinType.Int32: 3,
    BuiltinType.Int64: 4,
    BuiltinType.Byte: 5,
    BuiltinType.UInt16: 6,
    BuiltinType.UInt32: 7,
    BuiltinType.UInt64: 8,
    BuiltinType.Float: 9,
    BuiltinType.Double: 10,
    BuiltinType.Boolean: 11,
    BuiltinType.String: 12,
    BuiltinType.DateTime: 13,
}
"""The datatypes of Sparkplug 3.0 6.4.16."""

GONE = (BAD_NO_COMMUNICATION, BAD_NOT_CONNECTED)
"""The statuses that say that a machine cannot be reached."""


def quality(status: int) -> int:
    """Return 192 for Good, 500 for Uncertain (a value, but not a fresh or exact one), 0 for Bad."""
    return int(qualities(np.array([status], np.uint32))[0])


def qualities(statuses: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return `quality` of each, shape (n,)."""
    return np.select([is_bad(statuses), is_good(statuses)], [BAD, GOOD], STALE).astype(np.uint64)


def alias(id_: int) -> int:
    """Return the alias of a variable; 0 is nobody's, since decoders take a missing alias for it."""
    return id_ + 1


def bdseq_alias(plant: Plant) -> int:
    """Return the alias of the metric bdSeq."""
    return alias(len(plant.variables))


def simple_metric(name: str, datatype: BuiltinType, value: int, time: int, own_alias: int | None = None) -> bytes:
    """Encode a metric of the node itself; `time` is in milliseconds since 1970."""
    known = b"" if own_alias is None else wire.field(wire.ALIAS, own_alias)
    body = wire.delimited(wire.NAME, name.encode()) + known + wire.field(wire.TIMESTAMP, time)
    body += wire.field(wire.DATATYPE, DATATYPES[datatype]) + wire.value_field(datatype, value)
    return wire.delimited(wire.PAYLOAD_METRIC, body)


def payload(time: int, metrics: bytes, seq: int | None) -> bytes:
    """Encode a payload of encoded metrics; `time` is in milliseconds since 1970, `seq` None for an NDEATH."""
    sequence = b"" if seq is None else wire.field(wire.PAYLOAD_SEQ, seq)
    return wire.field(wire.PAYLOAD_TIMESTAMP, time) + metrics + sequence


class BirthMetrics:
    """Encodes metrics of birth certificates; what never changes of a variable is encoded once."""

    def __init__(self, plant: Plant, store: Store) -> None:
        self._plant = plant
        self._store = store
        self._known: dict[int, tuple[bytes, bytes]] = {}

    def encode(self, variables: list[Variable]) -> bytes:
        """Return the metrics of variables as they are now, in chronological order."""
        samples = [(self._store.read(variable.id), variable) for variable in variables]
        samples.sort(key=lambda sample: sample[0][2])
        return b"".join(self._metric(variable, *sample[:3]) for sample, variable in samples)

    def _metric(self, variable: Variable, value: Any, status: int, source: int) -> bytes:
        if variable.id not in self._known:
            self._known[variable.id] = self._constants(variable)
        head, properties = self._known[variable.id]
        properties += _property(QUALITY, 3, wire.field(wire.PROPERTY_INT, quality(status)))
        properties += _property(STATUS_CODE, 7, wire.field(wire.PROPERTY_INT, status))
        time = wire.field(wire.TIMESTAMP, wire.milliseconds(source))
        shown = wire.field(wire.IS_NULL, 1) if value is None else wire.value_field(variable.declaration.type, value)
        return wire.delimited(wire.PAYLOAD_METRIC, head + time + wire.delimited(wire.PROPERTIES, properties) + shown)

    def _constants(self, variable: Variable) -> tuple[bytes, bytes]:
        """Return name, alias and datatype; and the properties that never change."""
        declaration = variable.declaration
        head = wire.delimited(wire.NAME, variable.name.encode()) + wire.field(wire.ALIAS, alias(variable.id))
        head += wire.field(wire.DATATYPE, DATATYPES[declaration.type])
        properties = _text("NodeId", f"nsu={self._plant.namespace};s={variable.path}")
        properties += _property("ReadOnly", 11, wire.field(wire.PROPERTY_BOOLEAN, int(not declaration.writable)))
        if declaration.description:
            properties += _text("Description", declaration.description)
        if declaration.unit is not None:
            properties += _text("EngUnits", declaration.unit.symbol)
        if declaration.range is not None:
            for key, bound in zip(("EngLow", "EngHigh"), declaration.range, strict=True):
                properties += _property(key, 10, _double(bound))
        if declaration.enumeration is not None:
            names = json.dumps(declaration.enumeration.values, ensure_ascii=False)
            properties += _text("EnumStrings", names)
        return head, properties


def _double(value: float) -> bytes:
    return bytes((wire.PROPERTY_DOUBLE << 3 | wire.FIXED64,)) + wire.value_field(BuiltinType.Double, value)[1:]


def _text(key: str, text: str) -> bytes:
    return _property(key, 12, wire.delimited(wire.PROPERTY_STRING, text.encode()))


def _property(key: str, datatype: int, value: bytes) -> bytes:
    """Encode one member of a PropertySet: keys and values are two lists that belong together by position."""
    typed = wire.field(wire.PROPERTY_TYPE, datatype) + value
    return wire.delimited(wire.SET_KEY, key.encode()) + wire.delimited(wire.SET_VALUE, typed)


class DataMetrics:
    """The metrics of a batch of samples, encoded in columns; `section` gives those of some neighbouring rows."""

    def __init__(
        self, batch: Batch, types: NDArray[np.uint8], marked: NDArray[np.bool_], historical: NDArray[np.bool_]
    ) -> None:
        """Encode; rows of `marked` (shape (n,)) get Quality and StatusCode, those of `historical` is_historical."""
        count = len(batch)
        hidden = is_bad(batch.statuses) | _missing(batch, types)
        body = wire.Rows(count)
        body.constant(bytes((wire.ALIAS << 3,)))
        body.varint(batch.ids.astype(np.uint64) + np.uint64(1))
        body.constant(bytes((wire.TIMESTAMP << 3,)))
        body.varint(wire.column_milliseconds(batch.source_timestamps))
        if historical.any():
            body.constant(wire.field(wire.IS_HISTORICAL, 1), historical)
        if hidden.any():
            body.constant(wire.field(wire.IS_NULL, 1), hidden)
        if marked.any():
            _add_quality(body, batch.statuses, marked)
        texts = wire.add_values(body, types, batch.bits, ~hidden)
        self._tails = {row: wire.delimited(wire.STRING, str(batch.objects[row]).encode()) for row in texts}
        self._cuts = list(texts)
        lengths = body.lengths
        for row, tail in self._tails.items():
            lengths[row] += len(tail)
        frame = wire.Rows(count)
        frame.constant(bytes((wire.PAYLOAD_METRIC << 3 | wire.LENGTH,)))
        frame.varint(lengths.astype(np.uint64))
        whole = body.after(frame)
        self._data = whole.joined()
        self._ends = np.cumsum(whole.lengths)

    def section(self, start: int, end: int) -> bytes:
        """Return the metrics of rows start to end."""
        cuts = self._cuts[bisect_left(self._cuts, start) : bisect_left(self._cuts, end)]
        parts: list[bytes] = []
        at = int(self._ends[start - 1]) if start else 0
        for row in cuts:
            parts += self._data[at : (at := int(self._ends[row]))], self._tails[row]
        parts.append(self._data[at : int(self._ends[end - 1])])
        return b"".join(parts)


def _missing(batch: Batch, types: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where a String has no text."""
    missing = np.zeros(len(batch), np.bool_)
    for row in np.flatnonzero(types == BuiltinType.String).tolist():
        missing[row] = batch.objects.get(row) is None
    return missing


def _add_quality(rows: wire.Rows, statuses: NDArray[np.uint32], where: NDArray[np.bool_]) -> None:
    """Add a PropertySet of Quality (Int32) and StatusCode (UInt32)."""
    keys = wire.delimited(wire.SET_KEY, QUALITY.encode()) + wire.delimited(wire.SET_KEY, STATUS_CODE.encode())
    value_tag = bytes((wire.SET_VALUE << 3 | wire.LENGTH,))
    values = wire.Rows(len(statuses))
    for datatype, column in ((3, qualities(statuses)), (7, statuses.astype(np.uint64))):
        inner = wire.Rows(len(statuses))
        inner.constant(wire.field(wire.PROPERTY_TYPE, datatype) + bytes((wire.PROPERTY_INT << 3,)))
        inner.varint(column)
        values.constant(value_tag)
        values.varint(inner.lengths.astype(np.uint64))
        values = inner.after(values)
    head = wire.Rows(len(statuses))
    head.constant(bytes((wire.PROPERTIES << 3 | wire.LENGTH,)))
    head.varint((values.lengths + len(keys)).astype(np.uint64))
    head.constant(keys)
    rows.append(values.after(head), where)
