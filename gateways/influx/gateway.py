"""The gateway: the journal's rows to a time-series database, through the outbox."""

import asyncio
import random

from gateways.delivery import Lanes
from gateways.influx.alarm_writer import AlarmWriter
from gateways.influx.alarms import Order
from gateways.influx.dead_letter import DeadLetters
from gateways.influx.delivery import first
from gateways.influx.heartbeat import Heartbeats
from gateways.influx.losses import Losses
from gateways.influx.mapping import Mapping
from gateways.influx.peer import PeerError, connect, tls
from gateways.influx.restating import Told
from gateways.influx.session import Session
from gateways.influx.settings import InfluxSettings
from gateways.transitions import Transitions
from server import logs
from server.errors import StartError
from server.ports import GatewayContext
from server.settings import SettingsError
from server.supervision import Backoff

log = logs.get(__name__)

_ENTRY_ROWS = 16_384
_BACKOFF = Backoff(initial=0.5, maximum=15.0)
_LONGEST_WAIT_S = 300.0  # that a Retry-After may ask for


class InfluxGateway:
    """Writes every change to InfluxDB or VictoriaMetrics; what they do not confirm stays in the outbox.

    Raises SettingsError when a setting cannot work.
    """

    def __init__(self, context: GatewayContext, settings: InfluxSettings) -> None:
        if not settings.url:
            raise SettingsError("influx.url is not set: where is the database?")
        tls(settings)  # a wrong file must end the start, not each connection
        self._context = context
        self._settings = settings
        self._lanes = Lanes(context, settings.outbox, entry_rows=_ENTRY_ROWS)
        letters = DeadLetters(context.data_dir, settings.dead_letter_bytes)
        self._losses = Losses(self._lanes, letters, context.status)
        self._reached = False
        self._told = Told.nothing(len(context.store))
        """What the database had got when the last session ended."""
        self._order = Order() if context.alarms is None else Order(context.alarms.snapshot_uri)
        self._transitions = None if context.alarms is None else Transitions(context.alarms, context.data_dir)
        if self._transitions is not None:
            self._transitions.listen()

    async def run(self) -> None:
        """Write until cancelled. An outage is waited out here; StartError only where the start policy asks for it."""
        failures = 0
        async with self._lanes:
            while True:
                delivered = self._context.status.delivered
                error = await self._session()
                if not self._reached and self._settings.startup != "retry":
                    raise StartError(f"the time-series database cannot be used: {error}") from error
                failures = 1 if self._context.status.delivered > delivered else failures + 1
                delay = _BACKOFF.delay(failures, random.random())  # noqa: S311  no secret
                wait = min(max(delay, error.retry_after or 0.0), _LONGEST_WAIT_S)
                self._losses.tell(str(error), retry_in=round(wait, 1))
                await asyncio.sleep(wait)

    async def _session(self) -> PeerError:
        """Deliver over one connection until it fails; returns how."""
        error = PeerError("the connection ended")
        try:
            async with connect(self._settings) as peer:
                database = await peer.database()
                settings = self._settings
                mapping = Mapping(self._context.plant, database, settings.site)
                heartbeats = Heartbeats(self._context.store, settings.heartbeat)
                lanes = self._present(), self._told
                session = Session(settings, peer, mapping, self._losses, heartbeats, lanes, self._confirmed)
                watched = database == "victoriametrics" and await session.look()
                try:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._lanes.deliver(session.send))
                        if self._transitions is not None:
                            writer = AlarmWriter(peer, mapping, self._losses, self._order)
                            tasks.create_task(self._transitions.deliver(writer.send))
                        if settings.heartbeat:
                            tasks.create_task(session.beat())
                        if watched:
                            tasks.create_task(session.watch())
                finally:
                    self._told = session.told()
                    self._losses.interrupted(peer.unanswered)
        except* PeerError as group:
            error = first(group)
        finally:
            self._context.status.connected = False
        return error

    def _present(self) -> Told:
        """Return the samples that the live lane goes on from."""
        present = self._lanes.current()
        return Told(present.source_timestamps.copy(), present.statuses.copy())

    def _confirmed(self) -> None:
        """Note that the database has taken something."""
        if not self._context.status.connected:
            log.info("time-series database connected", gateway="influx", url=self._settings.url)
        self._context.status.connected = self._reached = True
