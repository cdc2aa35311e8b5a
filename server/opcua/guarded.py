"""A connection that keeps to the limits: operations of a request, sizes of messages, trust in the client's channel.

Requests are counted here too, for the session's diagnostics.
"""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false, reportPrivateUsage=false

import struct
from typing import Any

from asyncua import ua
from asyncua.common.utils import NotEnoughData, ServiceError
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary, uatcp_to_binary
from asyncua.ua.uaerrors import UaStatusCodeError

from server import logs
from server.audit import client_entry
from server.opcua.connection import PlantConnection
from server.opcua.diagnostics.counters import SECURITY
from server.opcua.limits import ServerLimits
from server.opcua.session import PlantSession
from server.opcua.wire import CALL_REQUEST, READ_REQUEST, SERVICE_FAULT, WRITE_REQUEST, service_fault
from server.security.trust import CertificateRefused

log = logs.get(__name__)

_CODES = ua.StatusCodes
_NONE_POLICY = "http://opcfoundation.org/UA/SecurityPolicy#None"
_LEAST_BUFFER = 8192
"""Of a connection, either way (OPC 10000-6 7.1.2.3): every client takes a message of this size."""
_HANDLE_BACK = 19
"""From the parameters of a request back to the RequestHandle in a header of the usual form."""
_COUNT = struct.Struct("<i")


def _kind(name: str) -> bytes:
    return b"\x01\x00" + struct.pack("<H", getattr(ua.ObjectIds, f"{name}Request_Encoding_DefaultBinary"))


_CREATE_SESSION, _ACTIVATE_SESSION = _kind("CreateSession"), _kind("ActivateSession")
_CLOSE_SESSION, _HISTORY_READ = _kind("CloseSession"), _kind("HistoryRead")
_CANCEL = _kind("Cancel")
_NODE_MANAGEMENT = {_kind(name): name for name in ("AddNodes", "DeleteNodes", "AddReferences", "DeleteReferences")}
_HISTORY_TAIL = 5
"""TimestampsToReturn and ReleaseContinuationPoints, before the nodes of a HistoryRead."""


def operation_limits(limits: ServerLimits, items: int) -> dict[bytes, tuple[int, int]]:
    """Return by request type where in its parameters the number of operations stands, and the most there may be.

    `items` is the most monitored items of a request.
    """
    return {
        READ_REQUEST: (12, limits.nodes_per_read),
        WRITE_REQUEST: (0, limits.nodes_per_write),
        CALL_REQUEST: (0, limits.calls),
        _kind("TranslateBrowsePathsToNodeIds"): (0, limits.paths_per_translation),
        _kind("CreateMonitoredItems"): (8, items),
        _kind("ModifyMonitoredItems"): (8, items),
        _kind("DeleteMonitoredItems"): (4, items),
        _kind("SetMonitoringMode"): (8, items),
        _kind("SetTriggering"): (8, items),
        _kind("HistoryUpdate"): (0, limits.nodes_per_history),
    }


