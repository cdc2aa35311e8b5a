"""Server.ServerDiagnostics: values that are computed when read, and an object for each session."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import uuid
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.server.address_space import NodeData

from address_space.model import Role
from server import logs
from server.opcua.diagnostics import values
from server.opcua.diagnostics.counters import Tallies
from server.opcua.diagnostics.nodes import SECURITY_PART, SESSIONS, SessionNodes, session_reference, split
from server.opcua.space import PlantAddressSpace
from server.security.principal import Principal

if TYPE_CHECKING:
    from server.opcua.session import PlantSession
    from server.opcua.subscriptions.service import Subscriptions

log = logs.get(__name__)

_IDS, _CODES, _VALUE = ua.ObjectIds, ua.StatusCodes, ua.AttributeIds.Value
_ROOT = "Server_ServerDiagnostics"
ENABLED_FLAG = ua.NodeId(_IDS.Server_ServerDiagnostics_EnabledFlag)
_SUMMARY = f"{_ROOT}_ServerDiagnosticsSummary"
_SECURITY_ARRAY = ua.NodeId(_IDS.Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionSecurityDiagnosticsArray)


class Diagnostics:
    """Answers reads of diagnostics; `add` and `remove` follow the sessions."""

    subscriptions: "Subscriptions"

    def __init__(self, space: PlantAddressSpace, tallies: Tallies) -> None:
        self.enabled = True
        self._space = space
        self._tallies = tallies
        self._sessions: dict[uuid.UUID, PlantSession] = {}
        self._nodes = SessionNodes(space, self._part)

    def attach(self) -> None:
        """Have the standard nodes answered; the address space must be there."""
        callbacks: dict[str, Callable[[], Any]] = {
            _SUMMARY: self._summary,
            f"{_ROOT}_SubscriptionDiagnosticsArray": self._subscriptions,
            f"{_ROOT}_SessionsDiagnosticsSummary_SessionDiagnosticsArray": self._general,
            f"{_ROOT}_SessionsDiagnosticsSummary_SessionSecurityDiagnosticsArray": self._security,
            f"{_ROOT}_SamplingIntervalDiagnosticsArray": list,  # for servers with fixed sampling intervals
        }
        for one in fields(ua.ServerDiagnosticsSummaryDataType):
            callbacks[f"{_SUMMARY}_{one.name}"] = lambda name=one.name: getattr(self._summary(), name)
        for name, callback in callbacks.items():
            self._answer(ua.NodeId(getattr(_IDS, name)), callback)
        self._space.set_attribute_value_callback(ENABLED_FLAG, _VALUE, self._enabled)
        self._space.nodes.elsewhere = self.find

    def _enabled(self, _node: ua.NodeId, _attribute: ua.AttributeIds) -> ua.DataValue:
        return _present(ua.Variant(self.enabled, ua.VariantType.Boolean))

    def _answer(self, node: ua.NodeId, callback: Callable[[], Any]) -> None:
        kind = self._data_type(node)

        def read(_node: ua.NodeId, _attribute: ua.AttributeIds) -> ua.DataValue:
            return _present(values.variant(callback(), kind)) if self.enabled else _NOT_READABLE

        self._space.set_attribute_value_callback(node, _VALUE, read)

    def _data_type(self, node: ua.NodeId) -> ua.NodeId:
        declared: Any = self._space.read_attribute_value(node, ua.AttributeIds.DataType).Value
        return declared.Value

    def add(self, session: "PlantSession") -> None:
        """Show a session."""
        identifier: Any = session.session_id.Identifier
        self._sessions[identifier] = session
        if self.enabled:
            self._space[SESSIONS].references.append(session_reference(identifier, _name(session)))

    def remove(self, session: "PlantSession") -> None:
        """Show a session no longer."""
        identifier: Any = session.session_id.Identifier
        self._sessions.pop(identifier, None)
        self._hide(session.session_id)

    def _hide(self, session: ua.NodeId) -> None:
        references = self._space[SESSIONS].references
        for reference in [it for it in references if it.NodeId == session]:
            references.remove(reference)

    def find(self, node: ua.NodeId) -> NodeData | None:
        """Return a node of a session's diagnostics."""
        named = split(node)
        session = None if named is None or not self.enabled else self._sessions.get(named[0])
        return None if session is None or named is None else self._nodes.build(named[0], _name(session), *named[1:])

    def is_of_security(self, node: ua.NodeId) -> bool:
        """Whether a node's value is for the SecurityAdmin alone."""
        if node.NamespaceIndex == 0:
            return node == _SECURITY_ARRAY
        named = split(node)
        return named is not None and named[1] == SECURITY_PART

    @staticmethod
    def may_switch(principal: Principal) -> bool:
        """Whether a principal may set EnabledFlag."""
        return principal.has(Role.ConfigureAdmin) or principal.has(Role.SecurityAdmin)

    def writes(self, items: Sequence[ua.WriteValue], principal: Principal) -> dict[int, ua.StatusCode]:
        """Carry out writes of EnabledFlag; returns the results by place in the request."""
        return {
            index: ua.StatusCode(self._switch(item, principal))
            for index, item in enumerate(items)
            if item.NodeId == ENABLED_FLAG and item.AttributeId == _VALUE
        }

    def _switch(self, item: ua.WriteValue, principal: Principal) -> int:
        variant: Any = None if item.Value is None else item.Value.Value
        if not self.may_switch(principal):
            return _CODES.BadUserAccessDenied
        if variant is None or variant.VariantType is not ua.VariantType.Boolean or variant.is_array or item.IndexRange:
            return _CODES.BadTypeMismatch
        wanted = bool(variant.Value)
        log.info("diagnostics switched", on=wanted, by=principal.name)
        if wanted:  # counting begins anew (OPC 10000-5 6.3.3)
            self._reset()
        if wanted is not self.enabled:
            self.enabled = wanted
            for session in self._sessions.values():
                if wanted:
                    self.add(session)
                else:
                    self._hide(session.session_id)
        return _CODES.Good

    def _reset(self) -> None:
        self._tallies.reset()
        for session in self._sessions.values():
            session.counters.reset()
        for subscription in self.subscriptions.subscriptions.values():
            subscription.counters.reset()

    def _summary(self) -> Any:
        return values.server_summary(self._tallies, len(self._sessions), self.subscriptions)

    def _subscriptions(self) -> list[Any]:
        return [values.subscription_diagnostics(it) for it in self.subscriptions.subscriptions.values()]

    def _general(self) -> list[Any]:
        return [values.session_diagnostics(it, self.subscriptions) for it in self._sessions.values()]

    def _security(self) -> list[Any]:
        return [values.session_security(it) for it in self._sessions.values()]

    def _part(self, identifier: uuid.UUID, part: str, field: str) -> ua.DataValue:
        session = self._sessions.get(identifier)
        if session is None or not self.enabled:
            return ua.DataValue(StatusCode=ua.StatusCode(_CODES.BadNodeIdUnknown))
        if part == SECURITY_PART:
            found = values.session_security(session)
        elif part == "SessionDiagnostics":
            found = values.session_diagnostics(session, self.subscriptions)
        else:
            publisher = self.subscriptions.find_publisher(session)
            own = [] if publisher is None else publisher.subscriptions.values()
            found = [values.subscription_diagnostics(it) for it in own]
        kind = self._data_type(self._nodes.declared(part, field))
        return _present(values.variant(getattr(found, field) if field else found, kind))


def _name(session: "PlantSession") -> str:
    asked = session.asked
    return (None if asked is None else asked.SessionName) or str(session.session_id.Identifier)


def _present(variant: ua.Variant) -> ua.DataValue:
    now = datetime.now(UTC)
    return ua.DataValue(variant, ua.StatusCode(), now, now)


_NOT_READABLE = ua.DataValue(StatusCode=ua.StatusCode(_CODES.BadNotReadable))
