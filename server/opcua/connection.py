"""One client connection: what asyncua leaves open between channel, session and user is closed here.

asyncua answers any service on a SecurityPolicy None channel even where no such endpoint is offered, compares the
certificate of a session with that of its channel nowhere, takes any AuthenticationToken on a channel that has a
session, and would check passwords on the event loop.
"""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import struct_from_binary

from server import logs
from server.opcua.internal_server import PlantInternalServer, activating
from server.opcua.security import Gatekeeper

log = logs.get(__name__)


def _request(name: str) -> ua.NodeId:
    return ua.NodeId(getattr(ua.ObjectIds, f"{name}Request_Encoding_DefaultBinary"))


_DISCOVERY = {_request(name) for name in ("GetEndpoints", "FindServers", "CloseSecureChannel")}
_CREATE_SESSION, _ACTIVATE_SESSION = _request("CreateSession"), _request("ActivateSession")
_NONE_POLICY = "http://opcfoundation.org/UA/SecurityPolicy#None"


class PlantConnection(UaProcessor):
    """asyncua's processor behind a gatekeeper."""

    iserver: PlantInternalServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, internal_server: PlantInternalServer, transport: Any, limits: Any, gate: Gatekeeper) -> None:
        super().__init__(internal_server, transport, limits)
        self._gate = gate

    @property
    def _peer(self) -> str:
        name: Any = self.name
        return str(name[0]) if isinstance(name, tuple) else str(name)

    async def _process_message(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> Any:
        policy = self._connection.security_policy
        if typeid not in _DISCOVERY:
            if policy.URI == _NONE_POLICY and not self._gate.allow_none:
                raise ServiceError(ua.StatusCodes.BadSecurityPolicyRejected)
            if typeid == _CREATE_SESSION:
                await self._check_create(struct_from_binary(ua.CreateSessionParameters, body.copy()))
            elif self.session is not None and requesthdr.AuthenticationToken != self.session.auth_token:
                raise ServiceError(ua.StatusCodes.BadSessionIdInvalid)
        if typeid != _ACTIVATE_SESSION:
            return await super()._process_message(typeid, requesthdr, seqhdr, body)
        parameters = struct_from_binary(ua.ActivateSessionParameters, body.copy())
        session = self.session or self.iserver.lookup_external_session(requesthdr.AuthenticationToken)
        principal = None if session is None else await self._gate.authenticate(session, parameters, self._peer)
        reset = activating.set(principal)
        try:
            return await super()._process_message(typeid, requesthdr, seqhdr, body)
        finally:
            activating.reset(reset)

    async def _check_create(self, parameters: ua.CreateSessionParameters) -> None:
        if self.iserver.session_count >= self._gate.max_sessions:
            raise ServiceError(ua.StatusCodes.BadTooManySessions)
        policy = self._connection.security_policy
        if policy.URI != _NONE_POLICY:
            await self._gate.trust.validate_session(
                policy.peer_certificate, parameters.ClientCertificate, parameters.ClientDescription
            )


class PlantBinaryServer(BinaryServer):
    """Accepts connections that go through the gatekeeper."""

    def __init__(
        self, internal_server: PlantInternalServer, host: str, port: int, limits: Any, gate: Gatekeeper
    ) -> None:
        super().__init__(internal_server, host, port, limits)
        self._gate = gate

    def _make_protocol(self) -> OPCUAProtocol:
        protocol = _PlantProtocol(
            iserver=self.iserver,
            policies=self._policies,
            clients=self.clients,
            closing_tasks=self.closing_tasks,
            limits=self.limits,
        )
        protocol.gate = self._gate
        return protocol


class _PlantProtocol(OPCUAProtocol):
    gate: Gatekeeper

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if self.processor is not None:
            self.processor = PlantConnection(self.iserver, self.transport, self.limits, self.gate)
            self.processor.set_policies(self.policies)
