"""Reads that no plan fits (Strings, other attributes, index ranges), decoded and answered value by value, in turns."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import struct
import time
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import struct_to_binary

from server.opcua.pace import Pace
from server.opcua.subscriptions.decode import Reader
from server.opcua.wire import READ_RESPONSE, response_header

if TYPE_CHECKING:
    from server.opcua.session import PlantSession

_CODES = ua.StatusCodes
_READ = ua.NodeId(ua.ObjectIds.ReadRequest_Encoding_DefaultBinary)
_NO_DIAGNOSTICS = b"\x00\x00\x00\x00"


class ReadingConnection(UaProcessor):
    """asyncua's processor, which would decode all of a request, and encode all of its answer, at one go."""

    session: "PlantSession | None"  # pyright: ignore[reportIncompatibleVariableOverride]

    def respond(self, request_id: int, body: bytes) -> None:
        """Send a response."""
        raise NotImplementedError

    def _room(self, session: "PlantSession") -> int:
        """Return how many bytes the client takes in a message."""
        raise NotImplementedError

    async def _process_message(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> Any:
        session = self.session
        if typeid != _READ or session is None or not session.is_activated():
            return await super()._process_message(typeid, requesthdr, seqhdr, body)
        self.session_last_activity = time.monotonic()
        session.touch()
        answer = await self._read(session, bytes(body.copy().read(len(body))))
        self.respond(seqhdr.RequestId, response_header(READ_RESPONSE, requesthdr.RequestHandle) + answer)
        return True

    async def _read(self, session: "PlantSession", body: bytes) -> bytes:
        pace = Pace(session.iserver.limits.turn)
        reader = Reader(body)
        try:
            max_age, stamps = reader.unpack("<dI")
            items: list[ua.ReadValueId] = []
            for _ in range(reader.count()):
                items.append(_item(reader))
                if pace.over:
                    await pace.rest()
        except (struct.error, IndexError, ValueError) as error:
            raise ServiceError(_CODES.BadDecodingError) from error
        session.check_read(max_age, stamps, items)
        left = self._room(session)
        parts = [struct.pack("<i", len(items))]
        for item in items:
            parts.append(struct_to_binary(session.read_one(item, stamps)))
            left -= len(parts[-1])
            if left < 0:
                raise ServiceError(_CODES.BadResponseTooLarge)
            if pace.over:
                await pace.rest()
        parts.append(_NO_DIAGNOSTICS)
        return b"".join(parts)


def _item(reader: Reader) -> ua.ReadValueId:
    node = reader.node_id()
    (attribute,) = reader.unpack("<I")
    index_range = reader.text()
    (namespace,) = reader.unpack("<H")
    return ua.ReadValueId(node, attribute, index_range, ua.QualifiedName(reader.text(), namespace))
