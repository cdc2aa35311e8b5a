"""The few interfaces between the server and what is around it: sources, gateways, and the errors of commands."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from address_space.model import Machine, Plant, Variable
from server.security.principal import Principal

if TYPE_CHECKING:
    from server.alarms.ports import AlarmPort
    from server.audit import AuditKind
    from server.audit_trail import AuditTrail
    from server.emergency_stop import EmergencyStops
    from server.evidence import EvidenceRegister
    from server.history import Historian
    from server.opcua.inside import Inside
    from server.security.trust import TrustList
    from server.store import Store


class CommandError(Exception):
    """A command or write that was refused or failed: `status` is an OPC UA StatusCode, the text says why.

    `argument_statuses` holds one StatusCode an input argument where an argument was at fault.
    """

    def __init__(self, status: int, message: str, argument_statuses: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.argument_statuses = argument_statuses


@runtime_checkable
class StoreFed(Protocol):
    """A source whose models read set-points from the store with their next step: writing them there is all it takes."""

    def takes(self, variable: Variable) -> tuple[float, float] | None:
        """Return the least and the greatest value it takes of a set-point; None when it must be asked each time."""
        ...


@dataclass(frozen=True, slots=True)
class Put:
    """One set-point to write; `source_timestamp` in ticks, None for now."""

    variable: Variable
    value: Any
    source_timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source is given: its own machines, the store to write to, and its options from the plant file."""

    name: str
    plant: Plant
    machines: tuple[Machine, ...]
    store: "Store"
    options: Mapping[str, Any]
    evidence: "EvidenceRegister | None" = None
    """Where evidence of vision alarms goes; None where no server shows it."""
    data_dir: Path = Path("data")
    """The server's folder of what must survive a restart."""


class Source(Protocol):
    """What feeds variables of some machines and carries commands to them."""

    async def run(self) -> None:
        """Feed the store until cancelled; raises when it fails: the supervisor starts it again."""
        ...

    async def put(self, variable: Variable, value: Any) -> None:
        """Actuate a set-point; returns once the peer has accepted it; raises CommandError."""
        ...

    async def execute(self, machine: Machine, command: str, arguments: tuple[Any, ...]) -> None:
        """Carry out a command; raises CommandError."""
        ...

    async def emergency_stop(self, machine: Machine, active: bool) -> None:
        """Stop now and stay stopped (True), or release to Stopped (False); idempotent; raises CommandError."""
        ...


class CommandPort(Protocol):
    """The one way in for commands and set-points; in the server's process it is `server.commands.Commands`."""

    async def execute(self, path: str, arguments: Sequence[Any], principal: Principal, origin: str) -> tuple[Any, ...]:
        """Carry out `Plant.Generator1.Start`; returns its outputs; raises CommandError."""
        ...

    async def put_many(self, puts: Sequence[Put], principal: Principal, origin: str) -> list[CommandError | None]:
        """Write set-points, each by itself: returns what went wrong with each, None where it is done."""
        ...


class Identities(Protocol):
    """Who may act through a gateway."""

    async def authenticate(self, name: str, password: str, peer: str) -> Principal | None:
        """Return the user with this password, None when there is none; throttled by name and peer."""
        ...

    def named(self, name: str) -> Principal | None:
        """Return a user by name alone: for credentials that the gateway's configuration maps to it."""
        ...

    def standing(self, name: str) -> tuple[Principal, str] | None:
        """Return a user by name, and a text that is another once the password or the roles have changed."""
        ...


class Recorder(Protocol):
    """Puts what is no command onto the audit trail: who, from where, what, with what, and what went wrong."""

    async def __call__(
        self,
        principal: Principal,
        origin: str,
        action: str,
        arguments: Sequence[Any],
        fault: CommandError | None,
        kind: "AuditKind | None" = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Return once the record is on the disk; `kind` is by default what the action's name says."""
        ...


@dataclass(slots=True)
class GatewayStatus:
    """How a gateway is doing: the gateway sets it, the tree and /metrics show it.

    `lag` is the age in seconds of the oldest sample not delivered yet; `queue_depth` counts samples that wait;
    `delivered` and `dropped` count samples since the start of the process.
    """

    connected: bool = False
    lag: float = 0.0
    queue_depth: int = 0
    delivered: int = 0
    dropped: int = 0
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class GatewayContext:
    """What a gateway is given.

    `data_dir` is a folder of its own for what must survive; the certificate is the server's (PEM files).
    """

    name: str
    plant: Plant
    store: "Store"
    commands: CommandPort
    identities: Identities
    status: GatewayStatus
    data_dir: Path
    certificate_file: Path
    private_key_file: Path
    alarms: "AlarmPort | None" = None
    """The plant's conditions; None for a gateway that runs alone."""
    history: "Callable[[], Historian | None]" = lambda: None
    """The historian, once it is open; None where there is none."""
    audit: "AuditTrail | None" = None
    trust: "TrustList | None" = None
    stops: "EmergencyStops | None" = None
    evidence: "EvidenceRegister | None" = None
    inside: "Inside | None" = None
    """The address space as a client would see it."""
    record: Recorder | None = None
    """Of these, too, a gateway that runs alone has none."""


class Gateway(Protocol):
    """What mirrors the tree to another protocol; fed by journal cursors that it opens and closes in `run`."""

    async def run(self) -> None:
        """Serve until cancelled; raises when it fails: the supervisor starts it again with backoff."""
        ...
