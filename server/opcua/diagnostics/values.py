"""The structures that diagnostics are read as (OPC 10000-5 12.9 to 12.15), made of what was counted."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import struct
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from asyncua import ua
from asyncua.ua.ua_binary import nodeid_to_binary

from server.opcua.diagnostics.counters import Tallies
from server.opcua.subscriptions.table import DISABLED

if TYPE_CHECKING:
    from server.opcua.session import PlantSession
    from server.opcua.subscriptions.service import Subscriptions
    from server.opcua.subscriptions.subscription import Subscription

_SIMPLE = {
    ua.ObjectIds.Duration: ua.VariantType.Double,
    ua.ObjectIds.UtcTime: ua.VariantType.DateTime,
    ua.ObjectIds.LocaleId: ua.VariantType.String,
    ua.ObjectIds.MessageSecurityMode: ua.VariantType.Int32,
}
_LAST_BUILTIN = 25
_MOST = 2**32 - 1


def _services() -> dict[str, bytes]:
    """Return by field of SessionDiagnosticsDataType the request type that it counts."""
    found: dict[str, bytes] = {}
    for one in fields(ua.SessionDiagnosticsDataType):
        service = f"{one.name.removesuffix('Count')}Request_Encoding_DefaultBinary"
        if one.name.endswith("Count") and hasattr(ua.ObjectIds, service):
            found[one.name] = b"\x01\x00" + struct.pack("<H", getattr(ua.ObjectIds, service))
    return found


_SERVICES = _services()
_PUBLISH = _SERVICES["PublishCount"]


def server_summary(tallies: Tallies, sessions: int, subscriptions: "Subscriptions") -> Any:
    """Return the ServerDiagnosticsSummaryDataType."""
    present = subscriptions.subscriptions.values()
    return ua.ServerDiagnosticsSummaryDataType(
        CurrentSessionCount=sessions,
        CumulatedSessionCount=tallies.sessions,
        SecurityRejectedSessionCount=tallies.security_rejected_sessions,
        RejectedSessionCount=tallies.rejected_sessions,
        SessionTimeoutCount=tallies.timeouts,
        SessionAbortCount=tallies.aborts,
        CurrentSubscriptionCount=len(present),
        CumulatedSubscriptionCount=tallies.subscriptions,
        PublishingIntervalCount=len({it.interval for it in present}),
        SecurityRejectedRequestsCount=tallies.security_rejected_requests,
        RejectedRequestsCount=tallies.rejected_requests,
    )


def session_diagnostics(session: "PlantSession", subscriptions: "Subscriptions") -> Any:
    """Return the SessionDiagnosticsDataType of a session."""
    counters, asked = session.counters, session.asked
    publisher = subscriptions.find_publisher(session)
    own = [] if publisher is None else list(publisher.subscriptions.values())
    refused = 0 if publisher is None else publisher.refused
    made: Any = ua.SessionDiagnosticsDataType(
        SessionId=session.session_id,
        ActualSessionTimeout=(session.session_timeout or 0.0) * 1000,
        MaxResponseMessageSize=session.max_response_size,
        LocaleIds=session.locales,
        ClientConnectionTime=session.connected,
        ClientLastContactTime=session.last_contact,
        CurrentSubscriptionsCount=len(own),
        CurrentMonitoredItemsCount=sum(len(it.items) for it in own),
        CurrentPublishRequestsInQueue=0 if publisher is None else len(publisher),
        UnauthorizedRequestCount=counters.unauthorized,
    )
    if asked is not None:
        made.SessionName = asked.SessionName
        made.ClientDescription = asked.ClientDescription
        made.ServerUri, made.EndpointUrl = asked.ServerUri, asked.EndpointUrl
    errors = dict(counters.errors)
    if refused:
        errors[_PUBLISH] = errors.get(_PUBLISH, 0) + refused
    made.TotalRequestCount = _counter(sum(counters.total.values()), sum(errors.values()))
    for name, kind in _SERVICES.items():
        setattr(made, name, _counter(counters.total.get(kind, 0), errors.get(kind, 0)))
    return made


def _counter(total: int, errors: int) -> Any:
    return ua.ServiceCounterDataType(total & _MOST, errors & _MOST)


@dataclass(frozen=True, slots=True)
class SessionSecurity:
    """A SessionSecurityDiagnosticsDataType, in the order of its fields (12.12).

    asyncua takes the field Encoding for the mask of a structure with optional fields, and so encodes another structure.
    """

    SessionId: ua.NodeId
    ClientUserIdOfSession: str
    ClientUserIdHistory: list[str]
    AuthenticationMechanism: str
    Encoding: str
    TransportProtocol: str
    SecurityMode: ua.MessageSecurityMode
    SecurityPolicyUri: str
    ClientCertificate: bytes

    def encoded(self) -> ua.ExtensionObject:
        """Return the structure as it goes on the wire."""
        history = [_text(name) for name in self.ClientUserIdHistory]
        body = b"".join(
            (
                nodeid_to_binary(self.SessionId), _text(self.ClientUserIdOfSession),
                struct.pack("<i", len(history)), *history,
                _text(self.AuthenticationMechanism), _text(self.Encoding), _text(self.TransportProtocol),
                struct.pack("<i", int(self.SecurityMode)), _text(self.SecurityPolicyUri),
                struct.pack("<i", len(self.ClientCertificate)), self.ClientCertificate,
            )
        )  # fmt: skip
        return ua.ExtensionObject(
            ua.NodeId(ua.ObjectIds.SessionSecurityDiagnosticsDataType_Encoding_DefaultBinary), body
        )


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<i", len(encoded)) + encoded


def session_security(session: "PlantSession") -> SessionSecurity:
    """Return what is known of a session's security."""
    mode, policy = session.security
    transport = "http://opcfoundation.org/UA-Profile/Transport/uatcp-uasc-uabinary"
    return SessionSecurity(
        session.session_id, session.principal.name, session.users, session.mechanism, "UA Binary", transport,
        mode, policy, session.certificate,
    )  # fmt: skip


