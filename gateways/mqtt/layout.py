"""What a layout is: how the plant is spread over MQTT topics. Each has a connection of its own, for its Will."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from address_space.model import Variable
from server.store import Batch

ProtocolVersion = Literal["5", "3.1.1"]


@dataclass(frozen=True, slots=True)
class Message:
    """One MQTT message; `rows` counts the samples that it carries, `content_type` goes along in MQTT 5."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    rows: int = 0
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """What an incoming message asks for, done in this order; all of it with the rights of the topic's principal.

    `commands` are (path, arguments); `publish` goes out as it is; `rebirth` publishes `birth()` once more.
    """

    puts: tuple[tuple[Variable, Any], ...] = ()
    commands: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    publish: tuple[Message, ...] = ()
    rebirth: bool = False


NOTHING = Action()


class LayoutState(Protocol):
    """A small store of numbers and words that survive restarts and `kill -9` (bdSeq); a key belongs to one layout.

    `set` returns once the value is on the disk. Both take microseconds to milliseconds.
    """

    def get(self, key: str) -> int | str | None:
        """Return what was set last under `key`, None if nothing ever was."""
        ...

    def set(self, key: str, value: int | str) -> None:
        """Keep `value` under `key`."""
        ...


class Layout(Protocol):
    """Model and samples in, messages out, and back; no I/O. Constructed as `XLayout(plant, store, settings, state)`.

    All calls come from the event loop's thread. `now` is in ticks. What `birth`, `data`, `tick` and `death` return is
    published in order; samples of `data` are acknowledged once all messages of the call are.
    """

    name: str
    protocols: tuple[ProtocolVersion, ...]
    """MQTT versions that it may use, the preferred one first."""
    paused: bool
    """While True nothing is delivered; what comes meanwhile is historical later. Looked at after each call."""
    leaving: bool
    """True after `receive`: publish `death`, disconnect cleanly, connect anew."""

    def will(self) -> Message | None:
        """Return what the broker publishes when the connection dies; asked before each CONNECT."""
        ...

    def subscriptions(self) -> Sequence[tuple[str, int]]:
        """Return topic filters with their QoS; subscribed before `birth` is published."""
        ...

    def birth(self, now: int) -> list[Message]:
        """Return what a new connection begins with: metadata, births, online states, every present value."""
        ...

    def data(self, batch: Batch, *, historical: bool) -> list[Message]:
        """Return the messages of some changes; `historical` ones waited through an outage or a restart."""
        ...

    def tick(self, now: int) -> list[Message]:
        """Return what is due by time alone: key frames, periodic objects; called once a second."""
        ...

    def death(self, now: int) -> list[Message]:
        """Return what goes before a clean disconnect."""
        ...

    def receive(self, topic: str, payload: bytes, now: int) -> Action:
        """Return what a message asks for; raises ValueError with a sentence for one that makes no sense."""
        ...
