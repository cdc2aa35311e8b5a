"""HistoryRead and HistoryUpdate requests taken apart by hand: times keep their 100 ns (OPC 10000-11 6.5, 6.9)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import struct
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, variant_from_binary

from server.opcua.view_requests import MalformedError, end_of_node_id

_LENGTH = struct.Struct("<i")
_RAW = struct.Struct("<?qqI?")
_PROCESSED = struct.Struct("<qqd")
_CONFIGURATION = struct.Struct("<??BB?")
_DELETE_RAW = struct.Struct("<?qq")
_TAIL = struct.Struct("<I?i")
"""After the details: TimestampsToReturn, ReleaseContinuationPoints, how many nodes."""
_MANY = 1_000_000


@dataclass(frozen=True, slots=True)
class RawDetails:
    """ReadRawModifiedDetails; a time of 0 is not specified."""

    modified: bool
    start: int
    end: int
    most: int
    bounds: bool


@dataclass(frozen=True, slots=True)
class AtTimeDetails:
    """ReadAtTimeDetails."""

    times: tuple[int, ...]
    simple_bounds: bool


@dataclass(frozen=True, slots=True)
class ProcessedDetails:
    """ReadProcessedDetails; `interval` in ms, an aggregate for each node; `configuration` None for the server's."""

    start: int
    end: int
    interval: float
    aggregates: tuple[ua.NodeId, ...]
    configuration: tuple[bool, int, int, bool] | None


@dataclass(frozen=True, slots=True)
class EventDetails:
    """ReadEventDetails, undecoded."""

    body: bytes


ReadDetails = RawDetails | AtTimeDetails | ProcessedDetails | EventDetails | None


@dataclass(frozen=True, slots=True)
class ReadNode:
    """One HistoryReadValueId."""

    nodeid: ua.NodeId
    index_range: bool
    encoding: bool
    point: bytes


