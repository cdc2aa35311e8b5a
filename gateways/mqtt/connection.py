"""One connection to a broker: paho-mqtt driven by the event loop, no thread of its own but for the connecting.

A connection is made once and never comes back by itself: the caller makes another, with the Will that is right then.
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateways.mqtt.endpoint import Endpoint
from gateways.mqtt.layout import Message, ProtocolVersion
from gateways.mqtt.outgoing import Flight, Outgoing, properties_of
from gateways.mqtt.paho_client import PahoClient
from server import logs

log = logs.get(__name__)

CONNECT_S = 10.0


class MqttError(Exception):
    """The broker cannot be reached, refused us, or went away; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message from the broker; `response_topic` and `correlation` are MQTT 5's (3.3.2.3)."""

    topic: str
    payload: bytes
    qos: int
    retained: bool
    response_topic: str | None = None
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """How to connect; `window` bounds the messages that wait for their PUBACK."""

    endpoint: Endpoint
    client_id: str
    protocol: ProtocolVersion = "5"
    tls: ssl.SSLContext | None = None
    keepalive: int = 15
    window: int = 200


class Connection:
    """A connection, connected by `open`; belongs to the event loop's thread. `received` is called with each message."""

    def __init__(
        self, options: Options, will: Message | None = None, received: Callable[[Incoming], None] | None = None
    ) -> None:
        self._options = options
        self._received = received
        self._loop = asyncio.get_running_loop()
        self._five = options.protocol == "5"
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._subscribed: dict[int, asyncio.Future[list[Any]]] = {}
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._lost.add_done_callback(_retrieve)
        self._connected.add_done_callback(_retrieve)
        self._fd: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._client = self._make_client(will)
        self._outgoing = Outgoing(self._client, five=self._five, window=options.window, failed=self._lose)

    def _make_client(self, will: Message | None) -> PahoClient:
        options = self._options
        client = PahoClient(
            CallbackAPIVersion.VERSION2,
            client_id=options.client_id,
            protocol=MQTTProtocolVersion.MQTTv5 if self._five else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            clean_session=None if self._five else True,
        )
        client.connect_timeout = CONNECT_S / 2
        client.max_inflight_messages_set(0)  # the window is ours: paho's own costs a walk over all for each PUBACK
        if options.tls is not None:
            client.tls_set_context(options.tls)
        if options.endpoint.user is not None:
            client.username_pw_set(options.endpoint.user, options.endpoint.password)
        if will is not None:
            client.will_set(
                will.topic, will.payload, will.qos, will.retain, properties_of(will) if self._five else None
            )
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = client.on_unsubscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_socket_register_write = self._wants_to_write
        client.on_socket_close = self._on_socket_close
        return client

    async def open(self) -> None:
        """Connect; raises MqttError."""
        endpoint, options = self._options.endpoint, self._options
        arguments: dict[str, Any] = {"clean_start": True} if self._five else {}
        connecting = asyncio.create_task(
            asyncio.to_thread(self._client.connect, endpoint.host, endpoint.port, options.keepalive, **arguments)
        )
        try:
            await asyncio.shield(connecting)
            self._attach()
            async with asyncio.timeout(CONNECT_S):
                await asyncio.shield(self._connected)
        except ssl.SSLCertVerificationError as error:
            raise MqttError(f"{endpoint}: the broker's certificate is refused: {error.verify_message}") from error
        except TimeoutError:
            self.abort()
            raise MqttError(f"{endpoint} does not answer") from None
        except (OSError, ValueError) as error:
            raise MqttError(f"{endpoint} cannot be reached: {error}") from error
        except MqttError:
            self.abort()
            raise
        except asyncio.CancelledError:
            connecting.add_done_callback(self._abandon)
            raise

    def _abandon(self, connecting: "asyncio.Task[Any]") -> None:
        """Close what has connected although nobody waits for it any more."""
        if not connecting.cancelled():
            connecting.exception()
        self.abort()

    async def subscribe(self, filters: Sequence[tuple[str, int]]) -> None:
        """Subscribe (filter, QoS); raises MqttError when the broker refuses one."""
        if not filters:
            return
        wanted: Any = list(filters)
        if self._five:  # our own messages are not for us: MQTT 5 3.8.3.1
            wanted = [(topic, SubscribeOptions(qos=qos, noLocal=True)) for topic, qos in filters]
        result, mid = self._client.subscribe(wanted)
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise MqttError("the connection was lost while subscribing")
        answer = self._subscribed[mid] = self._loop.create_future()
        codes = await self._unless_lost(answer)
        for (topic, _), code in zip(filters, codes, strict=True):
            if code.is_failure:
                raise MqttError(f"{self._options.endpoint}: the broker refuses to subscribe {topic}: {code}")

    async def publish(self, messages: Sequence[Message]) -> list[tuple[Message, str]]:
        """Post and wait until all are confirmed: `post` and `confirmed` in one."""
        return await self.confirmed(self.post(messages))

    def post(self, messages: Sequence[Message]) -> Flight:
        """Let messages go out, in order and after all that was posted before; raises MqttError.

        Never more than the window of them wait for their PUBACK at a time.
        """
        if self._lost.done():
            raise MqttError("the connection is lost")
        return self._outgoing.post(messages)

    async def confirmed(self, flight: Flight) -> list[tuple[Message, str]]:
        """Return once all of a flight are acknowledged: those that were refused, each with the reason.

        Raises MqttError when the connection is lost before: any of them may have arrived or not.
        """
        if flight.left:
            await self._unless_lost(flight.done)
        if flight.unacknowledged:
            await self._barrier()
        return flight.refused

    async def _barrier(self) -> None:
        """Return once the broker has taken all that was sent before, QoS 0 too.

        It answers in order (MQTT 5 4.6), and whatever is asked of it: here to unsubscribe what is not subscribed.
        """
        result, mid = self._client.unsubscribe("plantree/barrier")
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise MqttError("the connection is lost")
        answer = self._subscribed[mid] = self._loop.create_future()
        await self._unless_lost(answer)

    async def reply(self, topic: str, payload: bytes, correlation: bytes | None) -> None:
        """Publish the answer to a request, with its correlation data in MQTT 5; raises MqttError."""
        properties = None
        if self._five:
            properties = Properties(PacketTypes.PUBLISH)
            properties.ContentType = "application/json"
            if correlation is not None:
                properties.CorrelationData = correlation
        flight = self._outgoing.post([Message(topic, payload)], properties)
        for _, reason in await self.confirmed(flight):
            raise MqttError(f"the broker refuses an answer on {topic}: {reason}")

    async def wait_lost(self) -> None:
        """Wait until the connection is gone, then raise MqttError."""
        await asyncio.shield(self._lost)

    async def close(self) -> None:
        """Disconnect cleanly: the broker drops the Will."""
        if self._lost.done():
            return
        self._client.disconnect()
        self._client.loop_write()
        self.abort()

    def abort(self) -> None:
        """Close the socket, as a crash would: the broker publishes the Will unless `close` has said goodbye."""
        self._detach()
        sock = self._client.socket()
        if sock is not None:
            sock.close()
        self._fail("the connection was closed")

    async def _unless_lost(self, answer: "asyncio.Future[Any]") -> Any:
        await asyncio.wait((answer, self._lost), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            await self._lost
        return answer.result()

    def _attach(self) -> None:
        """Let the event loop drive the client from now on."""
        sock = self._client.buffered
        if sock is None:
            raise MqttError(f"{self._options.endpoint} closed the connection")
        self._fd = sock.fileno()
        self._loop.add_reader(self._fd, self._readable)
        self._wants_to_write()
        self._misc()

    def _detach(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._fd is not None:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._fd = None

    def _on_socket_close(self, *_: Any) -> None:
        if self._fd is not None:  # else it is the connecting thread's
            self._detach()

    def _wants_to_write(self, *_: Any) -> None:
        if self._fd is not None:  # before that the connecting thread calls
            self._loop.add_writer(self._fd, self._writable)

    def _writable(self) -> None:
        self._client.loop_write()
        sock = self._client.buffered
        try:
            if sock is not None:
                sock.flush()
        except OSError as error:
            self._lose(str(error))
            self.abort()
            return
        if self._fd is not None and not self._client.want_write() and (sock is None or not sock.unsent):
            self._loop.remove_writer(self._fd)

    def _readable(self) -> None:
        try:
            self._client.loop_read()
            # Bytes that are here already make no file descriptor readable.
            while (sock := self._client.buffered) is not None and sock.fileno() >= 0 and sock.pending():
                self._client.loop_read()
        except Exception as error:
            log.error("what the broker sent makes no sense", broker=str(self._options.endpoint), exc_info=error)
            self.abort()

    def _misc(self) -> None:
        self._client.loop_misc()
        if self._fd is not None:
            self._timer = self._loop.call_later(1.0, self._misc)

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._fail(f"{self._options.endpoint}: the broker refuses the connection: {reason}")
            return
        self._outgoing.limit(
            getattr(properties, "ReceiveMaximum", 65535), getattr(properties, "MaximumPacketSize", 0xFFFFFFF)
        )
        if not self._connected.done():
            self._connected.set_result(None)

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._detach()
        self._lose(str(reason))

    def _lose(self, why: str) -> None:
        refusal = self._outgoing.last_refusal  # some brokers hang up then
        before = f", after the broker had refused {refusal}" if refusal else ""
        self._fail(f"{self._options.endpoint}: the connection was lost: {why}{before}")

    def _fail(self, sentence: str) -> None:
        self._outgoing.close()
        for waiting in (self._connected, self._lost):
            if not waiting.done():
                waiting.set_exception(MqttError(sentence))

    def _on_publish(self, _client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        self._outgoing.acknowledged(mid, str(reason) if reason.is_failure else None)

    def _on_subscribe(self, _client: Any, _data: Any, mid: int, reasons: list[Any], _properties: Any) -> None:
        answer = self._subscribed.pop(mid, None)
        if answer is not None and not answer.done():
            answer.set_result(reasons)

    def _on_message(self, _client: Any, _data: Any, message: MQTTMessage) -> None:
        if self._received is None:
            return
        properties = message.properties
        self._received(
            Incoming(
                message.topic,
                bytes(message.payload),
                message.qos,
                message.retain,
                getattr(properties, "ResponseTopic", None),
                getattr(properties, "CorrelationData", None),
            )
        )


def _retrieve(future: "asyncio.Future[None]") -> None:
    if not future.cancelled():
        future.exception()
