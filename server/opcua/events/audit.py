"""Entries of the audit trail as events: types and fields (OPC 10000-5 6.4.3 to 6.4.33, OPC 10000-9 5.10)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from address_space.model import Plant
from server.audit import LIMIT, AuditEntry, AuditKind, condition_method
from server.opcua.events.audit_values import node, octets, paired, typed, value, variants
from server.opcua.events.ports import Path
from server.quality import is_bad
from server.store import from_ticks

Fields = dict[Path, ua.Variant]

_IDS, _T = ua.ObjectIds, ua.VariantType
_SERVER = ua.NodeId(_IDS.Server)
_SEVERITY, _SEVERITY_OF_FAILURE = 100, 600

CERTIFICATE_TYPES: Mapping[int, str] = {
    ua.StatusCodes.BadCertificateTimeInvalid: "AuditCertificateExpiredEventType",
    ua.StatusCodes.BadCertificateIssuerTimeInvalid: "AuditCertificateExpiredEventType",
    ua.StatusCodes.BadCertificateInvalid: "AuditCertificateInvalidEventType",
    ua.StatusCodes.BadCertificatePolicyCheckFailed: "AuditCertificateInvalidEventType",
    ua.StatusCodes.BadCertificateUntrusted: "AuditCertificateUntrustedEventType",
    ua.StatusCodes.BadCertificateChainIncomplete: "AuditCertificateUntrustedEventType",
    ua.StatusCodes.BadCertificateRevoked: "AuditCertificateRevokedEventType",
    ua.StatusCodes.BadCertificateIssuerRevoked: "AuditCertificateRevokedEventType",
    ua.StatusCodes.BadCertificateUseNotAllowed: "AuditCertificateMismatchEventType",
    ua.StatusCodes.BadCertificateUriInvalid: "AuditCertificateDataMismatchEventType",
    ua.StatusCodes.BadCertificateHostNameInvalid: "AuditCertificateDataMismatchEventType",
}
"""By what was wrong with a certificate (OPC 10000-5 6.4.13 to 6.4.18)."""

_CONDITION_TYPES: Mapping[str, str] = {
    "Acknowledge": "AuditConditionAcknowledgeEventType",
    "Confirm": "AuditConditionConfirmEventType",
    "AddComment": "AuditConditionCommentEventType",
    "Enable": "AuditConditionEnableEventType",
    "Disable": "AuditConditionEnableEventType",
    "TimedShelve": "AuditConditionShelvingEventType",
    "OneShotShelve": "AuditConditionShelvingEventType",
    "Unshelve": "AuditConditionShelvingEventType",
    "Suppress": "AuditConditionSuppressionEventType",
    "Unsuppress": "AuditConditionSuppressionEventType",
    "Silence": "AuditConditionSilenceEventType",
    "RemoveFromService": "AuditConditionOutOfServiceEventType",
    "PlaceInService": "AuditConditionOutOfServiceEventType",
    "ReportFalseAlarm": "AuditConditionCommentEventType",
}
_WITH_EVENT_ID = ("Acknowledge", "Confirm", "AddComment", "ReportFalseAlarm")


@dataclass(frozen=True, slots=True)
class _Shown:
    """What differs between the kinds: the type, the source, and the fields beside those of AuditEventType."""

    type_name: str
    source: ua.NodeId
    source_name: str
    message: str
    fields: Fields


class AuditEvent:
    """An entry as an event; only for who may see the audit trail."""

    private = True
    condition_id: ua.NodeId | None = None

    def __init__(self, entry: AuditEntry, plant: Plant, server_uri: str) -> None:
        shown = _SHOWN[entry.kind](entry, plant)
        self.entry = entry
        self.type_id = ua.NodeId(getattr(_IDS, shown.type_name))
        self.source_id = shown.source
        self._fields = {**_common(entry, shown, self.type_id, server_uri), **shown.fields}

    def value(self, path: Path) -> ua.Variant | None:
        """Return a field; None when events of this type have no such field."""
        return self._fields.get(path)


def _common(entry: AuditEntry, shown: _Shown, type_id: ua.NodeId, server_uri: str) -> Fields:
    bad = bool(is_bad(entry.status))
    when = ua.Variant(from_ticks(entry.time), _T.DateTime)
    message = f"{shown.message} by {entry.who} ({entry.origin})"
    if bad:
        message += f" refused: {entry.message or ua.StatusCode(entry.status).name}"
    return {
        ("EventId",): ua.Variant(entry.event_id, _T.ByteString),
        ("EventType",): ua.Variant(type_id, _T.NodeId),
        ("SourceNode",): ua.Variant(shown.source, _T.NodeId),
        ("SourceName",): ua.Variant(shown.source_name, _T.String),
        ("Time",): when,
        ("ReceiveTime",): when,
        ("Message",): ua.Variant(ua.LocalizedText(message, "en"), _T.LocalizedText),
        ("Severity",): ua.Variant(_SEVERITY_OF_FAILURE if bad else _SEVERITY, _T.UInt16),
        ("ActionTimeStamp",): when,
        ("Status",): ua.Variant(not bad, _T.Boolean),
        ("ServerId",): ua.Variant(server_uri, _T.String),
        ("ClientAuditEntryId",): ua.Variant(entry.details.get("entry"), _T.String),
        ("ClientUserId",): ua.Variant(entry.who, _T.String),
        ("StatusCodeId",): ua.Variant(ua.StatusCode(entry.status), _T.StatusCode),
    }


def _write(entry: AuditEntry, plant: Plant) -> _Shown:
    path, details = _written(entry.action), entry.details
    fields: Fields = {
        ("AttributeId",): ua.Variant(int(ua.AttributeIds.Value), _T.UInt32),
        ("IndexRange",): ua.Variant(None, _T.String),
        ("OldValue",): value(plant, path, details.get("old")),
        ("NewValue",): value(plant, path, entry.arguments[0] if entry.arguments else None),
    }
    return _Shown("AuditWriteUpdateEventType", node(path), "Attribute/Write", f"{path} written", fields)


def _written(action: str) -> str:
    """Return the path of what was written; a limit is a property of its condition."""
    condition, limit, name = action.partition(LIMIT)
    return f"{condition}.{name.title().replace('_', '')}Limit" if limit else action


def _method(entry: AuditEntry, plant: Plant) -> _Shown:
    path = entry.action
    command = plant.commands.get(path)
    declared = () if command is None else command.declaration.arguments
    kinds = [_T(int(it.type)) for it in declared]
    fields: Fields = {
        ("MethodId",): ua.Variant(node(path), _T.NodeId),
        ("InputArguments",): variants([typed(it, kind) for it, kind in paired(entry.arguments, kinds)]),
        ("OutputArguments",): variants([]),
    }
    owner = path.rpartition(".")[0]
    source = node(owner) if owner else _SERVER
    return _Shown("AuditUpdateMethodEventType", source, "Attribute/Call", f"{path} called", fields)


def _condition(entry: AuditEntry, plant: Plant) -> _Shown:
    path, method = condition_method(entry.action) or (entry.action, "")
    name = "".join(part[:1].upper() + part[1:] for part in method.removesuffix("2").split("_"))
    fields = _condition_arguments(name, list(entry.arguments))
    fields["MethodId",] = ua.Variant(node(f"{path}.{name}"), _T.NodeId)
    fields["InputArguments",] = variants([typed(it, None) for it in entry.arguments])
    type_name = _CONDITION_TYPES.get(name, "AuditConditionEventType")
    return _Shown(type_name, node(path), f"Method/{name}", f"{path}: {name}", fields)


def _condition_arguments(name: str, given: list[Any]) -> Fields:
    fields: Fields = {}
    if name in _WITH_EVENT_ID and given:
        fields["ConditionEventId",] = ua.Variant(octets(given[0]), _T.ByteString)
    if name == "TimedShelve" and given:
        fields["ShelvingTime",] = ua.Variant(float(given[0]), _T.Double)
    comments = [it for it in given[1 if name in _WITH_EVENT_ID else 0 :] if isinstance(it, str)]
    fields["Comment",] = ua.Variant(ua.LocalizedText(comments[0] if comments else ""), _T.LocalizedText)
    return fields


def _history(entry: AuditEntry, plant: Plant) -> _Shown:
    path, told = entry.action.removeprefix("HistoryUpdate "), list(entry.arguments)
    what = str(told[0]) if told else ""
    updated = node(path)
    fields: Fields = {("UpdatedNode",): ua.Variant(updated, _T.NodeId)}
    if what == "update":
        how = int(told[1]) if len(told) > 1 else 0
        fields["PerformInsertReplace",] = ua.Variant(how, _T.Int32)
        kind = "AuditHistoryValueUpdateEventType"
    elif what == "delete at":
        kind = "AuditHistoryAtTimeDeleteEventType"
    else:
        kind = "AuditHistoryRawModifyDeleteEventType"
        fields["IsDeleteModified",] = ua.Variant(what == "delete modified", _T.Boolean)
        for name, ticks in zip(("StartTime", "EndTime"), told[1:3], strict=False):
            fields[name,] = ua.Variant(from_ticks(int(ticks)), _T.DateTime)
    return _Shown(kind, updated, "Attribute/HistoryUpdate", f"History of {path}: {what}", fields)


def _open_channel(entry: AuditEntry, plant: Plant) -> _Shown:
    details = entry.details
    fields = {
        **_certificate_fields("ClientCertificate", details),
        ("RequestType",): ua.Variant(int(details.get("request", 0)), _T.Int32),
        ("SecurityPolicyUri",): ua.Variant(details.get("policy"), _T.String),
        ("SecurityMode",): ua.Variant(int(details.get("mode", 1)), _T.Int32),
        ("RequestedLifetime",): ua.Variant(float(details.get("lifetime", 0)), _T.Double),
        **_channel(details),
    }
    name = "SecureChannel/OpenSecureChannel"
    return _Shown("AuditOpenSecureChannelEventType", _SERVER, name, "Secure channel opened", fields)


def _create_session(entry: AuditEntry, plant: Plant) -> _Shown:
    details = entry.details
    fields = {
        **_certificate_fields("ClientCertificate", details),
        **_session(details),
        **_channel(details),
        ("RevisedSessionTimeout",): ua.Variant(float(details.get("timeout", 0)), _T.Double),
    }
    return _Shown("AuditCreateSessionEventType", _SERVER, "Session/CreateSession", "Session created", fields)


def _activate_session(entry: AuditEntry, plant: Plant) -> _Shown:
    token: Any = _TOKENS.get(str(entry.details.get("mechanism")), ua.AnonymousIdentityToken)()
    if isinstance(token, ua.UserNameIdentityToken):
        token.UserName = str(entry.details.get("user") or entry.who)  # without the password (6.4.9)
    fields = {
        **_session(entry.details),
        **_channel(entry.details),
        ("ClientSoftwareCertificates",): ua.Variant([], _T.ExtensionObject, is_array=True),
        ("UserIdentityToken",): ua.Variant(token, _T.ExtensionObject),
    }
    return _Shown("AuditActivateSessionEventType", _SERVER, "Session/ActivateSession", "Session activated", fields)


def _close_session(entry: AuditEntry, plant: Plant) -> _Shown:
    why = str(entry.details.get("why", "CloseSession"))  # CloseSession, Timeout or Terminated (OPC 10000-4 6.5.3)
    return _Shown("AuditSessionEventType", _SERVER, f"Session/{why}", "Session closed", _session(entry.details))


def _cancel(entry: AuditEntry, plant: Plant) -> _Shown:
    fields = {
        **_session(entry.details),
        ("RequestHandle",): ua.Variant(int(entry.details.get("handle", 0)), _T.UInt32),
    }
    return _Shown("AuditCancelEventType", _SERVER, "Session/Cancel", "Request cancelled", fields)


def _certificate(entry: AuditEntry, plant: Plant) -> _Shown:
    why = int(entry.details.get("why", entry.status))
    fields = {("Certificate",): ua.Variant(octets(entry.details.get("certificate", "")), _T.ByteString)}
    if why == ua.StatusCodes.BadCertificateUriInvalid:
        fields["InvalidUri",] = ua.Variant(entry.details.get("uri"), _T.String)
    verb = "refused" if is_bad(entry.status) else "accepted"
    kind = CERTIFICATE_TYPES.get(why, "AuditCertificateEventType")
    return _Shown(kind, _SERVER, "Security/Certificate", f"Certificate {entry.details.get('name', '')} {verb}", fields)


def _nodes(entry: AuditEntry, plant: Plant) -> _Shown:
    service = entry.action
    fields: Fields = {}
    body = entry.details.get("body")
    if body and service in _NODE_SERVICES:
        item, name = _NODE_SERVICES[service]
        try:
            found: Any = struct_from_binary(item, Buffer(octets(body)))
            fields[name,] = ua.Variant(getattr(found, name), _T.ExtensionObject, is_array=True)
        except Exception:  # noqa: BLE001  what was refused need not be readable: the event is told without it
            fields[name,] = ua.Variant([], _T.ExtensionObject, is_array=True)
    return _Shown(f"Audit{service}EventType", _SERVER, f"NodeManagement/{service}", service, fields)


_NODE_SERVICES: Mapping[str, tuple[type, str]] = {
    "AddNodes": (ua.AddNodesParameters, "NodesToAdd"),
    "DeleteNodes": (ua.DeleteNodesParameters, "NodesToDelete"),
    "AddReferences": (ua.AddReferencesParameters, "ReferencesToAdd"),
    "DeleteReferences": (ua.DeleteReferencesParameters, "ReferencesToDelete"),
}
_TOKENS: Mapping[str, type] = {"UserName": ua.UserNameIdentityToken, "Certificate": ua.X509IdentityToken}
_SHOWN: Mapping[AuditKind, Callable[[AuditEntry, Plant], _Shown]] = {
    AuditKind.WRITE: _write,
    AuditKind.METHOD: _method,
    AuditKind.CONDITION: _condition,
    AuditKind.HISTORY: _history,
    AuditKind.OPEN_CHANNEL: _open_channel,
    AuditKind.CREATE_SESSION: _create_session,
    AuditKind.ACTIVATE_SESSION: _activate_session,
    AuditKind.CLOSE_SESSION: _close_session,
    AuditKind.CANCEL: _cancel,
    AuditKind.CERTIFICATE: _certificate,
    AuditKind.NODES: _nodes,
}


def _certificate_fields(name: str, details: Mapping[str, Any]) -> Fields:
    data = octets(details.get("certificate", ""))
    digits = hashlib.sha1(data, usedforsecurity=False).hexdigest() if data else ""
    return {
        (name,): ua.Variant(data, _T.ByteString),
        (f"{name}Thumbprint",): ua.Variant(digits, _T.String),
    }


def _session(details: Mapping[str, Any]) -> Fields:
    given = details.get("session")
    return {("SessionId",): ua.Variant(ua.NodeId.from_string(given) if given else ua.NodeId(), _T.NodeId)}


def _channel(details: Mapping[str, Any]) -> Fields:
    return {("SecureChannelId",): ua.Variant(str(details.get("channel", "")), _T.String)}
