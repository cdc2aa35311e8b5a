"""Puts the engine's conditions into an OPC UA server: states to nodes and events, calls and limits to the engine."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from server.alarms.ports import AlarmPort, Snapshot
from server.evidence import EvidenceRegister
from server.opcua.conditions.events import events

if TYPE_CHECKING:
    from server.opcua.internal_server import PlantInternalServer


def attach(
    internal: "PlantInternalServer",
    alarms: AlarmPort,
    certificate: Callable[[], bytes],
    evidence: EvidenceRegister | None = None,
) -> None:
    """Have a server show the conditions of `alarms`, before it listens.

    `certificate` gives the server's own (DER), `evidence` the pictures of vision alarms.
    """
    conditions = internal.aspace.conditions
    conditions.files.register = conditions.pictures.register = evidence
    conditions.alarms, conditions.certificate = alarms, certificate

    def changed(snapshots: Sequence[Snapshot]) -> None:
        internal.refresh.changed(snapshots)
        internal.subscriptions.offer(events(conditions, snapshots))
        conditions.tell(snapshot.condition for snapshot in snapshots if not snapshot.branch)

    alarms.listeners.append(changed)