def subscription_diagnostics(subscription: "Subscription") -> Any:
    """Return the SubscriptionDiagnosticsDataType of a subscription."""
    counters, table = subscription.counters, subscription.table
    rows = np.fromiter(subscription.items.values(), np.int64, len(subscription.items))
    return ua.SubscriptionDiagnosticsDataType(
        SessionId=subscription.session_id,
        SubscriptionId=subscription.id,
        Priority=subscription.priority,
        PublishingInterval=subscription.interval * 1000,
        MaxKeepAliveCount=subscription.keep_alive,
        MaxLifetimeCount=subscription.lifetime,
        MaxNotificationsPerPublish=subscription.asked_notifications,
        PublishingEnabled=subscription.enabled,
        ModifyCount=counters.modify,
        EnableCount=counters.enable,
        DisableCount=counters.disable,
        RepublishRequestCount=counters.republish_requests,
        RepublishMessageRequestCount=counters.republish_requests,
        RepublishMessageCount=counters.republish_messages,
        TransferRequestCount=counters.transfer_requests,
        TransferredToAltClientCount=0,  # it moves to the same user's sessions only
        TransferredToSameClientCount=counters.transferred_to_same,
        PublishRequestCount=counters.publish_requests,
        DataChangeNotificationsCount=counters.data_changes,
        EventNotificationsCount=counters.events,
        NotificationsCount=counters.data_changes + counters.events,
        LatePublishRequestCount=counters.late,
        CurrentKeepAliveCount=subscription.idle_cycles,
        CurrentLifetimeCount=subscription.unheard_cycles,
        UnacknowledgedMessageCount=len(subscription.available),
        DiscardedMessageCount=counters.discarded_messages,
        MonitoredItemCount=len(rows),
        DisabledMonitoredItemCount=int((table.mode[rows] == DISABLED).sum()),
        MonitoringQueueOverflowCount=counters.overflows,
        NextSequenceNumber=subscription.next_sequence,
        EventQueueOverflowCount=counters.event_overflows,
    )


def variant(value: Any, data_type: ua.NodeId) -> ua.Variant:
    """Return a value as a Variant of a standard DataType."""
    number: Any = data_type.Identifier
    kind = ua.VariantType(number) if number <= _LAST_BUILTIN else _SIMPLE.get(number, ua.VariantType.ExtensionObject)
    if isinstance(value, list):
        found: list[Any] = [it.encoded() if isinstance(it, SessionSecurity) else it for it in value]
        return ua.Variant(found, kind, is_array=True)
    if isinstance(value, SessionSecurity):
        return ua.Variant(value.encoded(), kind)
    return ua.Variant(int(value) if kind is ua.VariantType.Int32 else value, kind)
