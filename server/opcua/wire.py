"""OPC UA binary messages by hand: what a fast path must know of a request, and how its response begins.

Layouts: MessageChunk OPC 10000-6 6.7.2, RequestHeader OPC 10000-4 7.33, ResponseHeader OPC 10000-4 7.34.
"""

import struct
from dataclasses import dataclass

from server.store import now_ticks

READ_REQUEST = b"\x01\x00\x77\x02"
"""TypeId of a ReadRequest: FourByte NodeId i=631."""
READ_RESPONSE = b"\x01\x00\x7a\x02"
WRITE_REQUEST = b"\x01\x00\xa1\x02"
"""TypeId i=673."""
WRITE_RESPONSE = b"\x01\x00\xa4\x02"
CALL_REQUEST = b"\x01\x00\xc8\x02"
"""TypeId i=712."""
CALL_RESPONSE = b"\x01\x00\xcb\x02"
PUBLISH_REQUEST = b"\x01\x00\x3a\x03"
"""TypeId i=826."""
SERVICE_FAULT = b"\x01\x00\x8d\x01"

_TYPE_ID_SIZE = 4
_HEADER_TAIL = struct.Struct("<qIIiI")
"""After the AuthenticationToken: timestamp, request handle, diagnostics, length of an absent audit id, timeout."""
_NO_AUDIT_ID = -1
_NO_ADDITIONAL_HEADER = b"\x00\x00\x00"
_RESPONSE_HEADER = struct.Struct("<qIIBi3s")
"""Timestamp, request handle, service result, no diagnostics, empty string table, no additional header."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose header is of the usual form; `rest` is what comes after the header."""

    type_id: bytes
    handle: int
    rest: bytes
    timeout: int = 0
    """TimeoutHint in ms, 0 for none."""


def parse_request(body: bytes, token: bytes) -> Request | None:
    """Split a message body; None when its header is not of the usual form or carries another `token`.

    `token` is the session's AuthenticationToken as it stands on the wire.
    """
    after_token = _TYPE_ID_SIZE + len(token)
    if body[_TYPE_ID_SIZE:after_token] != token:
        return None
    end = after_token + _HEADER_TAIL.size
    if len(body) < end + len(_NO_ADDITIONAL_HEADER):
        return None
    _, handle, diagnostics, audit, timeout = _HEADER_TAIL.unpack_from(body, after_token)
    start = end + len(_NO_ADDITIONAL_HEADER)
    if diagnostics or audit != _NO_AUDIT_ID or body[end:start] != _NO_ADDITIONAL_HEADER:
        return None
    return Request(body[:_TYPE_ID_SIZE], handle, body[start:], timeout)


def response_header(type_id: bytes, handle: int, result: int = 0) -> bytes:
    """Return the beginning of a response; `result` is the ServiceResult's StatusCode."""
    return type_id + _RESPONSE_HEADER.pack(now_ticks(), handle, result, 0, 0, _NO_ADDITIONAL_HEADER)


def service_fault(handle: int, result: int) -> bytes:
    """Return a ServiceFault (OPC 10000-4 7.35)."""
    return response_header(SERVICE_FAULT, handle, result)
