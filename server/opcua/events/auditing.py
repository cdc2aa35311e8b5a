"""Audits what connections and sessions do, and shows what comes onto the trail to who may see it and asked to."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false, reportPrivateUsage=false

from collections.abc import Mapping, Sequence
from typing import Any

from asyncua import ua
from asyncua.ua.ua_binary import struct_from_binary

from address_space.model import Plant
from server.audit import AuditKind, AuditRecord, Put, entry
from server.audit_trail import put_entries
from server.commands import Commands, record_of
from server.opcua.events.audit import AuditEvent
from server.opcua.events.delivery import Delivery
from server.opcua.session import PlantSession
from server.ports import CommandError
from server.quality import GOOD
from server.security.pki import common_name, split_chain
from server.security.principal import ANONYMOUS, Principal
from server.security.trust import CertificateRefused

_TOKENS: Mapping[type, str] = {ua.UserNameIdentityToken: "UserName", ua.X509IdentityToken: "Certificate"}
_MOST_BODY = 4096
"""Bytes of a refused request that the trail keeps."""


class Auditor:
    """What the server behind the connections audits with; `commands` keeps the records."""

    def __init__(self, plant: Plant, commands: Commands, delivery: Delivery) -> None:
        self.server_uri = ""
        self._plant = plant
        self._commands = commands
        self._delivery = delivery

    def wanted(self) -> bool:
        """Whether anybody who may see audit events subscribes to events."""
        return self._delivery.wants_private()

    def told(self, records: Sequence[AuditRecord]) -> None:
        """Show records."""
        self._delivery.offer([AuditEvent(entry(record), self._plant, self.server_uri) for record in records])

    def told_put(self, put: Put) -> None:
        """Show set-points that were written at once."""
        self._delivery.offer([AuditEvent(it, self._plant, self.server_uri) for it in put_entries(put)])

    def channel_opened(self, connection: Any, body: Any, status: int = GOOD) -> None:
        """Audit OpenSecureChannel; `body` is the request as it was decrypted, or what there is of it."""
        details = {"channel": _channel(connection), "certificate": connection._certificates.hex()}
        try:
            asked = struct_from_binary(ua.OpenSecureChannelRequest, body).Parameters
            details |= {
                "request": int(asked.RequestType),
                "mode": int(asked.SecurityMode),
                "lifetime": int(asked.RequestedLifetime),
            }
        except Exception:  # noqa: BLE001  what was refused may be unreadable: it is audited all the same
            details["unreadable"] = True
        details["policy"] = str(connection._connection.security_policy.URI)
        self._report(AuditKind.OPEN_CHANNEL, "OpenSecureChannel", connection, status, details)

    def session_created(self, connection: Any, session: PlantSession | None, status: int = GOOD) -> None:
        """Audit CreateSession, and the certificate that it was accepted with."""
        details: dict[str, Any] = {
            "channel": _channel(connection),
            "certificate": bytes(connection._connection.security_policy.peer_certificate or b"").hex(),
        }
        if session is not None:
            details |= {"session": session.session_id.to_string(), "timeout": (session.session_timeout or 0) * 1000}
            details["name"] = "" if session.asked is None else str(session.asked.SessionName)
        self._report(AuditKind.CREATE_SESSION, "CreateSession", connection, status, details)
        if status == GOOD and details["certificate"]:
            self.certificate(connection, bytes.fromhex(details["certificate"]))

    def session_activated(self, connection: Any, session: PlantSession | None, body: Any, status: int = GOOD) -> None:
        """Audit ActivateSession: who came in, or who was refused."""
        details: dict[str, Any] = {"channel": _channel(connection)}
        if session is not None:
            details["session"] = session.session_id.to_string()
        who = None if session is None or status != GOOD else session.principal
        try:
            token: Any = struct_from_binary(ua.ActivateSessionParameters, body).UserIdentityToken
            details["mechanism"] = _TOKENS.get(type(token), "Anonymous")
            details["user"] = str(getattr(token, "UserName", "") or "")
        except Exception:  # noqa: BLE001  as above
            details["unreadable"] = True
        if who is None:
            who = Principal(str(details.get("user") or ANONYMOUS.name), frozenset())
        self._report(AuditKind.ACTIVATE_SESSION, "ActivateSession", connection, status, details, who)

    def session_closed(self, session: PlantSession, why: str) -> None:
        """Audit a session's end: CloseSession, Timeout or Terminated (OPC 10000-4 6.5.3)."""
        details = {"session": session.session_id.to_string(), "why": why}
        self._keep(AuditKind.CLOSE_SESSION, "CloseSession", session.principal, session.origin, GOOD, details)

    def cancelled(self, connection: Any, session: PlantSession, handle: int) -> None:
        """Audit Cancel."""
        details = {"session": session.session_id.to_string(), "handle": handle}
        self._report(AuditKind.CANCEL, "Cancel", connection, GOOD, details, session.principal)

    def certificate(self, connection: Any, certificate: bytes, refused: CertificateRefused | None = None) -> None:
        """Audit that a client's certificate was accepted, or refused and why."""
        details: dict[str, Any] = {"certificate": certificate.hex()}
        try:
            details["name"] = common_name(split_chain(certificate)[0])
        except (ValueError, IndexError):
            details["name"] = ""
        status = GOOD if refused is None else refused.status
        reason = "" if refused is None else refused.reason
        self._report(AuditKind.CERTIFICATE, "Certificate", connection, status, details, reason=reason)

    def node_management(self, connection: Any, service: str, body: Any, status: int) -> None:
        """Audit a request to change the address space, which is refused."""
        given = body.copy()
        details = {"body": given.read(len(given)).hex()} if len(given) <= _MOST_BODY else {}
        session = connection.session
        who = session.principal if isinstance(session, PlantSession) else ANONYMOUS
        self._report(AuditKind.NODES, service, connection, status, details, who)

    def _report(
        self,
        kind: AuditKind,
        action: str,
        connection: Any,
        status: int,
        details: Mapping[str, Any],
        who: Principal = ANONYMOUS,
        reason: str = "",
    ) -> None:
        self._keep(kind, action, who, f"opcua {connection._peer}", status, details, reason)

    def _keep(
        self,
        kind: AuditKind,
        action: str,
        who: Principal,
        origin: str,
        status: int,
        details: Mapping[str, Any],
        reason: str = "",
    ) -> None:
        fault = None if status == GOOD else CommandError(status, reason or ua.StatusCode(status).name)
        self._commands.report(record_of(who, origin, action, [], fault, kind, details))


def _channel(connection: Any) -> str:
    return str(int(connection._connection.security_token.ChannelId))
