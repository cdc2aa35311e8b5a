"""The connection of `alarm/#`: present states, retained, then every transition, at least once."""

import asyncio
from collections.abc import Callable, Sequence

from address_space.model import Plant
from gateways.mqtt.alarms import states, transition
from gateways.mqtt.connection import Connection, MqttError, Options
from gateways.mqtt.layout import Message
from gateways.transitions import Transitions
from server import logs
from server.alarms.ports import AlarmPort, Snapshot
from server.ports import GatewayStatus
from server.supervision import Backoff

log = logs.get(__name__)

NAME = "alarms"


class AlarmSession:
    """Keeps the connection; what is told while there is none waits with the alarm engine."""

    def __init__(
        self, alarms: AlarmPort, plant: Plant, transitions: Transitions, options: Callable[[], Options]
    ) -> None:
        self.status = GatewayStatus()
        self._alarms = alarms
        self._plant = plant
        self._transitions = transitions
        self._options = options

    async def run(self) -> None:
        """Connect and come back until cancelled."""
        backoff, failures = Backoff(initial=0.5, maximum=15.0), 0
        while True:
            try:
                await self._connected()
            except* MqttError as group:
                self._tell(str(_first(group)))
            failures = 1 if self.status.connected else failures + 1
            self.status.connected = False
            await asyncio.sleep(backoff.delay(failures, 0.0))

    async def _connected(self) -> None:
        connection = Connection(self._options(), None, lambda _: None)
        await connection.open()

        async def send(snapshots: Sequence[Snapshot]) -> None:
            await self._publish(connection, [transition(self._alarms, snapshot) for snapshot in snapshots])

        try:
            await self._publish(connection, states(self._alarms, self._plant))
            self.status.connected = True
            log.info("mqtt connected", layout=NAME)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(connection.wait_lost())
                tasks.create_task(self._transitions.deliver(send))
        except asyncio.CancelledError:
            await connection.close()
            raise
        finally:
            connection.abort()

    async def _publish(self, connection: Connection, messages: Sequence[Message]) -> None:
        refused = await connection.publish(messages)
        if refused:
            self._tell(f"the broker refuses {refused[0][0].topic}: {refused[0][1]}")

    def _tell(self, sentence: str) -> None:
        if self.status.last_error != sentence:
            log.warning("mqtt", layout=NAME, error=sentence)
        self.status.last_error = sentence


def _first(group: BaseExceptionGroup[MqttError]) -> MqttError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
