"""Puts the parts together: the one module besides __main__ that knows them all."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec

from cryptography.hazmat.primitives.serialization import Encoding

from address_space import Machine, Plant, load_plant
from address_space.errors import did_you_mean
from server import logs
from server.alarms import Alarms
from server.audit_trail import AuditTrail
from server.audit_upkeep import AuditUpkeep
from server.commands import Commands
from server.composition import annotator, available, history_backend, package
from server.computed import Computed
from server.diagnostics import (
    Diagnostics,
    ServerFigures,
    gateway_task_name,
    register_gateway_metrics,
    register_metrics,
    task_name,
)
from server.emergency_stop import EmergencyStops
from server.evidence import EvidenceRegister
from server.freshness import Freshness
from server.gateway_part import GatewayPackage, GatewayPart, GatewaySettings, pem_copy
from server.historian import HistorianPart
from server.history import Historian
from server.http import Http
from server.metrics import Metrics
from server.opcua.conditions import wiring as conditions
from server.opcua.inside import InsideClient
from server.opcua.security import Gatekeeper
from server.opcua.server import OpcUaServer
from server.ports import CommandError, GatewayContext, GatewayStatus, Source, SourceContext
from server.security.certificates import load_or_create
from server.security.trust import TrustList
from server.security.users import Users
from server.settings import Settings
from server.snapshots import Snapshots
from server.state import State
from server.store import Store, to_ticks
from server.supervision import Supervisor

log = logs.get(__name__)

SOURCE_KINDS = ("physics", "modbus_plc", "replay", "vision")

_SETTLE_S = 1.0
"""How long commands under way may take to end when the server stops."""
_DAY_S = 86_400.0
_FLUSH_S = 3.0
"""How long gateways may take to make durable what they were given, after the sources have ended."""


class Plantree:
    """A whole server. `start` raises PlantError, SettingsError or StartError with one clear sentence.

    `gateways` are the packages of gateways by name, None for all that there are; those that the settings enable run.
    """

    def __init__(
        self, settings: Settings, plant: Plant | None = None, gateways: Mapping[str, GatewayPackage] | None = None
    ) -> None:
        self.settings = settings
        self.plant = plant or load_plant(settings.plant)
        self.store = Store(self.plant, settings.journal_rows)
        self.evidence = EvidenceRegister()
        self.sources = {
            name: _create_source(self.plant, self.store, name, self.evidence, settings) for name in self.plant.sources
        }
        self.own = load_or_create(
            settings.certs_dir,
            host_names=settings.opcua.certificate_hosts,
            days=settings.opcua.certificate_days,
        )
        self.state = State(settings.data_dir / "state.sqlite")
        self.users = Users(settings.data_dir / "users.sqlite", settings.certs_dir / "users")
        self.trust = TrustList(settings.certs_dir)
        self.commands = Commands(self.plant, self.store, self.state, self.sources)
        self.stops = EmergencyStops(self.plant, self.store, self.state, self.commands, self.sources)
        gate = Gatekeeper(
            trust=self.trust,
            users=self.users,
            allow_none=settings.opcua.allow_none,
            anonymous=settings.opcua.anonymous,
            max_sessions=settings.opcua.max_sessions,
        )
        self.opcua = OpcUaServer(self.plant, self.store, self.commands, settings.opcua, gate, self.own)
        self.alarms = Alarms(
            self.plant,
            self.store,
            settings.data_dir / "alarms.sqlite",
            expires=to_ticks(self.own.certificate.not_valid_after_utc),
            audit=self.commands.audit,
            keep_events=settings.alarms.retention_days * _DAY_S,
            evidence=self.evidence,
        )
        conditions.attach(
            self.opcua.internal, self.alarms, lambda: self.own.certificate.public_bytes(Encoding.DER), self.evidence
        )
        self._annotate = annotator(settings, self.alarms)
        self.historian: HistorianPart | None = None
        if settings.historian.enabled:
            self.historian = HistorianPart(self.store, history_backend(self.plant, settings))
        self.supervisor = Supervisor()
        self.gateway_supervisor = Supervisor()  # its own: gateways end last, when all that they carry is there
        self.gateways = self._create_gateways(gateways)
        statuses = {name: part.status for name, part in self.gateways.items()}
        self.metrics = metrics = Metrics()
        register_metrics(metrics, self.store, (self.supervisor, self.gateway_supervisor), self.users, self.trust)
        register_gateway_metrics(metrics, statuses)
        metrics.gauge("plantree_sessions", "OPC UA sessions", lambda: self.opcua.internal.session_count)
        if self.historian is not None:
            self.historian.register_metrics(metrics)
        self.http = Http(settings.http, metrics)
        Snapshots(self.plant, self.evidence, self.users, self.alarms.past_evidence).attach(self.http.app)
        figures = ServerFigures(self.store, self.users, self.trust)
        self._diagnostics = Diagnostics(
            self.plant, self.store, self.supervisor, statuses, self.gateway_supervisor,
            lambda: figures(self.opcua.internal.session_count),
        )  # fmt: skip

    async def start(self) -> None:
        """Bring everything up; returns once clients may connect."""
        await self.http.start()
        self.evidence.base_url = self.http.base_url
        if self.historian is not None:
            await self.historian.open(self.opcua)
        await self.opcua.build(self.settings.nodesets)
        await self.commands.restore()
        self.stops.restore()
        if self.historian is not None:
            await self.historian.serve(self.opcua, self.commands.audit)
            await self.opcua.internal.keep_events(AuditTrail(self.state.path))
        await self.opcua.start()
        self._greet_administrator()  # only now: a start that fails must not show a password that nobody keeps
        add, limits = self.supervisor.add, self.settings.sources
        freshness = Freshness(self.plant, self.store, limits.stale_after, limits.bad_after)
        add("opcua notifications", self.opcua.run)
        add("sessions of changed users", self.opcua.departures.run)
        add("computed variables", Computed(self.plant, self.store).run)
        add("freshness", freshness.run)
        add("emergency stop buttons", self.stops.run)
        add("alarms", self.alarms.run)
        add("pictures of alarms", self.opcua.space.conditions.pictures.run)
        add("diagnostics", self._diagnostics.run)
        add("audit upkeep", AuditUpkeep(self.state, self.settings.audit).run)
        if self.historian is not None:
            add("historian", self.historian.run)
            add("historian upkeep", self.historian.look_after)
        if self._annotate is not None:
            add("grafana annotations", self._annotate)
        for name, source in self.sources.items():
            add(task_name(name), self._runner(name, source), limits.startup)
        for name, part in self.gateways.items():
            self.gateway_supervisor.add(gateway_task_name(name), part.run, part.startup)
        self.http.health.ready()
        log.info("ready", endpoint=self.opcua.endpoint, variables=len(self.store))

    async def wait_failed(self) -> None:
        """Wait until a part whose policy is `error` could not start, then raise StartError."""
        waiting = [asyncio.create_task(s.wait_failed()) for s in (self.supervisor, self.gateway_supervisor)]
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for failed in done:
                failed.result()
        finally:
            for task in waiting:
                task.cancel()

    async def stop(self) -> None:
        """End everything; what must survive is on the disk."""
        self.http.health.stopping("the server is stopping")
        await self.opcua.stop()
        await self.commands.settle(_SETTLE_S)
        await self.supervisor.stop(timeout=1.5)
        await self.gateway_supervisor.stop(timeout=_FLUSH_S)
        if self.historian is not None:
            await self.historian.close()
        await self.http.stop()
        self.close()

    def close(self) -> None:
        """Let go of files and threads; for one that was never started, too."""
        self.users.close()
        self.alarms.close()
        self.state.close()

    def _runner(self, name: str, source: Source):  # noqa: ANN202  # a coroutine function
        async def run() -> None:
            try:
                await self.stops.assert_latches(name)
            except CommandError as error:
                log.warning("a latched machine could not be told yet", source=name, error=str(error))
            await source.run()

        return run

    def _create_gateways(self, packages: Mapping[str, GatewayPackage] | None) -> dict[str, GatewayPart]:
        parts: dict[str, GatewayPart] = {}
        for name in available() if packages is None else packages:
            settings: GatewaySettings | None = getattr(self.settings, name, None)
            if settings is None or not settings.enabled:
                continue
            context = GatewayContext(
                name=name,
                plant=self.plant,
                store=self.store,
                commands=self.commands,
                identities=self.users,
                status=GatewayStatus(),
                data_dir=self.settings.data_dir / "gateways" / name,
                alarms=self.alarms,
                certificate_file=pem_copy(self.own, self.settings.data_dir / "gateways" / "certificate.pem"),
                private_key_file=self.own.private_key_file,
                history=self._history,
                audit=AuditTrail(self.state.path),
                trust=self.trust,
                stops=self.stops,
                evidence=self.evidence,
                record=self.commands.audit,
                inside=partial(InsideClient, self.opcua.internal),
            )
            context.data_dir.mkdir(parents=True, exist_ok=True)
            parts[name] = GatewayPart(package(name) if packages is None else packages[name], context, settings)
        return parts

    def _history(self) -> Historian | None:
        return None if self.historian is None else self.historian.historian

    def _greet_administrator(self) -> None:
        password = self.users.ensure_administrator()
        if password is not None:
            # Not through the log: logs are collected, and this is a secret.
            sys.stderr.write(
                f"\n  First start. The administrator is `admin`, the password (shown once): {password}\n\n"
            )


@contextlib.asynccontextmanager
async def running(
    settings: Settings, plant: Plant | None = None, gateways: Mapping[str, GatewayPackage] | None = None
) -> AsyncGenerator[Plantree]:
    """Run a whole server for the time of a `with` block."""
    plantree = Plantree(settings, plant, gateways)
    try:
        await plantree.start()
        yield plantree
    finally:
        await asyncio.shield(plantree.stop())


def _create_source(plant: Plant, store: Store, name: str, evidence: EvidenceRegister, settings: Settings) -> Source:
    declaration = plant.sources[name]
    if declaration.kind not in SOURCE_KINDS or find_spec(f"sources.{declaration.kind}") is None:
        hint = did_you_mean(declaration.kind, SOURCE_KINDS) or f"; there are {', '.join(SOURCE_KINDS)}"
        raise plant.error(("sources", name, "kind"), f"there is no kind of source {declaration.kind!r}{hint}")
    machines: tuple[Machine, ...] = tuple(machine for machine in plant.machines if machine.source == name)
    context = SourceContext(name, plant, machines, store, declaration.options, evidence, settings.data_dir)
    create = import_module(f"sources.{declaration.kind}").create
    source: Source = create(context)
    return source
