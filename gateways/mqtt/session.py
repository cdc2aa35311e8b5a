"""The life of one layout: connect, subscribe, birth, deliver, again and again."""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from gateways.delivery import Lanes
from gateways.mqtt.connection import Connection, Incoming, MqttError, Options
from gateways.mqtt.layout import Action, Layout, Message
from gateways.outbox import Entry
from server import logs
from server.ports import GatewayStatus
from server.store import now_ticks
from server.supervision import Backoff

log = logs.get(__name__)

Act = Callable[[str, Action], Awaitable[None]]
_GOODBYE_S = 1.0
_TICK_S = 1.0


class _PausedError(Exception):
    """The layout does not want anything delivered now."""


class _LeavingError(Exception):
    """The layout wants to be connected anew."""


class Session:
    """Keeps one layout connected. `lanes` brings its samples, None where it has none; `act` does what messages ask."""

    def __init__(
        self,
        layout: Layout,
        options: Callable[[], Options],
        status: GatewayStatus,
        act: Act,
        lanes: Lanes | None = None,
        *,
        backoff: Backoff | None = None,
    ) -> None:
        self.layout = layout
        self.status = status
        self._options = options
        self._act = act
        self._lanes = lanes
        self._backoff = backoff or Backoff(initial=0.5, maximum=15.0, healthy_after=10.0)
        self._unpaused = asyncio.Event()

    async def run(self) -> None:
        """Connect and come back until cancelled; raises only what is a fault of ours."""
        async with contextlib.AsyncExitStack() as stack:
            if self._lanes is not None:
                await stack.enter_async_context(self._lanes)
            failures = 0
            while True:
                began = time.monotonic()
                try:
                    await self._connected()
                except MqttError as error:
                    self._tell(str(error))
                finally:
                    self.status.connected = False
                failures = 1 if time.monotonic() - began >= self._backoff.healthy_after else failures + 1
                await asyncio.sleep(self._backoff.delay(failures, random.random()))  # noqa: S311  spreads reconnections

    def _tell(self, sentence: str) -> None:
        if self.status.last_error != sentence:
            log.warning("mqtt", layout=self.layout.name, error=sentence)
        self.status.last_error = sentence

    async def _connected(self) -> None:
        incoming: asyncio.Queue[Incoming] = asyncio.Queue()
        connection = Connection(self._options(), self.layout.will(), incoming.put_nowait)
        await connection.open()
        try:
            await connection.subscribe(self.layout.subscriptions())
            await self._publish(connection, self.layout.birth)
            self.status.connected = True
            log.info("mqtt connected", layout=self.layout.name)
            self._look_paused()
            await _first_failure(
                connection.wait_lost(),
                self._tick(connection),
                self._listen(connection, incoming),
                self._deliver(connection),
            )
        except _LeavingError:
            await self._say_goodbye(connection)
        except asyncio.CancelledError:
            await self._say_goodbye(connection)
            raise
        finally:
            connection.abort()

    async def _say_goodbye(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self._publish(connection, self.layout.death)
                await connection.close()
        except (MqttError, TimeoutError) as error:
            log.debug("mqtt disconnected without a goodbye", layout=self.layout.name, error=str(error))

    async def _publish(self, connection: Connection, make: Callable[[int], list[Message]]) -> None:
        flight = connection.post(make(now_ticks()))
        self._note_refused(await connection.confirmed(flight))

    def _note_refused(self, refused: list[tuple[Message, str]]) -> int:
        if refused:
            message, reason = refused[0]
            self._tell(f"the broker refuses {message.topic}: {reason}")
        return sum(message.rows for message, _ in refused)

    async def _deliver(self, connection: Connection) -> None:
        if self._lanes is None:
            return

        async def send(entry: Entry) -> None:
            if self.layout.paused:
                raise _PausedError
            flight = connection.post(self.layout.data(entry.batch, historical=entry.historical))
            rejected = self._note_refused(await connection.confirmed(flight))
            if rejected and self._lanes is not None:
                self._lanes.rejected(min(rejected, len(entry.batch)))

        while True:
            await self._unpaused.wait()
            try:
                await self._lanes.deliver(send)
            except _PausedError:
                self._look_paused()

    def _look_paused(self) -> None:
        if self.layout.paused:
            self._unpaused.clear()
        else:
            self._unpaused.set()

    async def _tick(self, connection: Connection) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            await self._publish(connection, self.layout.tick)
            self._look_paused()

    async def _listen(self, connection: Connection, incoming: "asyncio.Queue[Incoming]") -> None:
        while True:
            message = await incoming.get()
            try:
                action = self.layout.receive(message.topic, message.payload, now_ticks())
            except ValueError as error:
                log.warning("mqtt message makes no sense", topic=message.topic, error=str(error))
                continue
            if action.publish:
                await self._publish(connection, lambda _, action=action: list(action.publish))
            if action.rebirth:
                await self._publish(connection, self.layout.birth)
            self._look_paused()
            if action.puts or action.commands:
                await self._act(message.topic, action)
            if self.layout.leaving:
                raise _LeavingError


async def _first_failure(*work: Coroutine[Any, Any, None]) -> None:
    """Run all until one raises, which is raised here; the others are cancelled and have ended then."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    failures = [error for error in results if isinstance(error, Exception)]
    if failures:
        raise next((error for error in failures if not isinstance(error, MqttError)), failures[0])
