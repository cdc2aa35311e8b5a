"""Messages on their way to the broker: in order, and never more than a window ahead of their PUBACKs."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateways.mqtt.layout import Message
from gateways.mqtt.paho_client import PahoClient

_CHUNK = 64
"""Messages between two looks at everything else that the event loop has to do."""
_HEADER_BYTES = 64
"""More than the header of any PUBLISH of ours takes besides its topic."""


@dataclass(slots=True)
class Flight:
    """Messages posted together: how many are not acknowledged yet, and those refused, each with the reason."""

    done: "asyncio.Future[None]"
    left: int
    unacknowledged: bool
    """Some are QoS 0: nothing comes back for them."""
    refused: list[tuple[Message, str]] = field(default_factory=list[tuple[Message, str]])

    def settle(self, message: Message, refusal: str | None) -> None:
        """Note what became of one."""
        self.left -= 1
        if refusal is not None:
            self.refused.append((message, refusal))
        if self.left == 0 and not self.done.done():
            self.done.set_result(None)


class Outgoing:
    """What waits, and what waits for its PUBACK; `failed` is told when the client cannot send any more."""

    def __init__(self, client: PahoClient, *, five: bool, window: int, failed: Callable[[str], None]) -> None:
        self._client = client
        self._five = five
        self._window = window
        self._failed = failed
        self._largest = 0xFFFFFFF  # what MQTT can say at all
        self._queue: deque[tuple[Message, Flight, Properties | None]] = deque()
        self._flights: dict[int, tuple[Message, Flight]] = {}
        self._pumping = False
        self._closed = False
        self.last_refusal: str | None = None
        """What the broker has refused last, and why."""

    def limit(self, window: int, largest: int) -> None:
        """Keep to the broker's Receive Maximum and Maximum Packet Size (MQTT 5 3.2.2.3.3, 3.2.2.3.6)."""
        self._window = min(self._window, window)
        self._largest = min(self._largest, largest)

    def close(self) -> None:
        """Send nothing more."""
        self._closed = True
        self._queue.clear()

    def post(self, messages: Sequence[Message], properties: Properties | None = None) -> Flight:
        """Let messages go out after all that was posted before; `properties` in place of their own."""
        unacknowledged = any(message.qos == 0 for message in messages)
        flight = Flight(asyncio.get_running_loop().create_future(), len(messages), unacknowledged)
        self._queue.extend((message, flight, properties) for message in messages)
        self._pump()
        return flight

    def acknowledged(self, mid: int, refusal: str | None) -> None:
        """Take a PUBACK, or the word that a QoS 0 message was written."""
        known = self._flights.pop(mid, None)
        if known is None:
            return
        message, flight = known
        if refusal is not None:
            self.last_refusal = f"{message.topic}: {refusal}"
        flight.settle(message, refusal)
        if self._queue and len(self._flights) <= self._window // 2:  # not one by one: half a window is one write
            self._pump()

    def _pump(self) -> None:
        """Send what waits, as far as the window allows, and no more at a time than lets others have their turn."""
        for _ in range(_CHUNK):
            if self._closed or not self._queue or len(self._flights) >= self._window:
                return
            self._put(*self._queue.popleft())
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump_on)

    def _pump_on(self) -> None:
        self._pumping = False
        self._pump()

    def _put(self, message: Message, flight: Flight, properties: Properties | None) -> None:
        if len(message.payload) + len(message.topic.encode()) + _HEADER_BYTES > self._largest:
            flight.settle(message, f"larger than the {self._largest} bytes that the broker takes")
            return
        if self._five and properties is None:
            properties = properties_of(message)
        try:
            info = self._client.publish(message.topic, message.payload, message.qos, message.retain, properties)
        except ValueError as error:
            flight.settle(message, str(error))
            return
        if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._flights[info.mid] = message, flight
        else:
            self._failed(info.rc.name)


def properties_of(message: Message) -> Properties | None:
    """Return the MQTT 5 properties of a message."""
    if message.content_type is None:
        return None
    properties = _PROPERTIES.get(message.content_type)
    if properties is None:
        properties = _PROPERTIES[message.content_type] = Properties(PacketTypes.PUBLISH)
        properties.ContentType = message.content_type
    return properties


_PROPERTIES: dict[str, Properties] = {}
