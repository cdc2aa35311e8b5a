"""Sessions: who is on them, and what that person may read, write, subscribe to and call."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import secrets
import time
import uuid
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import PermissionRuleset, User, UserRole
from asyncua.server.internal_session import InternalSession, SessionState
from asyncua.ua.ua_binary import nodeid_to_binary

from server.opcua.continuation import ContinuationPoints
from server.opcua.diagnostics.counters import ServiceCounters
from server.opcua.limits import ServerLimits
from server.opcua.locales import Locale
from server.security.principal import ANONYMOUS, Principal

if TYPE_CHECKING:
    from server.opcua.internal_server import PlantInternalServer

_USERS_KEPT = 16
_MECHANISMS: dict[type, str] = {ua.UserNameIdentityToken: "UserName", ua.X509IdentityToken: "Certificate"}
_HEADER_BESIDE_TOKEN = 31
"""Bytes of a request's type and of a header of the usual form, but for the token (`server.opcua.wire`)."""


@dataclass
class PlantUser(User):
    """asyncua's user with our principal: to asyncua every client is a plain user, our rights come on top."""

    principal: Principal = ANONYMOUS
    stamp: str = ""
    """What was known of the password and the roles when it was let in (`Users.standing`)."""
    certificate: bytes = b""
    """The certificate (DER) that it was let in by, empty for a password."""


def plant_user(principal: Principal, stamp: str = "", certificate: bytes = b"") -> PlantUser:
    """Return the user of a session that acts for `principal`."""
    return PlantUser(role=UserRole.User, name=principal.name, principal=principal, stamp=stamp, certificate=certificate)


activating: ContextVar[PlantUser | None] = ContextVar("activating", default=None)
"""Whom the connection has authenticated for the session that is being activated in this task."""


_ADMINISTRATION = {
    ua.NodeId(getattr(ua.ObjectIds, f"{service}Request_Encoding_DefaultBinary"))
    for service in ("RegisterServer", "RegisterServer2", "AddNodes", "DeleteNodes", "AddReferences", "DeleteReferences")
}


class PlantRules(PermissionRuleset):
    """Services that no client may use: the address space comes from the plant file alone."""

    def check_validity(self, user: Any, action_type: Any, body: Any) -> bool:
        """Whether a service is open to clients."""
        return action_type not in _ADMINISTRATION


_TIMESTAMPS: dict[int, tuple[bool, bool]] = {
    ua.TimestampsToReturn.Source: (True, False),
    ua.TimestampsToReturn.Server: (False, True),
    ua.TimestampsToReturn.Both: (True, True),
    ua.TimestampsToReturn.Neither: (False, False),
}


