"""The bridge: every period the aggregate of energy and environment goes to a second broker, by a queue of its own."""

import asyncio
import contextlib
import random
import sqlite3
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from gateways.mqtt.analytics import Analytics
from gateways.mqtt.connection import Connection, MqttError, Options
from gateways.mqtt.endpoint import parse
from gateways.mqtt.layout import Message
from gateways.mqtt.settings import BridgeSettings
from gateways.mqtt.tls import client_context
from gateways.mqtt.wire import dumps, iso
from server import logs
from server.errors import StartError
from server.ports import GatewayContext, GatewayStatus
from server.store import Cursor, now_ticks
from server.supervision import Backoff

log = logs.get(__name__)

_MOST = 60_480
"""Aggregates that the queue holds: a week of them, one every 10 s; the oldest are dropped first."""
_AT_ONCE = 100
_LOOK_S = 0.5
_SCHEMA = "CREATE TABLE IF NOT EXISTS queue (seq INTEGER PRIMARY KEY AUTOINCREMENT, payload BLOB NOT NULL) STRICT"


class Queue:
    """Payloads that the second broker has not confirmed yet, in SQLite. Blocks for the disk: some milliseconds."""

    def __init__(self, path: Path, most: int = _MOST) -> None:
        self._most = most
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StartError(f"{path}: the queue of the MQTT bridge cannot be kept here: {error}") from error

    def __len__(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM queue").fetchone()[0])

    def append(self, payload: bytes) -> int:
        """Add one; returns how many old ones had to go for it."""
        self._database.execute("INSERT INTO queue (payload) VALUES (?)", (payload,))
        gone = self._database.execute(
            "DELETE FROM queue WHERE seq <= (SELECT max(seq) FROM queue) - ?", (self._most,)
        ).rowcount
        return int(gone)

    def peek(self, count: int) -> list[tuple[int, bytes]]:
        """Return the oldest ones with their numbers."""
        sql = "SELECT seq, payload FROM queue ORDER BY seq LIMIT ?"
        return self._database.execute(sql, (count,)).fetchall()

    def acknowledge(self, seq: int) -> None:
        """Remove all up to one."""
        self._database.execute("DELETE FROM queue WHERE seq <= ?", (seq,))

    def close(self) -> None:
        """Close the database."""
        self._database.close()


class Bridge:
    """Runs beside the layouts; `status` is its own, in aggregates, not samples."""

    def __init__(self, context: GatewayContext, settings: BridgeSettings, client_id: str) -> None:
        self.status = GatewayStatus()
        self._settings = settings
        self._path = context.data_dir / "bridge.sqlite"
        self._journal = context.store.journal
        self._analytics = Analytics(context.plant, context.store, settings.bridge_id, settings.period)
        self._client_id = f"{client_id}-bridge"
        self._backoff = Backoff(initial=0.5, maximum=30.0, healthy_after=10.0)
        self._more = asyncio.Event()

    async def run(self) -> None:
        """Aggregate and send until cancelled."""
        queue = await asyncio.to_thread(Queue, self._path)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._aggregate(queue))
                group.create_task(self._keep_sending(queue))
        finally:
            queue.close()

    async def _aggregate(self, queue: Queue) -> None:
        cursor = self._journal.cursor("mqtt bridge")
        loop = asyncio.get_running_loop()
        due = loop.time() + self._settings.period
        try:
            while True:
                await asyncio.sleep(max(0.0, min(_LOOK_S, due - loop.time())))
                self._read(cursor)
                if loop.time() >= due:
                    due += self._settings.period
                    await self._close_period(queue)
        finally:
            cursor.close()

    def _read(self, cursor: Cursor) -> None:
        while len(batch := cursor.read()):
            self._analytics.take(batch)

    async def _close_period(self, queue: Queue) -> None:
        closed = self._analytics.close_period()
        if closed is None:
            return
        newest, aggregate = closed
        payload = dumps({"timestamp": iso(newest), **aggregate})
        self.status.dropped += await asyncio.to_thread(queue.append, payload)
        self.status.queue_depth = await asyncio.to_thread(len, queue)
        self._more.set()

    async def _keep_sending(self, queue: Queue) -> None:
        failures = 0
        while True:
            try:
                await self._send(queue)
            except MqttError as error:
                if self.status.last_error != str(error):
                    log.warning("mqtt bridge", error=str(error))
                self.status.last_error = str(error)
            failures = 1 if self.status.connected else failures + 1
            self.status.connected = False
            await asyncio.sleep(self._backoff.delay(failures, random.random()))  # noqa: S311  spreads reconnections

    async def _send(self, queue: Queue) -> None:
        settings = self._settings
        endpoint = parse(settings.url.get_secret_value())
        tls = client_context(settings.ca, settings.certificate, settings.key) if endpoint.tls else None
        connection = Connection(Options(endpoint, self._client_id, tls=tls), self._state("offline"))
        await connection.open()
        try:
            await connection.publish([self._state("online")])
            self.status.connected = True
            while True:
                self._more.clear()
                await self._drain(queue, connection)
                await _first(self._more.wait(), connection.wait_lost())
        except asyncio.CancelledError:
            with contextlib.suppress(MqttError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await connection.publish([self._state("offline")])
            await connection.close()
            raise
        finally:
            connection.abort()

    async def _drain(self, queue: Queue, connection: Connection) -> None:
        while waiting := await asyncio.to_thread(queue.peek, _AT_ONCE):
            messages = [
                Message(self._settings.topic, payload, content_type="application/json") for _, payload in waiting
            ]
            refused = await connection.publish(messages)
            if refused:
                self.status.last_error = f"the second broker refuses {self._settings.topic}: {refused[0][1]}"
                log.warning("mqtt bridge", error=self.status.last_error)
            await asyncio.to_thread(queue.acknowledge, waiting[-1][0])
            self.status.delivered += len(waiting) - len(refused)
            self.status.dropped += len(refused)
        self.status.queue_depth = 0

    def _state(self, state: str) -> Message:
        name = self._settings.bridge_id
        document = {"component": name, "state": state, "timestamp": iso(now_ticks())}
        return Message(f"status/{name}", dumps(document), retain=True, content_type="application/json")


async def _first(*work: Coroutine[Any, Any, object]) -> None:
    """Wait for the first to end; raises what it raised."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
