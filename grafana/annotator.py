"""Annotations kept up with the conditions of a running server; what an outage of Grafana held back follows later."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from gateways.transitions import Transitions
from grafana.annotations import Annotations, Transition
from grafana.settings import GrafanaSettings
from server import logs
from server.alarms.ports import AlarmPort, Snapshot
from server.security.files import write_atomic
from server.store import from_ticks

log = logs.get(__name__)

FILE = "open.json"


class Annotator:
    """Writes a region for each time that a condition was active; `run` raises when Grafana cannot be had.

    `folder` keeps what was delivered and which regions have no end yet. At least once: what Grafana took in the moment
    of a kill may be there twice.
    """

    def __init__(self, alarms: AlarmPort, settings: GrafanaSettings, folder: Path) -> None:
        from grafana.provision import connect  # noqa: PLC0415  its library, only where there is a Grafana

        self._file = folder / FILE
        self._transitions = Transitions(alarms, folder)
        self._transitions.listen()
        self._annotations = Annotations(connect(settings).client)
        self._annotations.open = self._load()

    async def run(self) -> None:
        """Write annotations until cancelled."""
        await self._transitions.deliver(self._send)

    async def _send(self, snapshots: Sequence[Snapshot]) -> None:
        await asyncio.to_thread(self._write, [transition(it) for it in snapshots if not it.branch])

    def _write(self, changes: Sequence[Transition]) -> None:
        before = dict(self._annotations.open)
        try:
            for change in changes:
                self._annotations.write(change)
        finally:
            if self._annotations.open != before:
                write_atomic(self._file, json.dumps(self._annotations.open).encode(), 0o600)

    def _load(self) -> dict[str, int]:
        """Return the regions without an end; those of a file that cannot be read stay without one."""
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            return {str(condition): int(number) for condition, number in kept.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError, TypeError) as error:
            log.warning("annotations without an end stay so", file=str(self._file), error=str(error))
            return {}


def transition(snapshot: Snapshot) -> Transition:
    """Return what Grafana is told of a condition's state."""
    return Transition(
        condition=snapshot.condition.path,
        source=snapshot.condition.machine.path,
        severity=snapshot.severity,
        active=snapshot.active,
        message=snapshot.message,
        time=round(from_ticks(snapshot.time).timestamp() * 1000),
    )
