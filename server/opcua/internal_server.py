"""asyncua's internal server with our address space, services and sessions in place of its own."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import asyncio
import contextlib
from typing import Any

from asyncua import ua
from asyncua.common.node import Node
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.address_space import AttributeService, NodeManagementService, ViewService
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession
from asyncua.server.user_managers import UserManager

from server.audit_trail import AuditTrail
from server.commands import Commands
from server.opcua.conditions.file_methods import FileMethods
from server.opcua.conditions.refresh import Refresh
from server.opcua.diagnostics.counters import Tallies
from server.opcua.diagnostics.rights import DiagnosticRights
from server.opcua.diagnostics.service import Diagnostics
from server.opcua.events.auditing import Auditor
from server.opcua.events.condition_history import ConditionHistory
from server.opcua.events.history import StoredEvents
from server.opcua.fast_call import FastCalls
from server.opcua.fast_read import ReadPlans
from server.opcua.fast_write import WriteTemplates
from server.opcua.limits import ServerLimits
from server.opcua.methods import PlantMethods
from server.opcua.session import PlantSession, activating
from server.opcua.space import PlantAddressSpace
from server.opcua.subscriptions.limits import Limits
from server.opcua.subscriptions.service import Subscriptions
from server.opcua.view import Views
from server.security.principal import ANONYMOUS


class _Authenticated(UserManager):
    """Hands asyncua the user that was authenticated, off the event loop, before it asks."""

    def get_user(self, iserver: Any, username: Any = None, password: Any = None, certificate: Any = None) -> Any:
        return activating.get()


class PlantInternalServer(InternalServer):
    """asyncua makes its services in __init__; ours replace them before anything has used them."""

    aspace: PlantAddressSpace
    history: Any = None
    """The service of HistoryRead and HistoryUpdate; None without a historian."""

    def __init__(
        self,
        space: PlantAddressSpace,
        commands: Commands,
        limits: ServerLimits | None = None,
        subscription_limits: Limits | None = None,
    ) -> None:
        super().__init__(user_manager=_Authenticated())
        self.method_service.stop()
        self.limits = limits or ServerLimits()
        self.max_connections = self.limits.most_connections + 1  # the protocol refuses those that are too many
        self.tallies = Tallies()
        self.aspace = space
        self.diagnostics = Diagnostics(space, self.tallies)
        self.rights = DiagnosticRights(space, commands, self.diagnostics)
        self.reads = ReadPlans(space, self.rights)
        self.views = Views(space)
        self.methods = PlantMethods(space, commands)
        self.writes = WriteTemplates(space, commands)
        self.calls = FastCalls(self.methods, commands)
        self.attribute_service = AttributeService(space)
        self.view_service = ViewService(space)
        self.method_service = self.methods
        self.node_mgt_service = NodeManagementService(space)
        self.subscriptions = Subscriptions(space, self.rights, subscription_limits, self.tallies)
        self.files = FileMethods(space.conditions, self.limits.string_bytes)
        self.refresh = Refresh(space.conditions, self.subscriptions)
        self.diagnostics.subscriptions = self.subscriptions
        self.auditor = Auditor(space.plant, commands, self.subscriptions.delivery)
        self.stored_events: StoredEvents | None = None
        service: Any = self.subscriptions
        self.subscription_service = service
        administrator = User(role=UserRole.Admin)
        self.isession = InternalSession(self, space, self.subscription_service, "Internal", user=administrator)
        self.current_time_node = Node(self.isession, ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime))
        self.server_status_node = Node(self.isession, ua.NodeId(ua.ObjectIds.Server_ServerStatus))

    async def stop(self) -> None:
        """End; asyncua would wait for its clock, which sleeps for a second."""
        if self.time_task is not None:
            self.time_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.time_task
            self.time_task = None
        await super().stop()

    async def keep_events(self, trail: AuditTrail) -> StoredEvents:
        """Have HistoryRead of events answered; there must be a historian by then (`server.opcua.history.wiring`)."""
        subscriptions = self.subscriptions
        filters, notified = subscriptions.monitoring.filters, subscriptions.notifiers.of
        stored = StoredEvents(self.aspace, self.aspace.plant, trail, filters, notified, lambda: self.auditor.server_uri)
        stored.alarms = ConditionHistory(self.aspace.conditions)
        await stored.publish()
        self.stored_events = self.history.events = stored
        return stored

    @property
    def session_count(self) -> int:
        """Clients' sessions that are activated."""
        return sum(session.is_activated() for session in self._external_sessions.values())

    @property
    def user_sessions(self) -> list[PlantSession]:
        """Activated sessions that act for a user."""
        sessions: list[Any] = list(self._external_sessions.values())
        return [session for session in sessions if session.is_activated() and session.principal != ANONYMOUS]

    def session_began(self, session: PlantSession) -> None:
        """Take note of a session that was activated for the first time."""
        self.tallies.sessions += 1
        self.diagnostics.add(session)

    def session_ended(self, session: PlantSession) -> None:
        """Take note of a session's end, and of why it ended."""
        timed_out = session.session_timeout is not None and session.idle >= session.session_timeout
        if timed_out:
            self.tallies.timeouts += 1
        elif not session.closed_by_client:
            self.tallies.aborts += 1
        ended = "CloseSession" if session.closed_by_client else "Terminated"
        self.auditor.session_closed(session, "Timeout" if timed_out else ended)
        self.diagnostics.remove(session)

    def create_session(self, name: Any, user: Any = None, external: bool = False) -> InternalSession:
        """Make the session of a client."""
        return PlantSession(self, self.aspace, self.subscription_service, name, external=external)
