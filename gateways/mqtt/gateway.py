"""The MQTT gateway: the layouts, the commands and the bridge, each with a connection of its own."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

from gateways.delivery import Lanes
from gateways.mqtt import alarm_session, alarms
from gateways.mqtt.bridge import Bridge
from gateways.mqtt.connection import MqttError, Options
from gateways.mqtt.control import Control
from gateways.mqtt.embedded import embedded_broker
from gateways.mqtt.endpoint import Endpoint
from gateways.mqtt.factory import component_layouts
from gateways.mqtt.layout import Action, Layout, ProtocolVersion
from gateways.mqtt.layouts import make
from gateways.mqtt.rights import Rights
from gateways.mqtt.session import Session
from gateways.mqtt.settings import MqttSettings
from gateways.mqtt.state import StateFile
from gateways.mqtt.tls import client_context
from gateways.transitions import Transitions
from server import logs
from server.ports import CommandError, GatewayContext, GatewayStatus, Put
from server.supervision import Backoff, describe

log = logs.get(__name__)

MOST_COMPONENTS = 64
"""Components with a connection, and so a Will, of their own."""
_SHOW_S = 0.25


class MqttGateway:
    """Mirrors the tree to a broker, or to the embedded one; made once, `run` may fail and be run again."""

    def __init__(self, context: GatewayContext, settings: MqttSettings) -> None:
        self._context = context
        self._settings = settings
        self._rights = Rights(context.identities, settings.commands.users)
        self._contexts = {
            name: replace(context, name=f"mqtt {name}", status=GatewayStatus(), data_dir=context.data_dir / name)
            for name in settings.layouts
        }
        self._lanes = {name: Lanes(own, settings.outbox) for name, own in self._contexts.items()}
        has_bridge = bool(settings.bridge.url.get_secret_value())
        self._bridge = Bridge(context, settings.bridge, settings.client_id) if has_bridge else None
        self._control_status = GatewayStatus(connected=not settings.commands.enabled)
        self._transitions = None if context.alarms is None else Transitions(context.alarms, context.data_dir)
        if self._transitions is not None:
            self._transitions.listen()

    async def run(self) -> None:
        """Serve until cancelled; raises StartError when the embedded broker cannot start or has ended."""
        state = StateFile(self._context.data_dir / "state.sqlite")
        try:
            async with self._broker() as (endpoint, broker):
                await self._serve(self._options(endpoint), state, broker)
        except BaseExceptionGroup as group:
            raise _one(group) from None
        finally:
            self._context.status.connected = False
            state.close()

    @contextlib.asynccontextmanager
    async def _broker(self) -> AsyncGenerator[tuple[Endpoint, "asyncio.Task[None] | None"]]:
        if self._settings.endpoint is not None:
            yield self._settings.endpoint, None
            return
        async with embedded_broker(self._context, self._settings.embedded) as (endpoint, watch):
            yield endpoint, watch

    def _options(self, endpoint: Endpoint) -> Callable[[str, tuple[ProtocolVersion, ...]], Options]:
        """Return what makes the options of a connection by its name and the versions that it may use."""
        settings = self._settings
        embedded = settings.endpoint is None
        # The embedded broker shows the server's own certificate, which signs itself: it is its own CA.
        ca = self._context.certificate_file if embedded else settings.ca
        tls = client_context(ca, settings.certificate, settings.key) if endpoint.tls else None
        wanted: ProtocolVersion = "3.1.1" if embedded else settings.protocol
        # Whoever knows a client identifier can take its place at the embedded broker.
        client_id = f"{settings.client_id}-{secrets.token_hex(8)}" if embedded else settings.client_id

        def options(name: str, protocols: tuple[ProtocolVersion, ...]) -> Options:
            return Options(
                endpoint,
                f"{client_id}-{name}",
                wanted if wanted in protocols else protocols[0],
                tls,
                settings.keepalive,
                settings.window,
            )

        return options

    async def _serve(
        self,
        options: Callable[[str, tuple[ProtocolVersion, ...]], Options],
        state: StateFile,
        broker: "asyncio.Task[None] | None",
    ) -> None:
        sessions = self._sessions(options, state)
        statuses = [session.status for session in sessions]
        async with asyncio.TaskGroup() as group:
            for session in sessions:
                group.create_task(session.run(), name=f"mqtt {session.layout.name}")
            if self._context.alarms is not None and self._transitions is not None:
                told = alarm_session.AlarmSession(
                    self._context.alarms,
                    self._context.plant,
                    self._transitions,
                    lambda: options(alarm_session.NAME, ("5", "3.1.1")),
                )
                statuses.append(told.status)
                group.create_task(told.run(), name="mqtt alarms")
            if self._settings.commands.enabled:
                group.create_task(self._listen(options), name="mqtt commands")
            if self._bridge is not None:
                group.create_task(self._bridge.run(), name="mqtt bridge")
            if broker is not None:
                group.create_task(_until(broker))
            group.create_task(self._show(statuses))

    def _sessions(
        self, options: Callable[[str, tuple[ProtocolVersion, ...]], Options], state: StateFile
    ) -> list[Session]:
        context = self._context

        def session(layout: Layout, status: GatewayStatus, lanes: Lanes | None) -> Session:
            return Session(layout, lambda: options(layout.name, layout.protocols), status, self._act, lanes)

        sessions: list[Session] = []
        for name, own in self._contexts.items():
            layout = make(name, context.plant, context.store, self._settings, state.of(name))
            sessions.append(session(layout, own.status, self._lanes[name]))
        if "factory" in self._settings.layouts:
            components = component_layouts(context.plant, context.store)
            if len(components) > MOST_COMPONENTS:
                log.warning("only some components have a status topic", shown=MOST_COMPONENTS, of=len(components))
            sessions += [session(layout, GatewayStatus(), None) for layout in components[:MOST_COMPONENTS]]
        return sessions

    async def _act(self, topic: str, action: Action) -> None:
        """Do what a layout's message asks for, as the principal of its topic; what is refused is logged and audited."""
        context = self._context
        try:
            principal = self._rights.principal(topic)
            faults = await context.commands.put_many(
                [Put(variable, value) for variable, value in action.puts], principal, "mqtt"
            )
            for (variable, _), fault in zip(action.puts, faults, strict=True):
                if fault is not None:
                    log.warning("a set-point by MQTT is refused", path=variable.path, topic=topic, error=str(fault))
            for path, arguments in action.commands:
                await context.commands.execute(path, arguments, principal, "mqtt")
        except CommandError as error:
            log.warning("a command by MQTT is refused", topic=topic, error=str(error))

    async def _listen(self, options: Callable[[str, tuple[ProtocolVersion, ...]], Options]) -> None:
        """Keep the connection of commands."""
        settings, status = self._settings, self._control_status
        own = [f"{settings.factory.prefix}/", "status/", f"{settings.uns.enterprise}/", "spBv1.0/", f"{alarms.PREFIX}/"]
        own.append(f"{settings.pubsub.prefix}/")
        control = Control(self._context, self._rights, own)
        backoff, failures = Backoff(initial=0.25, maximum=5.0), 0

        def up() -> None:
            status.connected = True
            log.info("mqtt connected", layout="commands")

        while True:
            try:
                await control.connected(options("commands", ("5", "3.1.1")), up)
            except MqttError as error:
                if status.last_error != str(error):
                    log.warning("mqtt", layout="commands", error=str(error))
                status.last_error = str(error)
            failures = 1 if status.connected else failures + 1
            status.connected = False
            await asyncio.sleep(backoff.delay(failures, 0.0))

    async def _show(self, statuses: list[GatewayStatus]) -> None:
        """Keep the gateway's one status: connected when all are, the worst lag, the sums of the rest."""
        shown = self._context.status
        everyone = [*statuses, self._control_status, *([self._bridge.status] if self._bridge else [])]
        while True:
            shown.connected = all(status.connected for status in [*statuses, self._control_status])
            shown.lag = max((status.lag for status in everyone), default=0.0)
            shown.queue_depth = sum(status.queue_depth for status in everyone)
            shown.delivered = sum(status.delivered for status in everyone)
            shown.dropped = sum(status.dropped for status in everyone)
            shown.last_error = next((status.last_error for status in everyone if status.last_error), "")
            await asyncio.sleep(_SHOW_S)


async def _until(broker: "asyncio.Task[None]") -> None:
    await asyncio.shield(broker)


def _one(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the failure that a group stands for: the first that is no cancellation."""
    errors = group.exceptions
    while len(errors) == 1 and isinstance(errors[0], BaseExceptionGroup):
        errors = errors[0].exceptions
    if len(errors) == 1:
        return errors[0]
    return RuntimeError(describe(group))
