"""The few interfaces between the server and what is around it: sources, and the errors of commands."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from address_space.model import Machine, Plant, Variable

if TYPE_CHECKING:
    from server.store import Store


class CommandError(Exception):
    """A command or write that was refused or failed: `status` is an OPC UA StatusCode, the text says why.

    `argument_statuses` holds one StatusCode an input argument where an argument was at fault.
    """

    def __init__(self, status: int, message: str, argument_statuses: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.argument_statuses = argument_statuses


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source is given: its own machines, the store to write to, and its options from the plant file."""

    name: str
    plant: Plant
    machines: tuple[Machine, ...]
    store: "Store"
    options: Mapping[str, Any]


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