def _stamped(found: ua.DataValue, item: ua.ReadValueId, wanted: int) -> ua.DataValue:
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
        self.parameters_at = _HEADER_BESIDE_TOKEN + len(self.token_on_the_wire)
        """Where the parameters begin in a request whose header is of the usual form."""
        self.continuation_points = ContinuationPoints()
        self.counters = ServiceCounters()
        self.connection: Any = None
        """The connection that it was last activated on: requests over any other are refused."""
        self.moving = False
        """It is being activated on another connection."""
        self.security: tuple[ua.MessageSecurityMode, str] = (ua.MessageSecurityMode.None_, "")
        """Mode and policy URI of its channel."""
        self.certificate = b""
        """The client's certificate (DER), as its channel was opened with it."""
        self.asked: ua.CreateSessionParameters | None = None
        self.locales: list[str] = []
        """LocaleIds, in order of preference."""
        self.locale: Locale | None = None
        """What of the plant's languages serves them; None: the plant file's."""
        self.users: list[str] = []
        """Whom it has acted for, first to last."""
        self.mechanism = ""
        """How its user showed who that is."""
        self.connected = datetime.now(UTC)
        self.closed_by_client = False
        self._application = ""
        self.max_response_size = 0
        """What the client takes in a response (bytes), 0 for any size."""
        self.iserver.register_external_session(self)

    @property
    def principal(self) -> Principal:
        """Who is on the session; anonymous until it is activated."""
        return self.user.principal if isinstance(self.user, PlantUser) else ANONYMOUS

    @property
    def stamp(self) -> str:
        """What its user's password and roles were known by when it was let in; empty without a user."""
        return self.user.stamp if isinstance(self.user, PlantUser) else ""

    @property
    def user_certificate(self) -> bytes:
        """The certificate (DER) by which its user was let in; empty for a password, or without a user."""
        return self.user.certificate if isinstance(self.user, PlantUser) else b""

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
        self.asked = params
        result = await super().create_session(params, sockname)
        result.MaxRequestMessageSize = self.iserver.limits.request_bytes
        return result

    def activate_session(
        self, params: ua.ActivateSessionParameters, peer_certificate: bytes | None
    ) -> ua.ActivateSessionResult:
        """Answer ActivateSession: for a user, for another one, or on another channel for the same (5.7.3)."""
        before, first = self.principal, self.state is SessionState.Created
        if self.moving and not first:
            whom = activating.get()
            if whom is None or whom.name != before.name:
                raise ServiceError(ua.StatusCodes.BadIdentityChangeNotSupported)
        result = super().activate_session(params, peer_certificate)
        self.moving = False
        self.mechanism = _MECHANISMS.get(type(params.UserIdentityToken), "Anonymous")
        if params.LocaleIds:  # without any, those of the activation before stay (OPC 10000-4 5.7.3.2)
            self._speak([str(locale) for locale in params.LocaleIds])
        if not self.users or self.users[-1] != self.principal.name:
            self.users = [*self.users[1 - _USERS_KEPT :], self.principal.name]
        if first:
            self.iserver.session_began(self)
        elif self.principal != before:
            self.continuation_points.clear()
            self.iserver.subscriptions.user_changed(self)
        return result

    def _speak(self, locales: list[str]) -> None:
        self.locales, before = locales, self.locale
        self.locale = self.iserver.aspace.locales.best(locales)
        if self.locale is not before:
            self.iserver.subscriptions.locale_changed(self)

    async def close_session(self, delete_subs: bool = True) -> None:
        """Close the session and what it holds."""
        self.continuation_points.clear()
        self.iserver.files.session_closed(self)
        if self.state is not SessionState.Closed:
            self.iserver.subscriptions.session_closed(self, delete=delete_subs)
        if self.is_activated():
            self.iserver.session_ended(self)
        await super().close_session(False)

    @property
    def last_contact(self) -> datetime:
        """When the client last asked for anything."""
        return datetime.now(UTC) - timedelta(seconds=self.idle)

    @property
    def idle(self) -> float:
        """For how long the client has asked for nothing, in seconds."""
        return time.monotonic() - self._last_activity

    async def read(self, params: ua.ReadParameters) -> list[ua.DataValue]:
        """Read attributes as this session may see them (OPC 10000-4 5.10.2)."""
        self.check_read(params.MaxAge, params.TimestampsToReturn, params.NodesToRead)
        return [self.read_one(item, params.TimestampsToReturn) for item in params.NodesToRead]

    @staticmethod
    def check_read(max_age: float, stamps: int, items: Sequence[ua.ReadValueId]) -> None:
        """Refuse what no read may ask for (OPC 10000-4 5.10.2); raises ServiceError."""
        if not items:
            raise ServiceError(ua.StatusCodes.BadNothingToDo)
        if max_age < 0:
            raise ServiceError(ua.StatusCodes.BadMaxAgeInvalid)
        if stamps not in _TIMESTAMPS:
            raise ServiceError(ua.StatusCodes.BadTimestampsToReturnInvalid)

    def read_one(self, item: ua.ReadValueId, stamps: int) -> ua.DataValue:
        """Return one attribute as this session may see it."""
        found = self.iserver.rights.read(item, self.principal)
        if self.locale is not None:
            found = self.locale.value(found, item)
        return _stamped(found, item, stamps)

    async def write(self, params: ua.WriteParameters) -> list[ua.StatusCode]:
        """Write values: set-points of the plant, and values of nodes that a user added (OPC 10000-4 5.10.4)."""
        if not params.NodesToWrite:
            raise ServiceError(ua.StatusCodes.BadNothingToDo)
        own = self.iserver.diagnostics.writes(params.NodesToWrite, self.principal)
        limits = self.iserver.limits
        for index, item in enumerate(params.NodesToWrite):
            if item.Value is not None and _too_long(item.Value.Value, limits):
                own[index] = ua.StatusCode(ua.StatusCodes.BadEncodingLimitsExceeded)
        rest = [item for index, item in enumerate(params.NodesToWrite) if index not in own]
        others = iter(await self.iserver.rights.write(rest, self.principal, self.origin) if rest else ())
        return [own[index] if index in own else next(others) for index in range(len(params.NodesToWrite))]

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        """Call methods (OPC 10000-4 5.11.2)."""
        if not params:
            raise ServiceError(ua.StatusCodes.BadNothingToDo)
        return [await self._call(request) for request in params]

    async def _call(self, request: ua.CallMethodRequest) -> ua.CallMethodResult:
        limits, given = self.iserver.limits, request.InputArguments or []
        faults = [_too_long(argument, limits) for argument in given]
        if not any(faults):
            if self.iserver.refresh.concerns(request):
                return await self.iserver.refresh.call(request, self)
            if self.iserver.files.concerns(request):
                return await self.iserver.files.call(request, self)
            return await self.iserver.methods.call_as(request, self.principal, self.origin)
        statuses = [ua.StatusCode(ua.StatusCodes.BadEncodingLimitsExceeded if fault else 0) for fault in faults]
        return ua.CallMethodResult(ua.StatusCode(ua.StatusCodes.BadInvalidArgument), InputArgumentResults=statuses)


def _too_long(variant: ua.Variant | None, limits: ServerLimits) -> bool:
    """Whether a String, ByteString or array is longer than ServerCapabilities says."""
    if variant is None or not isinstance(variant.Value, str | bytes | list):
        return False
    if isinstance(variant.Value, list):
        if len(variant.Value) > limits.array_length:
            return True
        return any(_longer(value, limits.string_bytes) for value in variant.Value)
    return _longer(variant.Value, limits.string_bytes)


def _longer(value: Any, most: int) -> bool:
    if isinstance(value, str):
        return 4 * len(value) > most and len(value.encode()) > most
    return isinstance(value, bytes) and len(value) > most
