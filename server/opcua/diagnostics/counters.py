"""What is counted as it happens: plain integers, so that counting costs nothing to speak of."""

from dataclasses import dataclass, field, fields

from asyncua import ua

_CODES = ua.StatusCodes
SECURITY = frozenset(
    getattr(_CODES, name)
    for name in (
        "BadSecurityChecksFailed", "BadUserAccessDenied", "BadIdentityTokenInvalid", "BadIdentityTokenRejected",
        "BadCertificateTimeInvalid", "BadCertificateUriInvalid", "BadCertificateUseNotAllowed",
        "BadSecurityPolicyRejected", "BadSessionIdInvalid", "BadSecureChannelIdInvalid",
        "BadApplicationSignatureInvalid", "BadUserSignatureInvalid", "BadNonceInvalid",
    )
)  # fmt: skip
"""StatusCodes of requests that were refused for reasons of security."""


@dataclass(slots=True)
class Tallies:
    """Since the server started, or since EnabledFlag was last set."""

    sessions: int = 0
    rejected_sessions: int = 0
    security_rejected_sessions: int = 0
    timeouts: int = 0
    aborts: int = 0
    subscriptions: int = 0
    rejected_requests: int = 0
    security_rejected_requests: int = 0
    stalled: int = 0
    """Connections cut off because the client read nothing."""

    def reset(self) -> None:
        """Begin at 0."""
        for one in fields(self):
            setattr(self, one.name, 0)


@dataclass(slots=True)
class ServiceCounters:
    """Requests of a session by their type as it stands on the wire, and how many of them failed."""

    total: dict[bytes, int] = field(default_factory=dict[bytes, int])
    errors: dict[bytes, int] = field(default_factory=dict[bytes, int])
    unauthorized: int = 0

    def failed(self, kind: bytes, status: int) -> None:
        """Count a request that was answered with a ServiceFault."""
        self.errors[kind] = self.errors.get(kind, 0) + 1
        self.unauthorized += status in SECURITY

    def reset(self) -> None:
        """Begin at 0."""
        self.total.clear()
        self.errors.clear()
        self.unauthorized = 0


@dataclass(slots=True)
class SubscriptionCounters:
    """Of one subscription; each counts what SubscriptionDiagnosticsDataType says under that name (12.15)."""

    modify: int = 0
    enable: int = 0
    disable: int = 0
    republish_requests: int = 0
    republish_messages: int = 0
    transfer_requests: int = 0
    transferred_to_same: int = 0
    publish_requests: int = 0
    data_changes: int = 0
    events: int = 0
    late: int = 0
    discarded_messages: int = 0
    overflows: int = 0
    event_overflows: int = 0

    def reset(self) -> None:
        """Begin at 0."""
        for one in fields(self):
            setattr(self, one.name, 0)