class GuardedConnection(PlantConnection):
    """The connection as the protocol makes it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._certificates = b""
        """What the client opened its channel with (DER): its certificate, and those of its issuers."""
        self._operations = operation_limits(self.iserver.limits, self.iserver.subscriptions.limits.items_per_call)

    async def process(self, header: Any, body: Any) -> bool:
        """Take one chunk; False closes the connection."""
        kind, most = header.MessageType, self.iserver.limits
        if kind == ua.MessageType.Hello:
            hello = struct_from_binary(ua.Hello, body.copy())
            if min(hello.ReceiveBufferSize, hello.SendBufferSize) < _LEAST_BUFFER:
                return self._end(_CODES.BadTcpNotEnoughResources, f"buffers have at least {_LEAST_BUFFER} bytes")
        elif kind == ua.MessageType.SecureOpen:
            sent = bytes(struct_from_binary(ua.AsymmetricAlgorithmHeader, body.copy()).SenderCertificate or b"")
            try:
                if self._connection.is_open():
                    await self._check_trust(sent)
            except CertificateRefused as refused:
                self.iserver.auditor.certificate(self, sent, refused)
                return self._end(refused.code, "the client's certificate was refused")
            self._certificates = sent
        going_on = bool(await super().process(header, body))
        session = self.session
        if self._connection._incoming_size > most.stranger_bytes and (session is None or not session.is_activated()):
            return self._end(_CODES.BadTcpMessageTooLarge, "the message is too large for a client without a session")
        return going_on

    def open_secure_channel(self, algohdr: Any, seqhdr: Any, body: Any) -> None:
        """Open or renew the channel."""
        given = body.copy()
        try:
            super().open_secure_channel(algohdr, seqhdr, body)
        except (ServiceError, UaStatusCodeError) as error:
            self.iserver.auditor.channel_opened(self, given, error.code)
            raise
        self.iserver.auditor.channel_opened(self, given)

    async def _check_trust(self, certificates: bytes) -> None:
        """Check what a client opened or renews its channel with: it may have been revoked since its session began.

        Who opens a channel for the first time hears at CreateSession what is wrong: many clients do not pass on why a
        channel was refused.
        """
        if self._connection.security_policy.URI != _NONE_POLICY:
            await self._gate.trust.validate_channel(certificates)

    def _end(self, status: int, reason: str) -> bool:
        self._transport.write(uatcp_to_binary(ua.MessageType.Error, ua.ErrorMessage(ua.StatusCode(status), reason)))
        return False

    def _fast(self, body: bytes, request_id: int) -> bytes | None:
        session = self.session
        if not isinstance(session, PlantSession) or session.connection is not self:
            return None
        kind = body[:4]
        limited = self._operations.get(kind)
        start = session.parameters_at
        if limited is not None:
            at = start + limited[0]
            if int.from_bytes(body[at : at + 4], "little") > limited[1]:
                return None  # refused on the slow path, before anything is decoded
        answer = super()._fast(body, request_id)
        if answer is None:
            return None
        totals = session.counters.total
        totals[kind] = totals.get(kind, 0) + 1
        if len(answer) > _LEAST_BUFFER and len(answer) > self._room(session):
            handle = int.from_bytes(body[start - _HANDLE_BACK : start - _HANDLE_BACK + 4], "little")
            answer = service_fault(handle, _CODES.BadResponseTooLarge)
        if answer[:4] == SERVICE_FAULT:
            self._count_failure(kind, int.from_bytes(answer[16:20], "little"))
        return answer

    async def _process_message(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> Any:
        kind = _type_of(typeid)
        if isinstance(self.session, PlantSession):
            totals = self.session.counters.total
            totals[kind] = totals.get(kind, 0) + 1
        client_entry.set(str(requesthdr.AuditEntryId or ""))
        given = body.copy()
        try:
            self._check(kind, body)
            if kind in (_CREATE_SESSION, _ACTIVATE_SESSION):
                return await self._join(kind, typeid, requesthdr, seqhdr, body)
            if kind == _CANCEL and isinstance(self.session, PlantSession) and self.session.is_activated():
                return self._cancel(requesthdr, seqhdr, body)
            if kind == _CLOSE_SESSION and isinstance(self.session, PlantSession):
                self.session.closed_by_client = True
            return await super()._process_message(typeid, requesthdr, seqhdr, body)
        except (ServiceError, UaStatusCodeError) as error:
            self._count_failure(kind, error.code)
            self._audit_refusal(kind, given, error)
            raise
        except Exception:
            self._count_failure(kind, _CODES.BadInternalError)
            raise

    async def _join(self, kind: bytes, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> Any:
        """Create a session on this connection, or activate one, which may so far have been on another (5.7.3)."""
        policy, found = self._connection.security_policy, self.session
        if kind == _CREATE_SESSION:
            if found is not None and not found.is_activated():
                await found.close_session()
        else:
            found = found or self.iserver.lookup_external_session(requesthdr.AuthenticationToken)
            if isinstance(found, PlantSession):
                found.moving = found.connection is not self
                await self._check_trust(self._certificates)
                if found.moving and bytes(policy.peer_certificate or b"") != found.certificate:
                    raise ServiceError(_CODES.BadSecurityChecksFailed)
        given = body.copy()
        done = await super()._process_message(typeid, requesthdr, seqhdr, body)
        session = self.session
        if isinstance(session, PlantSession):
            session.connection = self
            session.security = (policy.Mode, policy.URI)
            session.certificate = bytes(policy.peer_certificate or b"")
            if kind == _CREATE_SESSION:
                self.iserver.auditor.session_created(self, session)
            else:
                self.iserver.auditor.session_activated(self, session, given)
        return done

    def _cancel(self, requesthdr: Any, seqhdr: Any, body: Any) -> bool:
        """Answer Cancel: what can be cancelled is answered as soon as it is ready, or is under way (5.7.5)."""
        handle = struct_from_binary(ua.CancelParameters, body).RequestHandle
        self.iserver.auditor.cancelled(self, self.session, handle)
        self.send_response(requesthdr.RequestHandle, seqhdr, ua.CancelResponse())
        return True

    def _audit_refusal(self, kind: bytes, body: Any, error: ServiceError | UaStatusCodeError) -> None:
        """Put onto the audit trail what was refused, where that matters to security (OPC 10000-4 6.5)."""
        auditor, session = self.iserver.auditor, self.session
        known = session if isinstance(session, PlantSession) else None
        if isinstance(error, CertificateRefused):
            auditor.certificate(self, self._certificates, error)
        if kind == _CREATE_SESSION:
            auditor.session_created(self, None, error.code)
        elif kind == _ACTIVATE_SESSION:
            auditor.session_activated(self, known, body, error.code)
        elif kind in _NODE_MANAGEMENT:
            auditor.node_management(self, _NODE_MANAGEMENT[kind], body, error.code)

    async def close(self) -> None:
        """Clean up after the connection; a session that has moved to another goes on there."""
        if isinstance(self.session, PlantSession) and self.session.connection is not self:
            self.session = None
        await super().close()

    def _check(self, kind: bytes, body: Any) -> None:
        """Refuse requests of a session that has moved to another channel, and those with too many operations."""
        session = self.session
        joining = kind in (_CREATE_SESSION, _ACTIVATE_SESSION)
        if not joining and isinstance(session, PlantSession) and session.connection not in (None, self):
            raise ServiceError(_CODES.BadSecureChannelIdInvalid)
        at, most = self._operations.get(kind, (-1, 0))
        if kind == _HISTORY_READ:
            at, most = _history_count(body), self.iserver.limits.nodes_per_history
        if at >= 0:
            parameters = body.copy()
            found = parameters.read(min(len(parameters), at + _COUNT.size))[at:]
            if len(found) == _COUNT.size and _COUNT.unpack(found)[0] > most:
                raise ServiceError(_CODES.BadTooManyOperations)

    def _count_failure(self, kind: bytes, status: int) -> None:
        tallies, security = self.iserver.tallies, status in SECURITY
        tallies.rejected_requests += 1
        tallies.security_rejected_requests += security
        if kind in (_CREATE_SESSION, _ACTIVATE_SESSION):
            tallies.rejected_sessions += 1
            tallies.security_rejected_sessions += security
        if isinstance(self.session, PlantSession):
            self.session.counters.failed(kind, status)

    def send_response(
        self, requesthandle: Any, seqhdr: Any, response: Any, msgtype: Any = ua.MessageType.SecureMessage
    ) -> None:
        """Send a response, or Bad_ResponseTooLarge where the client could not take it (OPC 10000-4 5.3)."""
        if msgtype != ua.MessageType.SecureMessage:
            super().send_response(requesthandle, seqhdr, response, msgtype)
            return
        response.ResponseHeader.RequestHandle = requesthandle
        body = struct_to_binary(response)
        session = self.session
        if len(body) > _LEAST_BUFFER and isinstance(session, PlantSession) and len(body) > self._room(session):
            body = service_fault(requesthandle, _CODES.BadResponseTooLarge)
        self.respond(seqhdr.RequestId, body)


def _history_count(body: Any) -> int:
    """Return where in a HistoryRead the number of nodes stands: behind the details; -1 where it cannot be read."""
    parameters = body.copy()
    before = len(parameters)
    try:
        nodeid_from_binary(parameters)
        if parameters.read(1)[0]:
            parameters.skip(max(0, _COUNT.unpack(parameters.read(_COUNT.size))[0]))
    except (NotEnoughData, ua.UaError, ValueError):
        return -1
    return before - len(parameters) + _HISTORY_TAIL


def _type_of(typeid: ua.NodeId) -> bytes:
    number = typeid.Identifier
    if typeid.NamespaceIndex or not isinstance(number, int) or number > 0xFFFF:
        return b""
    return b"\x01\x00" + struct.pack("<H", number)
