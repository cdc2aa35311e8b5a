"""Requests of the View service set taken apart by hand: what a client asks to browse (OPC 10000-4 5.9.2 and 5.9.3)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_FIXED_SIZES = {0: 2, 1: 4, 2: 7, 4: 19}
"""Bytes of a NodeId by its encoding byte: TwoByte, FourByte, Numeric, Guid (OPC 10000-6 5.2.2.9)."""
_STRING, _OPAQUE = 3, 5
_LENGTH = struct.Struct("<i")
_VIEW_TAIL = struct.Struct("<qIIi")
"""After the ViewId: timestamp, version, RequestedMaxReferencesPerNode, number of BrowseDescriptions."""
_DIRECTION_SIZE = 4
_DESCRIPTION_TAIL_SIZE = 9
"""IncludeSubtypes, NodeClassMask, ResultMask."""
_NULL_NODES = (b"\x00\x00", b"\x01\x00\x00\x00", b"\x02\x00\x00\x00\x00\x00\x00", b"\x03\x00\x00\xff\xff\xff\xff")


class MalformedError(Exception):
    """The bytes are no such request: BadDecodingError."""


@dataclass(frozen=True, slots=True)
class Browse:
    """A BrowseRequest; `view` and the nodes are NodeIds as on the wire, `most` is 0 for no limit."""

    view: bytes
    most: int
    count: int
    body: bytes
    first: int

    @property
    def has_view(self) -> bool:
        """Whether a view is named."""
        return self.view not in _NULL_NODES

    def descriptions(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield each BrowseDescription as its NodeId and the rest; raises MalformedError."""
        body, at = self.body, self.first
        try:
            for _ in range(self.count):
                end = end_of_node_id(body, at)
                last = end_of_node_id(body, end + _DIRECTION_SIZE) + _DESCRIPTION_TAIL_SIZE
                if last > len(body):
                    raise MalformedError
                yield body[at:end], body[end:last]
                at = last
        except (IndexError, struct.error) as error:
            raise MalformedError from error
        if at != len(body):
            raise MalformedError


def end_of_node_id(body: bytes, at: int) -> int:
    """Return where the NodeId that begins at `at` ends; raises MalformedError for an encoding that no NodeId has."""
    kind = body[at]
    size = _FIXED_SIZES.get(kind)
    if size is not None:
        return at + size
    if kind not in (_STRING, _OPAQUE):
        raise MalformedError
    (length,) = _LENGTH.unpack_from(body, at + 3)
    return at + 7 + max(length, 0)


def browse(body: bytes) -> Browse:
    """Take a BrowseRequest apart; raises MalformedError."""
    try:
        end = end_of_node_id(body, 0)
        _, _, most, count = _VIEW_TAIL.unpack_from(body, end)
    except (IndexError, struct.error) as error:
        raise MalformedError from error
    return Browse(body[:end], most, count, body, end + _VIEW_TAIL.size)


def browse_next(body: bytes) -> tuple[bool, list[bytes]]:
    """Take a BrowseNextRequest apart: whether to release, and the ContinuationPoints; raises MalformedError."""
    try:
        (count,) = _LENGTH.unpack_from(body, 1)
        points: list[bytes] = []
        at = 5
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(body, at)
            points.append(body[at + 4 : at + 4 + max(length, 0)])
            at += 4 + max(length, 0)
    except struct.error as error:
        raise MalformedError from error
    if at != len(body):
        raise MalformedError
    return bool(body[0]), points


def node_ids(body: bytes) -> list[bytes]:
    """Return the NodeIds of a RegisterNodesRequest or UnregisterNodesRequest; raises MalformedError."""
    try:
        (count,) = _LENGTH.unpack_from(body, 0)
        found: list[bytes] = []
        at = _LENGTH.size
        for _ in range(count):
            end = end_of_node_id(body, at)
            found.append(body[at:end])
            at = end
    except (IndexError, struct.error) as error:
        raise MalformedError from error
    if at != len(body):
        raise MalformedError
    return found
