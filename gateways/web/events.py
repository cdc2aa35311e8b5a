"""Conditions and what was done, as JSON: pure, no I/O."""

from collections.abc import Mapping

from address_space.model import Condition
from gateways.web.mapping import Json, iso, quality_of, status_name
from server.alarms.ports import ONE_SHOT_SHELVED, TIMED_SHELVED, Snapshot
from server.audit import AuditEntry
from server.opcua.conditions.forms import LIMITS_ROLE

_LIMITS = ("HighHigh", "High", "Low", "LowLow")
_SHELVING = {TIMED_SHELVED: "TimedShelved", ONE_SHOT_SHELVED: "OneShotShelved"}


def alarm_form(found: Snapshot, limits: Mapping[str, float], now: float) -> Json:
    """Return a condition, or a branch of it; `now` is the monotonic clock's (s)."""
    condition = found.condition
    unit = None if condition.input is None else condition.input.declaration.unit
    shelving = _SHELVING.get(found.shelving, "Unshelved")
    return {
        "condition": condition.path,
        "machine": condition.machine.path,
        "name": condition.name,
        "kind": condition.declaration.kind.value,
        "input": None if condition.input is None else condition.input.path,
        "branch": found.branch.hex(),
        "event_id": found.event_id.hex(),
        "event": found.kind_of_event,
        "time": iso(found.time),
        "message": found.message,
        "severity": found.severity,
        "active": found.active,
        "active_time": iso(found.active_time),
        "acknowledged": found.acked,
        "confirmed": found.confirmed,
        "needs_confirmation": condition.declaration.confirm,
        "acknowledge_role": condition.declaration.acknowledge_role.value,
        "enabled": found.enabled,
        "retain": found.retain,
        "suppressed": found.suppressed,
        "out_of_service": found.out_of_service,
        "silenced": found.silenced,
        "shelving": shelving,
        "unshelved_in": max(0.0, found.unshelve_at - now) if shelving == "TimedShelved" else None,
        "hidden": found.suppressed_or_shelved,
        "exceeded": [name for bit, name in enumerate(_LIMITS) if found.limits >> bit & 1],
        "limits": dict(limits),
        "declared_limits": dict(condition.declaration.limits),
        "unit": None if unit is None else unit.symbol,
        "configure_role": LIMITS_ROLE.value,
        "quality": quality_of(found.quality),
        "status": status_name(found.quality),
        "comment": found.comment,
        "user": found.client_user,
        "evidence": None if found.evidence is None else found.evidence.id,
    }


def condition_form(condition: Condition) -> Json:
    """Return what a condition is, whatever its state."""
    declaration = condition.declaration
    return {"path": condition.path, "name": condition.name, "kind": declaration.kind.value,
            "severity": declaration.severity, "message": declaration.message}  # fmt: skip


def audit_form(found: AuditEntry) -> Json:
    """Return an entry of the audit trail."""
    return {
        "time": iso(found.time),
        "who": found.who,
        "origin": found.origin,
        "kind": found.kind.value,
        "action": found.action,
        "arguments": list(found.arguments),
        "status": status_name(found.status),
        "status_code": found.status,
        "message": found.message,
        "details": dict(found.details),
    }
