"""Fields of a condition from its Snapshot: the same for events and for the nodes of the instance (OPC 10000-9 5)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import functools
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from asyncua import ua

from server.alarms.ports import Snapshot
from server.opcua.attributes import NAMESPACE, text
from server.opcua.conditions.members import Path
from server.opcua.conditions.states import LIMIT_BITS, SHELVING, TEXTS, limit_state, limit_texts
from server.store import from_ticks

Field = Callable[[Snapshot], ua.Variant]

_V = ua.VariantType
_BOOLEANS = (ua.Variant(False, _V.Boolean), ua.Variant(True, _V.Boolean))
_QUARTER_HOUR = 15 * 60 * 10_000_000
"""In ticks: no zone changes its offset in between."""
_NULL_NODE = ua.Variant(ua.NodeId(), _V.NodeId)
NULL = ua.Variant(None, _V.Null)


@functools.lru_cache(maxsize=16_384)
def words(given: str) -> ua.Variant:
    """Return a text in the plant file's language as a Variant."""
    return ua.Variant(text(given), _V.LocalizedText)


@functools.lru_cache(maxsize=1024)  # of one event, many are the same
def moment(ticks: int) -> ua.Variant:
    """Return a DateTime; 0 ticks, for never, is the null DateTime."""
    return ua.Variant(from_ticks(ticks), _V.DateTime)


