"""References as Browse answers them on the wire, and patterns from which those of alike nodes are printed.

ReferenceDescription: OPC 10000-4 7.30; BrowseResult: 7.6; binary forms: OPC 10000-6 5.2. Nodes of two machines of one
type have the same references but for the machine's path in NodeIds and its names in the reference back to it. A pattern
is a reference's bytes with `%(p)s` for the path, `%(n)s` for the name and `%(d)s` for a display name in another
language, good for paths and names of one length each.
"""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from asyncua import ua
from asyncua.ua.ua_binary import nodeid_to_binary

from server.opcua.attributes import NAMESPACE

_MASK = ua.BrowseResultMask
_NULL_NODE = b"\x00\x00"
_NULL_NAME = b"\x00\x00\xff\xff\xff\xff"
_NULL_TEXT = b"\x00"
_STRING_NODE = struct.Struct("<BHi")
_HAS_LOCALE, _HAS_TEXT = 0x01, 0x02
_PATH, _NAME, _DISPLAY = b"%(p)s", b"%(n)s", b"%(d)s"
_SLOTS = (_PATH, _NAME, _DISPLAY)
_RESULT = struct.Struct("<I")
NO_POINT = b"\xff\xff\xff\xff"
"""A null ContinuationPoint."""
EMPTY_RESULT = struct.Struct("<I4si")
"""A BrowseResult without references: status, null ContinuationPoint, 0."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a machine is: what differs between the nodes of machines of one type."""

    path: str
    name: str
    translated: bool = False
    """Its display name is not its browse name."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """All references of one answer, encoded one by one; `whole` is the BrowseResult that has them all."""

    references: tuple[bytes, ...]
    whole: bytes

    @property
    def size(self) -> int:
        """Bytes in memory, about."""
        return 2 * len(self.whole) + 50 * len(self.references) + 200


def result(references: Sequence[bytes], point: bytes | None = None, status: int = 0) -> bytes:
    """Return a BrowseResult; `point` is a ContinuationPoint."""
    head = NO_POINT if point is None else _string(point)
    return b"".join((_RESULT.pack(status), head, struct.pack("<i", len(references)), *references))


def failed(status: int) -> bytes:
    """Return a BrowseResult with a bad status."""
    return EMPTY_RESULT.pack(status, NO_POINT, 0)


def encode(references: Iterable[ua.ReferenceDescription], mask: int) -> Encoded:
    """Return references with the fields of the ResultMask; the others are null."""
    encoded = tuple(b"".join(_fields(reference, mask, None)) for reference in references)
    return Encoded(encoded, result(encoded))


def patterns(references: Iterable[ua.ReferenceDescription], mask: int, place: Place) -> Encoded:
    """Return the patterns of references of a node of the machine at `place`."""
    found = tuple(
        b"".join(part if any(part is slot for slot in _SLOTS) else part.replace(b"%", b"%%") for part in fields)
        for fields in (_fields(reference, mask, place) for reference in references)
    )
    head = struct.pack("<I4si", 0, NO_POINT, len(found)).replace(b"%", b"%%")
    return Encoded(found, head + b"".join(found))


def slots(path: bytes, name: bytes) -> dict[bytes, bytes]:
    """Return what fills a pattern; where the display name is translated, it goes with `d`."""
    return {b"p": path, b"n": name}


def _fields(reference: ua.ReferenceDescription, mask: int, place: Place | None) -> list[bytes]:
    named = displayed = None
    if place is not None and _identifier(reference.NodeId) == place.path:
        named, displayed = _NAME, _DISPLAY if place.translated else _NAME
    parts = [
        nodeid_to_binary(reference.ReferenceTypeId) if mask & _MASK.ReferenceTypeId else _NULL_NODE,
        bytes([bool(mask & _MASK.IsForward and reference.IsForward)]),
        *_target(reference.NodeId, place),
    ]
    if mask & _MASK.BrowseName:
        name = reference.BrowseName
        words = _words(name.Name, named)
        parts += [struct.pack("<H", int(name.NamespaceIndex)), *words]
    else:
        parts.append(_NULL_NAME)
    parts += _text(reference.DisplayName, displayed) if mask & _MASK.DisplayName else [_NULL_TEXT]
    parts.append(struct.pack("<I", reference.NodeClass if mask & _MASK.NodeClass else 0))
    parts.append(nodeid_to_binary(reference.TypeDefinition) if mask & _MASK.TypeDefinition else _NULL_NODE)
    return parts


def _target(target: ua.NodeId, place: Place | None) -> list[bytes]:
    identifier = _identifier(target)
    if place is None or identifier is None or not (identifier + ".").startswith(place.path + "."):
        return [nodeid_to_binary(target)]
    encoded = identifier.encode()
    path = place.path.encode()
    return [_STRING_NODE.pack(3, NAMESPACE, len(encoded)), _PATH, encoded[len(path) :]]


def _identifier(target: ua.NodeId) -> str | None:
    if target.NamespaceIndex != NAMESPACE or isinstance(target, ua.ExpandedNodeId):
        return None
    return target.Identifier if isinstance(target.Identifier, str) else None


def _text(text: ua.LocalizedText, slot: bytes | None) -> list[bytes]:
    locale, words = text.Locale, text.Text
    parts = [bytes([_HAS_LOCALE * (locale is not None) | _HAS_TEXT * (words is not None)])]
    if locale is not None:
        parts.append(_string(locale.encode()))
    if words is not None:
        parts += _words(words, slot)
    return parts


def _words(words: str | None, slot: bytes | None) -> list[bytes]:
    if words is None:
        return [NO_POINT]
    encoded = words.encode()
    return [_string(encoded)] if slot is None else [struct.pack("<i", len(encoded)), slot]


def _string(encoded: bytes) -> bytes:
    return struct.pack("<i", len(encoded)) + encoded
