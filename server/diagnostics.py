"""How the server is doing: variables under ServerDiagnostics, and metrics of the same."""

import asyncio

import numpy as np

from address_space import diagnostics
from address_space.model import Plant
from server.metrics import Metrics
from server.security.trust import TrustList
from server.security.users import Users
from server.store import Store, now_ticks, to_ticks
from server.store.store import VALUE_DTYPES
from server.supervision import Supervisor, TaskStatus

_PERIOD_S = 0.5


class Diagnostics:
    """Shows the state of each source in the tree; a source that was never started shows nothing."""

    def __init__(self, plant: Plant, store: Store, supervisor: Supervisor) -> None:
        self._plant = plant
        self._store = store
        self._supervisor = supervisor
        self._shown: dict[str, TaskStatus] = {}

    async def run(self) -> None:
        """Look twice a second until cancelled, and write what has changed."""
        while True:
            self.show()
            await asyncio.sleep(_PERIOD_S)

    def show(self) -> None:
        """Write what has changed since the last look."""
        for name in self._plant.sources:
            status = self._supervisor.tasks.get(task_name(name))
            if status is not None and self._shown.get(name) != status:
                self._shown[name] = status
                self._write(name, status)

    def _write(self, source: str, status: TaskStatus) -> None:
        machine = self._plant.machine(f"{self._plant.name}.{diagnostics.OBJECT}.{source}")
        values = {
            "State": status.state.value,
            "Since": to_ticks(status.since),
            "Restarts": status.restarts,
            "LastError": status.last_error or "",
        }
        for name, value in values.items():
            variable = machine.variables[name]
            column = np.array([value], VALUE_DTYPES[variable.declaration.type])
            self._store.write(np.array([variable.id], np.int64), column, now_ticks())


def task_name(source: str) -> str:
    """Return the name of a source's supervised task."""
    return f"source {source}"


def register_metrics(metrics: Metrics, store: Store, supervisor: Supervisor, users: Users, trust: TrustList) -> None:
    """Offer the server's figures to Prometheus."""
    journal = store.journal
    metrics.gauge("plantree_variables", "Variables in the store", lambda: len(store))
    metrics.counter("plantree_changes_total", "Changes written to the store", lambda: journal.end)
    metrics.gauge(
        "plantree_cursor_lag_rows",
        "Changes a consumer has not read",
        lambda: {c.name: c.lag for c in journal.cursors},
        ["consumer"],
    )
    metrics.counter(
        "plantree_cursor_lost_total",
        "Changes a consumer missed",
        lambda: {c.name: c.lost for c in journal.cursors},
        ["consumer"],
    )
    metrics.counter(
        "plantree_restarts_total",
        "Restarts of a part",
        lambda: {n: t.restarts for n, t in supervisor.tasks.items()},
        ["part"],
    )
    metrics.counter("plantree_sign_in_failures_total", "Refused sign-ins", lambda: users.failures)
    metrics.counter("plantree_refused_certificates_total", "Refused client certificates", lambda: trust.refusals)