def local_time(ticks: int) -> ua.Variant:
    """Return how the server's clock differs from UTC at that time: a TimeZoneDataType (OPC 10000-3 8.28)."""
    return _zone(ticks // _QUARTER_HOUR)


@functools.lru_cache(maxsize=64)
def _zone(quarter: int) -> ua.Variant:
    here = time.localtime(from_ticks(quarter * _QUARTER_HOUR).timestamp())
    zone = ua.TimeZoneDataType(Offset=here.tm_gmtoff // 60, DaylightSavingInOffset=here.tm_isdst > 0)
    return ua.Variant(zone, _V.ExtensionObject)


@functools.lru_cache(maxsize=16_384)
def nodes(given: ua.NodeId) -> ua.Variant:
    """Return a NodeId as a Variant."""
    return ua.Variant(given, _V.NodeId)


def remaining(snapshot: Snapshot) -> float:
    """Return for how long it stays shelved, in ms (OPC 10000-9 5.8.10.4)."""
    return max(0.0, snapshot.unshelve_at - time.monotonic()) * 1000.0 if snapshot.shelving else 0.0


def effective(snapshot: Snapshot) -> str:
    """Return all that matters of the state in a few words: EnabledState.EffectiveDisplayName."""
    if not snapshot.enabled:
        return "Disabled"
    parts = [active(snapshot)]
    parts += ["Unacknowledged"] * (not snapshot.acked) + ["Unconfirmed"] * (snapshot.acked and not snapshot.confirmed)
    parts += [SHELVING[snapshot.shelving][0]] * bool(snapshot.shelving)
    parts += ["Suppressed"] * snapshot.suppressed + ["Out of Service"] * snapshot.out_of_service
    return ", ".join(parts)


def active(snapshot: Snapshot) -> str:
    """Return ActiveState.EffectiveDisplayName: the limits with it."""
    if not snapshot.active:
        return "Inactive"
    return f"Active, {limit_texts(snapshot.limits)}" if snapshot.limits else "Active"


def _two_state(name: str, is_on: Callable[[Snapshot], bool]) -> dict[Path, Field]:
    shown = tuple(words(it) for it in TEXTS[name])
    return {
        (name,): lambda snapshot: shown[is_on(snapshot)],
        (name, "Id"): lambda snapshot: _BOOLEANS[is_on(snapshot)],
    }


def _limit(name: str) -> dict[Path, Field]:
    bit = LIMIT_BITS[name]
    return _two_state(f"{name}State", lambda snapshot: bool(snapshot.active and snapshot.limits & bit))


def _current_limit(snapshot: Snapshot) -> ua.Variant:
    found = limit_state(snapshot.limits) if snapshot.active else None
    return NULL if found is None else words(found[0])


def _current_limit_id(snapshot: Snapshot) -> ua.Variant:
    found = limit_state(snapshot.limits) if snapshot.active else None
    return NULL if found is None else nodes(found[1])


def _branch(snapshot: Snapshot) -> ua.Variant:
    if not snapshot.branch:
        return _NULL_NODE
    return ua.Variant(ua.NodeId(snapshot.branch, NAMESPACE, ua.NodeIdType.ByteString), _V.NodeId)


FIELDS: dict[Path, Field] = {
    ("EventId",): lambda it: ua.Variant(it.event_id, _V.ByteString),
    ("Time",): lambda it: moment(it.time),
    ("ReceiveTime",): lambda it: moment(it.receive_time),
    ("LocalTime",): lambda it: local_time(it.time),
    ("Message",): lambda it: words(it.message),
    ("Severity",): lambda it: ua.Variant(it.severity, _V.UInt16),
    ("BranchId",): _branch,
    ("Retain",): lambda it: _BOOLEANS[it.retain],
    ("Quality",): lambda it: ua.Variant(ua.StatusCode(it.quality), _V.StatusCode),
    ("Quality", "SourceTimestamp"): lambda it: moment(it.quality_time or it.time),
    ("LastSeverity",): lambda it: ua.Variant(it.last_severity, _V.UInt16),
    ("LastSeverity", "SourceTimestamp"): lambda it: moment(it.severity_time or it.time),
    ("Comment",): lambda it: ua.Variant(ua.LocalizedText(it.comment), _V.LocalizedText),  # in whatever language
    ("Comment", "SourceTimestamp"): lambda it: moment(it.comment_time),
    ("ClientUserId",): lambda it: ua.Variant(it.client_user, _V.String),
    ("SuppressedOrShelved",): lambda it: _BOOLEANS[it.suppressed_or_shelved],
    **_two_state("EnabledState", lambda it: it.enabled),
    ("EnabledState", "EffectiveDisplayName"): lambda it: words(effective(it)),
    ("EnabledState", "TransitionTime"): lambda it: moment(it.enabled_time),
    ("EnabledState", "EffectiveTransitionTime"): lambda it: moment(it.time),
    **_two_state("ActiveState", lambda it: it.active),
    ("ActiveState", "EffectiveDisplayName"): lambda it: words(active(it)),
    ("ActiveState", "TransitionTime"): lambda it: moment(it.active_time),
    ("ActiveState", "EffectiveTransitionTime"): lambda it: moment(it.severity_time or it.active_time),
    **_two_state("AckedState", lambda it: it.acked),
    ("AckedState", "TransitionTime"): lambda it: moment(it.acked_time),
    **_two_state("ConfirmedState", lambda it: it.confirmed),
    ("ConfirmedState", "TransitionTime"): lambda it: moment(it.confirmed_time),
    **_two_state("SuppressedState", lambda it: it.suppressed),
    ("SuppressedState", "TransitionTime"): lambda it: moment(it.suppressed_time),
    **_two_state("OutOfServiceState", lambda it: it.out_of_service),
    ("OutOfServiceState", "TransitionTime"): lambda it: moment(it.out_of_service_time),
    **_two_state("SilenceState", lambda it: it.silenced),
    ("SilenceState", "TransitionTime"): lambda it: moment(it.silenced_time),
    ("ShelvingState", "CurrentState"): lambda it: words(SHELVING[it.shelving][0]),
    ("ShelvingState", "CurrentState", "Id"): lambda it: nodes(SHELVING[it.shelving][1]),
    ("ShelvingState", "UnshelveTime"): lambda it: ua.Variant(remaining(it), _V.Double),
    ("LimitState", "CurrentState"): _current_limit,
    ("LimitState", "CurrentState", "Id"): _current_limit_id,
    **_limit("HighHigh"), **_limit("High"), **_limit("Low"), **_limit("LowLow"),
}  # fmt: skip
"""What changes with a condition's state."""


def data_value(found: ua.Variant, snapshot: Snapshot, path: Path) -> ua.DataValue:
    """Return a field as the Value of the instance's node; a state machine that does not run says so (OPC 10000-16)."""
    now = datetime.now(UTC)
    if path[0] == "LimitState" and found is NULL:
        return ua.DataValue(found, ua.StatusCode(ua.StatusCodes.BadStateNotActive), ServerTimestamp=now)
    return ua.DataValue(found, ua.StatusCode(), from_ticks(snapshot.time) if snapshot.time else now, now)


def variant(value: Any, kind: ua.VariantType) -> ua.Variant:
    """Return a value as a Variant of a type."""
    return ua.Variant(value, kind)
