"""One client connection: what asyncua leaves open between channel, session and user is closed here.

asyncua answers any service on a SecurityPolicy None channel even where no such endpoint is offered, compares the
certificate of a session with that of its channel nowhere, takes any AuthenticationToken on a channel that has a
session, and would check passwords on the event loop.
"""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false, reportPrivateUsage=false

import asyncio
import time
from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.internal_session import SessionState
from asyncua.ua.ua_binary import nodeid_from_binary, nodeid_to_binary, struct_from_binary

from server.opcua.channel import PlantChannel
from server.opcua.history import wiring as history
from server.opcua.internal_server import PlantInternalServer
from server.opcua.security import Gatekeeper, certificate_of
from server.opcua.session import PlantSession, activating, plant_user
from server.opcua.subscriptions.connection import PublishingConnection
from server.opcua.wire import CALL_REQUEST, READ_REQUEST, WRITE_REQUEST, Request, parse_request


def _request(name: str) -> ua.NodeId:
    return ua.NodeId(getattr(ua.ObjectIds, f"{name}Request_Encoding_DefaultBinary"))


_DISCOVERY = {_request(name) for name in ("GetEndpoints", "FindServers", "CloseSecureChannel")}
_CREATE_SESSION, _ACTIVATE_SESSION = _request("CreateSession"), _request("ActivateSession")
_WRITE = _request("Write")
_MAY_TAKE_LONG = {_request("HistoryRead"), _request("HistoryUpdate"), _request("Call"), _WRITE}
"""Services that wait for a machine: answered beside the others, so that an emergency stop never queues behind them."""
_MOST_BESIDE = 100
_CHUNK_FRAME_SIZE = 512
"""Bytes of a chunk beside its body, at most: headers, padding and signature."""
_ANY_SIZE = 2**31 - 1
_NONE_POLICY = "http://opcfoundation.org/UA/SecurityPolicy#None"