@dataclass(frozen=True, slots=True)
class HistoryRead:
    """A HistoryReadRequest; `details` None are of a kind that nobody knows."""

    details: ReadDetails
    timestamps: int
    release: bool
    nodes: tuple[ReadNode, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """A DataValue; times in ticks, None where there is none."""

    variant: ua.Variant | None
    status: int
    source: int | None


@dataclass(frozen=True, slots=True)
class UpdateData:
    """UpdateDataDetails; `how` is the PerformUpdateType."""

    nodeid: ua.NodeId
    how: int
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class DeleteRaw:
    """DeleteRawModifiedDetails."""

    nodeid: ua.NodeId
    modified: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class DeleteAtTime:
    """DeleteAtTimeDetails."""

    nodeid: ua.NodeId
    times: tuple[int, ...]


UpdateDetails = UpdateData | DeleteRaw | DeleteAtTime | None


class _Reader:
    """Reads one thing after the other; MalformedError where the bytes end."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        try:
            found = layout.unpack_from(self.body, self.at)
        except struct.error as error:
            raise MalformedError from error
        self.at += layout.size
        return found

    def take(self, size: int) -> bytes:
        end = self.at + size
        if size < 0 or end > len(self.body):
            raise MalformedError
        found = self.body[self.at : end]
        self.at = end
        return found

    def count(self) -> int:
        (count,) = self.unpack(_LENGTH)
        if count > _MANY:
            raise MalformedError
        return max(count, 0)

    def string(self) -> bytes:
        (length,) = self.unpack(_LENGTH)
        return self.take(max(length, 0))

    def node_id(self) -> ua.NodeId:
        try:
            end = end_of_node_id(self.body, self.at)
            found = nodeid_from_binary(Buffer(self.body[self.at : end]))
        except (IndexError, struct.error, ua.UaError, ValueError, TypeError) as error:
            raise MalformedError from error
        self.at = end
        return found

    def times(self) -> tuple[int, ...]:
        count = self.count()
        return tuple(self.unpack(struct.Struct(f"<{count}q")))

    def extension(self) -> tuple[ua.NodeId, bytes]:
        kind = self.node_id()
        (encoding,) = self.take(1)
        return kind, self.string() if encoding else b""

    def value(self) -> Value:
        (mask,) = self.take(1)
        variant: ua.Variant | None = None
        if mask & 0x01:
            buffer = Buffer(self.body, self.at)
            try:
                variant = variant_from_binary(buffer)
            except Exception as error:  # asyncua raises whatever the bytes lead it to
                raise MalformedError from error
            self.at = len(self.body) - len(buffer)
        status = self.unpack(struct.Struct("<I"))[0] if mask & 0x02 else 0
        source = self.unpack(struct.Struct("<q"))[0] if mask & 0x04 else None
        self.take((2 if mask & 0x10 else 0) + (8 if mask & 0x08 else 0) + (2 if mask & 0x20 else 0))
        return Value(variant, status, source)


def _kind(name: str) -> int:
    return int(getattr(ua.ObjectIds, f"{name}_Encoding_DefaultBinary"))


_RAW_KIND, _AT_TIME_KIND = _kind("ReadRawModifiedDetails"), _kind("ReadAtTimeDetails")
_PROCESSED_KIND, _EVENT_KIND = _kind("ReadProcessedDetails"), _kind("ReadEventDetails")
_UPDATE_KIND, _DELETE_KIND = _kind("UpdateDataDetails"), _kind("DeleteRawModifiedDetails")
_DELETE_AT_KIND = _kind("DeleteAtTimeDetails")


def history_read(body: bytes) -> HistoryRead:
    """Take a HistoryReadRequest apart; raises MalformedError."""
    reader = _Reader(body)
    kind, inner = reader.extension()
    timestamps, release, count = reader.unpack(_TAIL)
    if count > _MANY:
        raise MalformedError
    nodes: list[ReadNode] = []
    for _ in range(count):
        nodeid = reader.node_id()
        index_range = reader.string()
        reader.take(2)
        encoding = reader.string()
        nodes.append(ReadNode(nodeid, bool(index_range), bool(encoding), reader.string()))
    return HistoryRead(_read_details(kind, inner), timestamps, release, tuple(nodes))


def history_update(body: bytes) -> list[UpdateDetails]:
    """Take a HistoryUpdateRequest apart; raises MalformedError."""
    reader = _Reader(body)
    return [_update_details(*reader.extension()) for _ in range(reader.count())]


def _read_details(kind: ua.NodeId, body: bytes) -> ReadDetails:
    reader = _Reader(body)
    number = kind.Identifier if kind.NamespaceIndex == 0 else None
    if number == _RAW_KIND:
        return RawDetails(*reader.unpack(_RAW))
    if number == _AT_TIME_KIND:
        return AtTimeDetails(reader.times(), bool(reader.take(1)[0]))
    if number == _PROCESSED_KIND:
        start, end, interval = reader.unpack(_PROCESSED)
        aggregates = tuple(reader.node_id() for _ in range(reader.count()))
        defaults, as_bad, bad, good, sloped = reader.unpack(_CONFIGURATION)
        configuration = None if defaults else (as_bad, bad, good, sloped)
        return ProcessedDetails(start, end, interval, aggregates, configuration)
    return EventDetails(body) if number == _EVENT_KIND else None


def _update_details(kind: ua.NodeId, body: bytes) -> UpdateDetails:
    reader = _Reader(body)
    number = kind.Identifier if kind.NamespaceIndex == 0 else None
    if number not in (_UPDATE_KIND, _DELETE_KIND, _DELETE_AT_KIND):
        return None
    nodeid = reader.node_id()
    if number == _UPDATE_KIND:
        (how,) = reader.unpack(struct.Struct("<I"))
        return UpdateData(nodeid, how, tuple(reader.value() for _ in range(reader.count())))
    if number == _DELETE_KIND:
        return DeleteRaw(nodeid, *reader.unpack(_DELETE_RAW))
    return DeleteAtTime(nodeid, reader.times())
