"""Commands and set-points over MQTT: one connection that listens to `cmd/#` and `set/#`, and answers."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from gateways.mqtt import alarms
from gateways.mqtt.connection import Connection, Incoming, MqttError, Options
from gateways.mqtt.requests import COMMANDS, SETPOINTS, Envelope, Request, Requests, answer, envelope
from gateways.mqtt.rights import Rights
from server import logs
from server.ports import CommandError, GatewayContext, Put
from server.security.principal import Principal

log = logs.get(__name__)

_REMEMBER_S = 60.0
"""How long a request is known, so that one that QoS 1 brings twice is done once."""
_REMEMBERED = 10_000
_AT_ONCE = 64
"""Requests under way at a time; an emergency stop never waits for room."""

Key = tuple[str, str, bytes | str | int]


class Control:
    """Executes requests and answers them; no request waits for another's read-back.

    The subscriptions are of a clean session: a command that was sent while nobody listened is not done later.
    """

    def __init__(self, context: GatewayContext, rights: Rights, own_topics: Sequence[str]) -> None:
        self._context = context
        self._rights = rights
        self._own = tuple(own_topics)
        self._requests = Requests(context.plant)
        self._known: OrderedDict[Key, tuple[float, asyncio.Task[bytes]]] = OrderedDict()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def connected(self, options: Options, up: Callable[[], None]) -> None:
        """Listen until the connection is lost; `up` is called once it is subscribed; raises MqttError."""
        connection = Connection(options, None, lambda incoming: self._take(connection, incoming))
        await connection.open()
        try:
            await connection.subscribe([(f"{kind}/#", 1) for kind in (COMMANDS, SETPOINTS)])
            up()
            await connection.wait_lost()
        except asyncio.CancelledError:
            await connection.close()
            raise
        finally:
            connection.abort()

    def _take(self, connection: Connection, incoming: Incoming) -> None:
        if incoming.retained:
            log.warning("a retained command is not executed", topic=incoming.topic)
            return
        said = envelope(incoming.payload)
        reply_to = incoming.response_topic or said.reply_to
        key = self._key(incoming, said, reply_to)
        known = self._known.get(key) if key is not None else None
        if known is None:
            work = self._start(self._execute(incoming, said))
            if key is not None:
                self._remember(key, work)
        else:
            work = known[1]
            log.info("a request came twice and is done once", topic=incoming.topic)
        self._start(self._answer(connection, incoming, reply_to, work))

    def _start(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _key(self, incoming: Incoming, said: Envelope, reply_to: str | None) -> Key | None:
        """Return what makes two requests the same one; None for a request that cannot be told from others."""
        correlation = incoming.correlation if incoming.correlation is not None else said.id
        return None if correlation is None or reply_to is None else (incoming.topic, reply_to, correlation)

    def _remember(self, key: Key, work: "asyncio.Task[bytes]") -> None:
        now = time.monotonic()
        self._known[key] = now, work
        while self._known:
            then, _ = next(iter(self._known.values()))
            if now - then < _REMEMBER_S and len(self._known) <= _REMEMBERED:
                return
            self._known.popitem(last=False)

    async def _execute(self, incoming: Incoming, said: Envelope) -> bytes:
        """Do what is asked for; returns the answer."""
        outputs: dict[str, Any] = {}
        fault: CommandError | None = None
        try:
            if not await self._acts_on_alarm(incoming):
                outputs = await self._carry_out(self._requests.parse(incoming.topic, incoming.payload), incoming.topic)
        except CommandError as error:
            fault = error
            log.warning("mqtt request refused", topic=incoming.topic, error=str(error))
        return answer(said.id, outputs, fault)

    async def _acts_on_alarm(self, incoming: Incoming) -> bool:
        """Acknowledge or the like, where the topic is a condition's; whether it was."""
        asked = alarms.parse(self._context.plant, incoming.topic, incoming.payload)
        if asked is None or self._context.alarms is None:
            return False
        principal = self._rights.principal(incoming.topic)
        async with self._room:
            await alarms.act(self._context.alarms, asked, principal, "mqtt")
        return True

    async def _carry_out(self, request: Request, topic: str) -> dict[str, Any]:
        if request.is_stop:
            return await self._do(request, self._rights.stopper(topic))
        principal = self._rights.principal(topic)
        async with self._room:
            return await self._do(request, principal)

    async def _do(self, request: Request, principal: Principal) -> dict[str, Any]:
        commands, origin = self._context.commands, "mqtt"
        if request.variable is not None:
            (fault,) = await commands.put_many([Put(request.variable, request.arguments[0])], principal, origin)
            if fault is not None:
                raise fault
            return {}
        assert request.command is not None  # noqa: S101  a request is the one or the other
        values = await commands.execute(request.command.path, request.arguments, principal, origin)
        declared = request.command.declaration.outputs
        return {argument.name: value for argument, value in zip(declared, values, strict=True)}

    async def _answer(
        self, connection: Connection, incoming: Incoming, reply_to: str | None, work: "asyncio.Task[bytes]"
    ) -> None:
        payload = await asyncio.shield(work)
        if reply_to is None:
            return
        if not self._may_answer(reply_to):
            log.warning("an answer is not published: not a topic for answers", topic=incoming.topic, reply_to=reply_to)
            return
        try:
            await connection.reply(reply_to, payload, incoming.correlation)
        except MqttError as error:
            log.warning("an answer was not delivered", topic=incoming.topic, error=str(error))

    def _may_answer(self, topic: str) -> bool:
        """Refuse topics that would turn an answer into a command, or into a sample that nobody measured."""
        forbidden = (f"{COMMANDS}/", f"{SETPOINTS}/", "$", *self._own)
        return not topic.startswith(forbidden) and not any(letter in topic for letter in "+#\0")
