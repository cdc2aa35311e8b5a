"""A connection's part in subscriptions: it answers their services, and publish requests once there is news."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false, reportPrivateUsage=false

import struct
from typing import Any

from asyncua import ua
from asyncua.common.connection import MessageChunk
from asyncua.common.utils import ServiceError

from server.opcua.pace import paced
from server.opcua.reading import ReadingConnection
from server.opcua.subscriptions.requests import PUBLISH, SERVICES, acknowledgements
from server.opcua.subscriptions.service import Subscriptions
from server.opcua.wire import PUBLISH_REQUEST, Request, response_header

_HEADER = struct.Struct("<4sIIIII")
"""Message type and chunk type, size, channel, token, sequence number, request (OPC 10000-6 6.7.2)."""
_LAST_SEQUENCE_NUMBER = 2**32 - 1024
_NONE_POLICY = "http://opcfoundation.org/UA/SecurityPolicy#None"
_LEAST_MESSAGE = 8192
"""What every client takes."""
_TURN = 0.0001
"""How long items are made before others have their turn, in seconds."""
_BESIDE_NOTIFICATIONS = 4096
"""Bytes of a PublishResponse kept free for acknowledgement results and available sequence numbers."""


class PublishingConnection(ReadingConnection):
    """asyncua's processor with our subscriptions; it is the Sink that a session's publisher writes to."""

    @property
    def _subscriptions(self) -> Subscriptions:
        service: Any = self.iserver.subscription_service
        return service

    @property
    def backlog(self) -> int:
        """Bytes that wait in the write buffer."""
        return self._transport.get_write_buffer_size()

    @property
    def message_limit(self) -> int:
        """The most bytes of a message's body: what the client's Hello allowed (OPC 10000-6 7.1.2.3)."""
        limits = self._limits
        crypto = self._connection.security_policy.symmetric_cryptography
        chunk = MessageChunk.max_body_size(crypto, limits.max_send_buffer)
        most = [limits.max_chunk_count * chunk] if limits.max_chunk_count else []
        most += [int(limits.max_message_size)] if limits.max_message_size else []
        asked = getattr(self.session, "max_response_size", 0)
        most += [max(asked, _LEAST_MESSAGE)] if asked else []
        return max(min(most, default=2**31), _LEAST_MESSAGE) - _BESIDE_NOTIFICATIONS

    def respond(self, request_id: int, body: bytes) -> None:
        """Send a response, unless the connection is being closed."""
        if self._transport.is_closing():
            return
        connection = self._connection
        size = self._limits.max_send_buffer - _HEADER.size
        chunks = -(-len(body) // size)
        sequence = connection._sequence_number
        if connection.security_policy.URI != _NONE_POLICY or sequence + chunks >= _LAST_SEQUENCE_NUMBER:
            self._transport.write(connection.message_to_binary(body, request_id=request_id))
            return
        token = connection.security_token
        parts: list[bytes | memoryview] = []
        view = memoryview(body)
        for number in range(chunks):
            part = view[number * size : (number + 1) * size]
            kind = b"MSGF" if number == chunks - 1 else b"MSGC"
            sequence += 1
            total = _HEADER.size + len(part)
            parts += [_HEADER.pack(kind, total, token.ChannelId, token.TokenId, sequence, request_id), part]
        connection._sequence_number = sequence
        self._transport.write(b"".join(parts))

    def abort(self) -> None:
        """Close the connection at once: what waits in its write buffer is lost."""
        self._transport.abort()

    def take_publish(self, request: Request, request_id: int) -> bool:
        """Queue a PublishRequest of an activated session; False when the request is another."""
        if request.type_id != PUBLISH_REQUEST:
            return False
        try:
            acknowledged = acknowledgements(request.rest)
        except ServiceError:
            return False  # refused on the slow path
        meant = (request_id, request.handle, float(request.timeout))
        self._subscriptions.publish(self.session, self, meant, acknowledged)
        return True

    async def serve_subscriptions(self, typeid: ua.NodeId, requesthdr: Any, seqhdr: Any, body: Any) -> bool:
        """Answer a service of subscriptions or monitored items; False when the request is for another service."""
        if typeid != PUBLISH and typeid not in SERVICES:
            return False
        session = self.session
        if session is None:
            raise ua.uaerrors.BadUserAccessDenied
        if not session.is_activated():
            raise ua.uaerrors.BadSessionNotActivated
        data = body.copy().read(len(body))
        if typeid == PUBLISH:
            meant = (seqhdr.RequestId, requesthdr.RequestHandle, float(requesthdr.TimeoutHint))
            self._subscriptions.publish(session, self, meant, acknowledgements(data))
            return True
        response, handler = SERVICES[typeid]
        answer = handler(self._subscriptions, session, data)
        if not isinstance(answer, bytes):
            answer = await paced(answer, _TURN)
        self.respond(seqhdr.RequestId, response_header(response, requesthdr.RequestHandle) + answer)
        return True

    async def close(self) -> None:
        """Clean up after the connection."""
        if self.session is not None:
            self._subscriptions.connection_closed(self.session, self)
        await super().close()
