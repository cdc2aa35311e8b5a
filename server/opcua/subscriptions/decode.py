"""Requests that make and change monitored items, decoded item by item, so that one wrong item spoils no other.

asyncua refuses a whole request for an enumeration value that it does not know; the standard has a StatusCode for each.
"""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import struct
import uuid
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer, ServiceError
from asyncua.ua.ua_binary import struct_from_binary

from server.opcua.pace import AT_ONCE, Steps

_DATA_CHANGE_FILTER, _EVENT_FILTER = 724, 727
"""Numeric ids of the filters' binary encodings."""


@dataclass(frozen=True, slots=True)
class DataChangeFilter:
    """As on the wire: the numbers may be none of the enumerations'."""

    trigger: int
    deadband_type: int
    deadband: float


@dataclass(frozen=True, slots=True)
class UnknownFilter:
    """A filter of a type that the server does not know, or one that cannot be decoded (`status` says which)."""

    status: int


Filter = DataChangeFilter | UnknownFilter | ua.EventFilter | None


@dataclass(frozen=True, slots=True)
class Parameters:
    """MonitoringParameters (OPC 10000-4 7.21); the sampling interval is in ms."""

    handle: int
    sampling: float
    filter: Filter
    queue_size: int
    discard_oldest: bool


@dataclass(frozen=True, slots=True)
class Creation:
    """What one MonitoredItemCreateRequest asks for."""

    node: ua.NodeId
    attribute: int
    index_range: str | None
    encoding: ua.QualifiedName
    mode: int
    parameters: Parameters


class Reader:
    """Reads binary values one after the other; raises struct.error, IndexError or ValueError at what is none."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def unpack(self, layout: str) -> tuple[Any, ...]:
        """Read numbers of a struct layout."""
        found = struct.unpack_from(layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return found

    def octets(self) -> bytes | None:
        """Read a ByteString; None for null."""
        (length,) = self.unpack("<i")
        return None if length < 0 else self._take(length)

    def text(self) -> str | None:
        """Read a String."""
        found = self.octets()
        return None if found is None else found.decode()

    def node_id(self) -> ua.NodeId:
        """Read a NodeId (OPC 10000-6 5.2.2.9)."""
        (kind,) = self.unpack("<B")
        if kind == 0:
            return ua.NodeId(self.unpack("<B")[0])
        if kind == 1:
            namespace, number = self.unpack("<BH")
            return ua.NodeId(number, namespace)
        (namespace,) = self.unpack("<H")
        if kind == 2:
            return ua.NodeId(self.unpack("<I")[0], namespace)
        if kind == 3:
            return ua.NodeId(self.text() or "", namespace)
        if kind == 4:
            return ua.NodeId(uuid.UUID(bytes_le=self._take(16)), namespace)
        if kind == 5:
            return ua.NodeId(self.octets() or b"", namespace)
        raise ValueError(f"a NodeId of encoding {kind}")

    def filter(self) -> Filter:
        """Read the ExtensionObject of a filter."""
        kind = self.node_id()
        (encoding,) = self.unpack("<B")
        if encoding == 0:
            return None if kind.is_null() else UnknownFilter(ua.StatusCodes.BadMonitoredItemFilterInvalid)
        body = self.octets() or b""
        if kind.NamespaceIndex != 0 or encoding != 1:
            return UnknownFilter(ua.StatusCodes.BadMonitoredItemFilterUnsupported)
        if kind.Identifier == _DATA_CHANGE_FILTER:
            try:
                return DataChangeFilter(*struct.unpack("<IId", body))
            except struct.error:
                return UnknownFilter(ua.StatusCodes.BadMonitoredItemFilterInvalid)
        if kind.Identifier == _EVENT_FILTER:
            try:
                return struct_from_binary(ua.EventFilter, Buffer(body))
            except Exception:  # noqa: BLE001  whatever asyncua stumbles over is no filter
                return UnknownFilter(ua.StatusCodes.BadEventFilterInvalid)
        return UnknownFilter(ua.StatusCodes.BadMonitoredItemFilterUnsupported)

    def parameters(self) -> Parameters:
        """Read MonitoringParameters."""
        handle, sampling = self.unpack("<Id")
        found = self.filter()
        queue_size, discard_oldest = self.unpack("<I?")
        return Parameters(handle, sampling, found, queue_size, discard_oldest)

    def creation(self) -> Creation:
        """Read a MonitoredItemCreateRequest."""
        node = self.node_id()
        (attribute,) = self.unpack("<I")
        index_range = self.text()
        (namespace,) = self.unpack("<H")
        encoding = ua.QualifiedName(self.text(), namespace)
        (mode,) = self.unpack("<i")
        return Creation(node, attribute, index_range, encoding, mode, self.parameters())

    def count(self) -> int:
        """Read the length of an array."""
        (found,) = self.unpack("<i")
        if found > len(self._data):
            raise ValueError("an array longer than its message")
        return max(found, 0)

    def _take(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._data):
            raise ValueError("a string longer than its message")
        found = self._data[self._at : end]
        self._at = end
        return found


def _decoding_error(error: Exception) -> ServiceError:
    failure = ServiceError(ua.StatusCodes.BadDecodingError)
    failure.__cause__ = error
    return failure


def creations(body: bytes) -> Steps[tuple[int, int, list[Creation]]]:
    """Decode CreateMonitoredItems: SubscriptionId, TimestampsToReturn, items. Raises ServiceError."""
    try:
        reader = Reader(body)
        subscription, stamps = reader.unpack("<Ii")
        items: list[Creation] = []
        for count in range(1, reader.count() + 1):
            items.append(reader.creation())
            if not count % AT_ONCE:
                yield
    except (struct.error, IndexError, ValueError) as error:
        raise _decoding_error(error) from error
    return subscription, stamps, items


def modifications(body: bytes) -> Steps[tuple[int, int, list[tuple[int, Parameters]]]]:
    """Decode ModifyMonitoredItems: SubscriptionId, TimestampsToReturn, MonitoredItemIds with parameters."""
    try:
        reader = Reader(body)
        subscription, stamps = reader.unpack("<Ii")
        items: list[tuple[int, Parameters]] = []
        for count in range(1, reader.count() + 1):
            items.append((int(reader.unpack("<I")[0]), reader.parameters()))
            if not count % AT_ONCE:
                yield
    except (struct.error, IndexError, ValueError) as error:
        raise _decoding_error(error) from error
    return subscription, stamps, items


def numbers(body: bytes, layout: str, arrays: int = 1) -> tuple[tuple[Any, ...], list[list[int]]]:
    """Decode a struct layout, then `arrays` arrays of UInt32. Raises ServiceError."""
    try:
        reader = Reader(body)
        head = reader.unpack(layout)
        lists = [list(reader.unpack(f"<{reader.count()}I")) for _ in range(arrays)]
    except (struct.error, IndexError, ValueError) as error:
        raise _decoding_error(error) from error
    return head, lists