class PlantConnection(PublishingConnection):
    """asyncua's processor behind a gatekeeper, with the fast paths before it."""

    iserver: PlantInternalServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, internal_server: PlantInternalServer, transport: Any, limits: Any, gate: Gatekeeper) -> None:
        super().__init__(internal_server, transport, limits)
        self._connection: PlantChannel = PlantChannel(self._connection.security_policy, self._limits)
        self._gate = gate
        self._beside: set[asyncio.Task[Any]] = set()
        self._writing: set[asyncio.Task[Any]] = set()
        """Those of them that write."""

    @property
    def _peer(self) -> str:
        name: Any = self.name
        return str(name[0]) if isinstance(name, tuple) else str(name)

    def shortcut(self, chunks: list[bytes]) -> bytes | None:
        """Answer the chunks of a whole message at once; None leaves them, untouched, to asyncua."""
        message = self._connection.open_message(chunks)
        if message is None:
            return None
        answer = self._fast(message.body, message.request_id)
        if answer is None:
            return None
        self._connection.took(message)
        return answer and self._connection.message_to_binary(answer, request_id=message.request_id)

    def _fast(self, body: bytes, request_id: int) -> bytes | None:
        """Return an answer, b"" where it comes when there is news, None where no fast path fits."""
        session = self.session
        if not isinstance(session, PlantSession) or not session.is_activated():
            return None
        request = parse_request(body, session.token_on_the_wire)
        if request is None:
            return None
        if self.take_publish(request, request_id):
            answer = b""
        elif request.type_id == READ_REQUEST:
            answer = self.iserver.reads.answer(request, session.principal)
        elif request.type_id == WRITE_REQUEST:
            if self._writing:
                return None  # a later write must not overtake one that waits for a machine
            answer = self.iserver.writes.answer(request, session.principal, session.origin)
        elif request.type_id == CALL_REQUEST:
            answer = self.iserver.calls.answer(request, session.principal, session.origin)
        else:
            answer = self.iserver.views.answer(request, session, self._room(session))
        if answer is not None:
            self.session_last_activity = time.monotonic()
            session.touch()
        return answer

    def _room(self, session: PlantSession) -> int:
        """Return how many bytes the client takes in a message."""
        limits = self._limits
        room = min(limits.max_message_size or _ANY_SIZE, session.max_response_size or _ANY_SIZE)
        if limits.max_chunk_count:
            room = min(room, limits.max_chunk_count * (limits.max_send_buffer - _CHUNK_FRAME_SIZE))
        return room

    def _view(self, typeid: Any, requesthdr: Any, body: Any) -> bytes | None:
        """Answer a View service whose request header is of an unusual form."""
        session = self.session
        if not isinstance(session, PlantSession) or not session.is_activated() or typeid.NamespaceIndex:
            return None
        if not isinstance(typeid.Identifier, int) or typeid.Identifier > 0xFFFF:
            return None
        type_id = nodeid_to_binary(ua.FourByteNodeId(typeid.Identifier))
        request = Request(type_id, requesthdr.RequestHandle, body.copy().read(len(body)))
        answer = self.iserver.views.answer(request, session, self._room(session))
        if answer is not None:
            self.session_last_activity = time.monotonic()
            session.touch()
        return answer

    async def process_message(self, seqhdr: Any, body: Any) -> Any:
        """Answer one request: by a fast path if one fits, by asyncua otherwise."""
        answer = self._fast(body.copy().read(len(body)), seqhdr.RequestId)
        if answer is None:
            answering = super().process_message(seqhdr, body)
            service = nodeid_from_binary(body.copy())
            if len(self._beside) >= _MOST_BESIDE or service not in _MAY_TAKE_LONG:
                return await answering
            task = asyncio.create_task(answering)
            for among in (self._beside, self._writing) if service == _WRITE else (self._beside,):
                among.add(task)
                task.add_done_callback(among.discard)
            return True
        if answer:
            self._transport.write(self._connection.message_to_binary(answer, request_id=seqhdr.RequestId))
        return True

    async def close(self) -> None:
        """Answer nobody any more; commands under way go on to their end."""
        for task in self._beside:
            task.cancel()
        await super().close()

    async def _process_message(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> Any:
        policy = self._connection.security_policy
        if typeid not in _DISCOVERY:
            if policy.URI == _NONE_POLICY and not self._gate.allow_none:
                raise ServiceError(ua.StatusCodes.BadSecurityPolicyRejected)
            if typeid == _CREATE_SESSION:
                await self._check_create(struct_from_binary(ua.CreateSessionParameters, body.copy()))
            elif self.session is not None and not self._is_of_session(requesthdr):
                raise ServiceError(ua.StatusCodes.BadSessionIdInvalid)
        if await self.serve_subscriptions(typeid, requesthdr, seqhdr, body):
            return True
        answer = self._view(typeid, requesthdr, body) or await history.answer(self, typeid, requesthdr, body)
        if answer is not None:
            self._transport.write(self._connection.message_to_binary(answer, request_id=seqhdr.RequestId))
            return True
        if typeid != _ACTIVATE_SESSION:
            return await super()._process_message(typeid, requesthdr, seqhdr, body)
        parameters = struct_from_binary(ua.ActivateSessionParameters, body.copy())
        session = self.session or self.iserver.lookup_external_session(requesthdr.AuthenticationToken)
        principal = None if session is None else await self._gate.authenticate(session, parameters, self._peer)
        certificate = certificate_of(parameters.UserIdentityToken)
        reset = activating.set(principal and plant_user(principal, await self._gate.stamp(principal), certificate))
        try:
            return await super()._process_message(typeid, requesthdr, seqhdr, body)
        finally:
            activating.reset(reset)

    def _is_of_session(self, header: Any) -> bool:
        """Whether a request is of the connection's session, and the server has not ended that."""
        session: Any = self.session
        return header.AuthenticationToken == session.auth_token and session.state is not SessionState.Closed

    async def _check_create(self, parameters: ua.CreateSessionParameters) -> None:
        if self.iserver.session_count >= self._gate.max_sessions:
            raise ServiceError(ua.StatusCodes.BadTooManySessions)
        policy = self._connection.security_policy
        if policy.URI != _NONE_POLICY:
            await self._gate.trust.validate_session(
                policy.peer_certificate, parameters.ClientCertificate, parameters.ClientDescription
            )
