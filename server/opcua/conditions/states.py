"""States as clients see them: their texts (English) and the NodeIds of the states of the two state machines."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from asyncua import ua

_IDS = ua.ObjectIds

TEXTS: dict[str, tuple[str, str]] = {
    "EnabledState": ("Disabled", "Enabled"),
    "ActiveState": ("Inactive", "Active"),
    "AckedState": ("Unacknowledged", "Acknowledged"),
    "ConfirmedState": ("Unconfirmed", "Confirmed"),
    "SuppressedState": ("Unsuppressed", "Suppressed"),
    "OutOfServiceState": ("In Service", "Out of Service"),
    "SilenceState": ("Not Silenced", "Silenced"),
    "HighHighState": ("HighHigh inactive", "HighHigh active"),
    "HighState": ("High inactive", "High active"),
    "LowState": ("Low inactive", "Low active"),
    "LowLowState": ("LowLow inactive", "LowLow active"),
}
"""By TwoStateVariable: its text while Id is False, and while it is True (OPC 10000-9 A.1)."""

SHELVING: tuple[tuple[str, ua.NodeId], ...] = (
    ("Unshelved", ua.NodeId(_IDS.ShelvedStateMachineType_Unshelved)),
    ("Timed Shelved", ua.NodeId(_IDS.ShelvedStateMachineType_TimedShelved)),
    ("One Shot Shelved", ua.NodeId(_IDS.ShelvedStateMachineType_OneShotShelved)),
)
"""Text and StateType of each shelving state, numbered as in a Snapshot."""

LIMITS: tuple[tuple[int, str, ua.NodeId], ...] = (
    (1, "HighHigh", ua.NodeId(_IDS.ExclusiveLimitStateMachineType_HighHigh)),
    (8, "LowLow", ua.NodeId(_IDS.ExclusiveLimitStateMachineType_LowLow)),
    (2, "High", ua.NodeId(_IDS.ExclusiveLimitStateMachineType_High)),
    (4, "Low", ua.NodeId(_IDS.ExclusiveLimitStateMachineType_Low)),
)
"""Bit in a Snapshot, text and StateType of each limit, the outer ones first."""

LIMIT_BITS = {name: bit for bit, name, _ in LIMITS}


def limit_state(limits: int) -> tuple[str, ua.NodeId] | None:
    """Return the LimitState of an exclusive alarm, None while it is not active."""
    return next(((text, state) for bit, text, state in LIMITS if limits & bit), None)


def limit_texts(limits: int) -> str:
    """Return the limits that are exceeded, the outer ones first: "HighHigh, High"."""
    return ", ".join(text for bit, text, _ in LIMITS if limits & bit)
