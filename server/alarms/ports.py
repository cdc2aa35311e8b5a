"""What a condition is at a moment, and what may be done with it: the one interface of the alarm engine."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from address_space.model import Condition
from server.evidence import Evidence
from server.security.principal import Principal

UNSHELVED, TIMED_SHELVED, ONE_SHOT_SHELVED = 0, 1, 2
HIGH_HIGH, HIGH, LOW, LOW_LOW = 1, 2, 4, 8
"""Bits of a mask of limits that are exceeded."""
MAX_TIME_SHELVED_MS = 24 * 3600 * 1000.0


class Snapshot(NamedTuple):
    """A condition, or a branch of it, at one moment: all that an event of it carries (OPC 10000-9 5.5 to 5.8).

    Times are ticks, 0 for never. `branch` is empty for the trunk, else 16 bytes. `limits` is a mask of limits, of which
    exclusive kinds have at most one. `unshelve_at` is in seconds of the monotonic clock. `kind_of_event` says what has
    changed: active, branch, inactive, limit, quality, acknowledged, confirmed, commented, enabled, disabled, shelved,
    unshelved, suppressed, unsuppressed, silenced, out_of_service, in_service, false_alarm. `evidence` is that of the
    activation, of the kind vision alone.
    """

    condition: Condition
    branch: bytes = b""
    event_id: bytes = b""
    time: int = 0
    receive_time: int = 0
    message: str = ""
    severity: int = 1
    last_severity: int = 0
    severity_time: int = 0
    quality: int = 0
    quality_time: int = 0
    retain: bool = False
    enabled: bool = True
    enabled_time: int = 0
    active: bool = False
    active_time: int = 0
    acked: bool = True
    acked_time: int = 0
    confirmed: bool = True
    confirmed_time: int = 0
    suppressed: bool = False
    suppressed_time: int = 0
    out_of_service: bool = False
    out_of_service_time: int = 0
    silenced: bool = False
    silenced_time: int = 0
    shelving: int = UNSHELVED
    shelving_time: int = 0
    unshelve_at: float = 0.0
    suppressed_or_shelved: bool = False
    limits: int = 0
    comment: str = ""
    comment_time: int = 0
    client_user: str = ""
    kind_of_event: str = ""
    evidence: Evidence | None = None


Listener = Callable[[Sequence[Snapshot]], None]


class AlarmPort(Protocol):
    """All conditions of a plant. Whoever calls is on the event loop; what is awaited is kept on the disk by then.

    Methods of operators raise CommandError with the StatusCodes of OPC 10000-9, after which nothing has changed. A
    `comment` of None leaves the one before.
    """

    listeners: list[Listener]
    """Called with every transition, in order, on the event loop."""

    def state(self, condition: Condition) -> Snapshot:
        """Return the trunk as it is."""
        ...

    def branches(self, condition: Condition) -> Sequence[Snapshot]:
        """Return the branches that are not acknowledged (and confirmed) yet, oldest first."""
        ...

    def retained(self) -> list[Snapshot]:
        """Return every trunk and branch with Retain."""
        ...

    def limits(self, condition: Condition) -> Mapping[str, float]:
        """Return the limits in force by name."""
        ...

    async def set_limit(self, condition: Condition, name: str, value: float, principal: Principal, origin: str) -> None:
        """Change a limit, and keep it."""
        ...

    async def acknowledge(
        self, condition: Condition, event_id: bytes, comment: str | None, principal: Principal, origin: str
    ) -> None:
        """Acknowledge the trunk or a branch, whichever the event was of."""
        ...

    async def confirm(
        self, condition: Condition, event_id: bytes, comment: str | None, principal: Principal, origin: str
    ) -> None:
        """Confirm the trunk or a branch."""
        ...

    async def add_comment(
        self, condition: Condition, event_id: bytes, comment: str | None, principal: Principal, origin: str
    ) -> None:
        """Comment on the trunk or a branch."""
        ...

    async def enable(self, condition: Condition, principal: Principal, origin: str) -> None:
        """Evaluate the condition again."""
        ...

    async def disable(self, condition: Condition, principal: Principal, origin: str) -> None:
        """Have the condition raise nothing until it is enabled."""
        ...

    async def timed_shelve(
        self, condition: Condition, milliseconds: float, principal: Principal, origin: str, comment: str | None = None
    ) -> None:
        """Shelve for a time."""
        ...

    async def one_shot_shelve(
        self, condition: Condition, principal: Principal, origin: str, comment: str | None = None
    ) -> None:
        """Shelve until it is no longer active."""
        ...

    async def unshelve(
        self, condition: Condition, principal: Principal, origin: str, comment: str | None = None
    ) -> None:
        """End shelving."""
        ...

    async def suppress(
        self, condition: Condition, principal: Principal, origin: str, comment: str | None = None
    ) -> None:
        """Suppress."""
        ...

    async def unsuppress(
        self, condition: Condition, principal: Principal, origin: str, comment: str | None = None
    ) -> None:
        """End suppression."""
        ...

    async def remove_from_service(
        self, condition: Condition, principal: Principal, origin: str, comment: str | None = None
    ) -> None:
        """Take out of service, for maintenance."""
        ...

    async def place_in_service(
        self, condition: Condition, principal: Principal, origin: str, comment: str | None = None
    ) -> None:
        """Bring back into service."""
        ...

    async def silence(
        self, condition: Condition, principal: Principal, origin: str, comment: str | None = None
    ) -> None:
        """Silence the horn of an active condition; the next activation sounds again."""
        ...

    async def event_with(self, id_: str) -> Snapshot | None:
        """Return the event that an alarm was raised with, by the id of its evidence; None where it is not kept."""
        ...

    async def report_false_alarm(
        self, condition: Condition, event_id: bytes, comment: str | None, principal: Principal, origin: str
    ) -> None:
        """Keep the pictures of an activation that was none, for training; the event may be one of the past."""
        ...

    def snapshot_uri(self, snapshot: Snapshot) -> str:
        """Return where its picture is had over HTTP; empty for one without evidence."""
        ...

    async def history(self, start: int, end: int, limit: int = 0) -> list[Snapshot]:
        """Return events with start <= time < end (ticks), oldest first, at most `limit` (0: all)."""
        ...
