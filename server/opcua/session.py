"""Sessions: who is on them, and what that person may read, write, subscribe to and call."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import secrets
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import PermissionRuleset, User, UserRole
from asyncua.server.internal_session import InternalSession, SessionState
from asyncua.ua.ua_binary import nodeid_to_binary

from server.opcua.continuation import ContinuationPoints
from server.security.principal import ANONYMOUS, Principal

if TYPE_CHECKING:
    from server.opcua.internal_server import PlantInternalServer


@dataclass
class PlantUser(User):
    """asyncua's user with our principal: to asyncua every client is a plain user, our rights come on top."""

    principal: Principal = ANONYMOUS


def plant_user(principal: Principal) -> PlantUser:
    """Return the user of a session that acts for `principal`."""
    return PlantUser(role=UserRole.User, name=principal.name, principal=principal)


_ADMINISTRATION = {
    ua.NodeId(getattr(ua.ObjectIds, f"{service}Request_Encoding_DefaultBinary"))
    for service in ("RegisterServer", "RegisterServer2", "AddNodes", "DeleteNodes", "AddReferences", "DeleteReferences")
}


class PlantRules(PermissionRuleset):
    """Services that no client may use: the address space comes from the plant file alone."""

    def check_validity(self, user: Any, action_type: Any, body: Any) -> bool:
        """Whether a service is open to clients."""
        return action_type not in _ADMINISTRATION


_TIMESTAMPS = {
    ua.TimestampsToReturn.Source: (True, False),
    ua.TimestampsToReturn.Server: (False, True),
    ua.TimestampsToReturn.Both: (True, True),
    ua.TimestampsToReturn.Neither: (False, False),
}


def _stamped(found: ua.DataValue, item: ua.ReadValueId, wanted: ua.TimestampsToReturn) -> ua.DataValue:
    """Return a DataValue with the timestamps that were asked for; only a Value has a source timestamp."""
    source, server = _TIMESTAMPS[wanted]
    if item.AttributeId != ua.AttributeIds.Value:
        source = False
    stamp = (found.ServerTimestamp or datetime.now(UTC)) if server else None
    return replace(found, SourceTimestamp=found.SourceTimestamp if source else None, ServerTimestamp=stamp)


class PlantSession(InternalSession):
    """A client's session. Its tokens cannot be guessed (OPC 10000-4 5.6.2), its rights are those of its principal."""

    iserver: "PlantInternalServer"  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.iserver.unregister_external_session(self)
        self.session_id = ua.NodeId(uuid.uuid4(), 1)
        self.auth_token = ua.NodeId(secrets.token_bytes(32), 0, ua.NodeIdType.ByteString)
        self.token_on_the_wire = nodeid_to_binary(self.auth_token)
        self.continuation_points = ContinuationPoints()
        self._application = ""
        self.max_response_size = 0
        """What the client takes in a response (bytes), 0 for any size."""
        self.iserver.register_external_session(self)

    @property
    def principal(self) -> Principal:
        """Who is on the session; anonymous until it is activated."""
        return self.user.principal if isinstance(self.user, PlantUser) else ANONYMOUS

    @property
    def owner(self) -> tuple[str, str]:
        """Whose subscriptions the session may take over: its user's; without a user, its application's."""
        principal = self.principal
        return principal.name, self._application if principal == ANONYMOUS else ""

    @property
    def origin(self) -> str:
        """From where commands of this session come."""
        peer: Any = self.name
        return f"opcua {peer[0]}" if isinstance(peer, tuple) else f"opcua {peer}"

    async def create_session(
        self, params: ua.CreateSessionParameters, sockname: tuple[str, int] | None = None
    ) -> ua.CreateSessionResult:
        """Answer CreateSession (OPC 10000-4 5.7.2)."""
        self.max_response_size = int(params.MaxResponseMessageSize)
        self._application = str(params.ClientDescription.ApplicationUri)
        return await super().create_session(params, sockname)

    async def close_session(self, delete_subs: bool = True) -> None:
        """Close the session and what it holds."""
        self.continuation_points.clear()
        if self.state is not SessionState.Closed:
            self.iserver.subscriptions.session_closed(self, delete=delete_subs)
        await super().close_session(False)

    async def read(self, params: ua.ReadParameters) -> list[ua.DataValue]:
        """Read attributes as this session may see them (OPC 10000-4 5.10.2)."""
        if not params.NodesToRead:
            raise ServiceError(ua.StatusCodes.BadNothingToDo)
        if params.MaxAge < 0:
            raise ServiceError(ua.StatusCodes.BadMaxAgeInvalid)
        wanted = params.TimestampsToReturn
        if wanted not in _TIMESTAMPS:
            raise ServiceError(ua.StatusCodes.BadTimestampsToReturnInvalid)
        rights = self.iserver.rights
        return [_stamped(rights.read(item, self.principal), item, wanted) for item in params.NodesToRead]

    async def write(self, params: ua.WriteParameters) -> list[ua.StatusCode]:
        """Write values: set-points of the plant, and values of nodes that a user added (OPC 10000-4 5.10.4)."""
        if not params.NodesToWrite:
            raise ServiceError(ua.StatusCodes.BadNothingToDo)
        return await self.iserver.rights.write(params.NodesToWrite, self.principal, self.origin)

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        """Call methods (OPC 10000-4 5.11.2)."""
        if not params:
            raise ServiceError(ua.StatusCodes.BadNothingToDo)
        methods = self.iserver.methods
        return [await methods.call_as(request, self.principal, self.origin) for request in params]
