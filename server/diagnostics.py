"""How the server is doing: variables under ServerDiagnostics, and metrics of the same."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from address_space import diagnostics
from address_space.model import Plant
from server.metrics import Metrics
from server.ports import GatewayStatus
from server.security.trust import TrustList
from server.security.users import Users
from server.store import Store, now_ticks, to_ticks
from server.supervision import Supervisor, TaskStatus

_PERIOD_S = 0.5
_DROPPING_S = 600.0
_LOAD_S = 10.0
_DISABLED = "Disabled"
_NOTHING = GatewayStatus()


class Diagnostics:
    """Shows the state of each source and gateway in the tree; a source that was never started shows nothing.

    `gateways` are those that are enabled; their tasks may have a supervisor of their own. `figures` gives the server's
    own by the names of variables, `clock` seconds.
    """

    def __init__(
        self,
        plant: Plant,
        store: Store,
        supervisor: Supervisor,
        gateways: Mapping[str, GatewayStatus] | None = None,
        gateway_supervisor: Supervisor | None = None,
        figures: Callable[[], Mapping[str, Any]] = dict,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plant = plant
        self._store = store
        self._supervisor = supervisor
        self._gateways = gateways or {}
        self._gateway_supervisor = gateway_supervisor or supervisor
        self._figures = figures
        self._clock = clock
        self._dropped: dict[str, tuple[int, float]] = {}
        """Samples that a gateway had given up when it last gave up some, and when that was seen."""
        self._shown: dict[int, Any] = {}
        self._started = now_ticks()

    async def run(self) -> None:
        """Look twice a second until cancelled, and write what has changed."""
        while True:
            self.show()
            await asyncio.sleep(_PERIOD_S)

    def show(self) -> None:
        """Write what has changed since the last look."""
        folder = f"{self._plant.name}.{diagnostics.OBJECT}"
        self._write(folder, self._figures())
        for name in self._plant.sources:
            status = self._supervisor.tasks.get(task_name(name))
            if status is not None:
                self._write(f"{folder}.{name}", _task_values(status))
        for name in diagnostics.GATEWAYS:
            self._write(f"{folder}.{name}", self._gateway_values(name))

    def _gateway_values(self, name: str) -> dict[str, Any]:
        gateway = self._gateways.get(name, _NOTHING)
        task = self._gateway_supervisor.tasks.get(gateway_task_name(name))
        if name not in self._gateways:
            values = {"State": _DISABLED, "Since": self._started, "Restarts": 0}
        elif task is None:
            values = {}
        else:
            values = _task_values(task)
        return {
            **values,
            "LastError": gateway.last_error,
            "Connected": gateway.connected,
            "Lag": gateway.lag,
            "QueueDepth": gateway.queue_depth,
            "Delivered": gateway.delivered,
            "Dropped": gateway.dropped,
            "Dropping": self._dropping(name, gateway.dropped),
        }

    def _dropping(self, name: str, dropped: int) -> bool:
        now = self._clock()
        before, seen = self._dropped.get(name, (0, -math.inf))
        if dropped > before:
            self._dropped[name], seen = (dropped, now), now
        return now - seen < _DROPPING_S

    def _write(self, path: str, values: Mapping[str, Any]) -> None:
        machine = self._plant.machine(path)
        changed = {machine.variables[name].id: value for name, value in values.items()}
        changed = {id_: value for id_, value in changed.items() if self._shown.get(id_, _NOTHING) != value}
        if changed:
            self._shown.update(changed)
            self._store.write(np.array(list(changed), np.int64), np.array(list(changed.values()), object), now_ticks())


def _task_values(status: TaskStatus) -> dict[str, Any]:
    return {
        "State": status.state.value,
        "Since": to_ticks(status.since),
        "Restarts": status.restarts,
        "LastError": status.last_error or "",
    }


def task_name(source: str) -> str:
    """Return the name of a source's supervised task."""
    return f"source {source}"


def gateway_task_name(gateway: str) -> str:
    """Return the name of a gateway's supervised task."""
    return f"gateway {gateway}"


def register_gateway_metrics(metrics: Metrics, gateways: Mapping[str, GatewayStatus]) -> None:
    """Offer the figures of the enabled gateways to Prometheus."""
    figures: tuple[tuple[Callable[..., None], str, str, Callable[[GatewayStatus], float]], ...] = (
        (metrics.gauge, "connected", "Whether the gateway's peer is there", lambda status: status.connected),
        (metrics.gauge, "lag_seconds", "Age of the oldest sample not delivered yet", lambda status: status.lag),
        (metrics.gauge, "queue_depth", "Samples that wait to be delivered", lambda status: status.queue_depth),
        (metrics.counter, "delivered_total", "Samples delivered", lambda status: status.delivered),
        (metrics.counter, "dropped_total", "Samples given up", lambda status: status.dropped),
    )
    for add, name, text, figure in figures:

        def look(figure: Callable[[GatewayStatus], float] = figure) -> dict[str, float]:
            return {gateway: figure(status) for gateway, status in gateways.items()}

        add(f"plantree_gateway_{name}", text, look, ["gateway"])


class ServerFigures:
    """The figures of the server itself by the names of their variables.

    How much changes is looked at every ten seconds: figures that change at each look are changes themselves.
    """

    def __init__(
        self, store: Store, users: Users, trust: TrustList, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._journal, self._users, self._trust = store.journal, users, trust
        self._clock = clock
        self._looked, self._end = clock(), store.journal.end
        self._load: dict[str, Any] = {"ChangesPerSecond": 0.0, "ChangesBehind": 0}

    def __call__(self, sessions: int) -> dict[str, Any]:
        """Return them; `sessions` are open."""
        now, journal = self._clock(), self._journal
        if now - self._looked >= _LOAD_S:
            rate = (journal.end - self._end) / (now - self._looked)
            behind = max((cursor.lag for cursor in journal.cursors), default=0)
            self._load = {"ChangesPerSecond": float(f"{rate:.3g}"), "ChangesBehind": behind}
            self._looked, self._end = now, journal.end
        return {
            "Sessions": sessions,
            **self._load,
            "ChangesMissed": sum(cursor.lost for cursor in journal.cursors),
            "RefusedSignIns": self._users.failures,
            "RefusedCertificates": self._trust.refusals,
        }


def register_metrics(
    metrics: Metrics, store: Store, supervisors: Sequence[Supervisor], users: Users, trust: TrustList
) -> None:
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
        lambda: {n: t.restarts for supervisor in supervisors for n, t in supervisor.tasks.items()},
        ["part"],
    )
    metrics.counter("plantree_sign_in_failures_total", "Refused sign-ins", lambda: users.failures)
    metrics.counter("plantree_refused_certificates_total", "Refused client certificates", lambda: trust.refusals)
