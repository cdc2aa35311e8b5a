"""The layout `factory`: one JSON object a machine, published with every change, and who is online."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from address_space.model import Machine, Plant
from gateways.mqtt.image import Image, shown_values
from gateways.mqtt.layout import NOTHING, Action, LayoutState, Message, ProtocolVersion
from gateways.mqtt.mapping import ObjectTopic, component_of, object_topics, render
from gateways.mqtt.settings import MqttSettings
from gateways.mqtt.wire import dumps, iso
from server.quality import is_bad
from server.store import Batch, Store, now_ticks
from server.store.ticks import TICKS_PER_SECOND


class _Online:
    """What both layouts of this module share: `status/<component>`, retained, offline by the connection's Will."""

    protocols: tuple[ProtocolVersion, ...] = ("5", "3.1.1")
    paused = False
    leaving = False

    def __init__(self, component: str) -> None:
        self._component = component
        self._told: bool | None = None

    def subscriptions(self) -> Sequence[tuple[str, int]]:
        """Return nothing: it takes no messages."""
        return ()

    def receive(self, topic: str, payload: bytes, now: int) -> Action:
        """Ask for nothing."""
        del topic, payload, now
        return NOTHING

    def _status(self, online: bool, now: int) -> Message:
        self._told = online
        document = {
            "component": self._component,
            "state": "online" if online else "offline",
            "timestamp": iso(now),
        }
        return Message(f"status/{self._component}", dumps(document), retain=True, content_type="application/json")


class FactoryLayout(_Online):
    """Objects of all machines; its own state is `status/Plantree`. Samples of one machine and time share a message."""

    name = "factory"

    def __init__(self, plant: Plant, store: Store, settings: MqttSettings, state: LayoutState) -> None:
        del state
        super().__init__("Plantree")
        self._store = store
        self._topics = object_topics(plant, settings.factory)
        self._heartbeat = round(settings.factory.heartbeat * TICKS_PER_SECOND)
        self._published = [0] * len(self._topics)
        self._watching: list[tuple[int, ...]] = [()] * len(store)
        self._home = [0] * len(store)
        for index, topic in enumerate(self._topics):
            for id_ in topic.watched:
                self._watching[id_] = (*self._watching[id_], index)
            for id_ in topic.home:
                self._home[id_] = index
        self._live = Image(store)
        self._known = Image(store)
        """What the connection before this one had told."""
        self._past = Image(store)

    def will(self) -> Message | None:
        """Return the offline state."""
        return self._status(online=False, now=now_ticks())

    def birth(self, now: int) -> list[Message]:
        """Return the online state and every present value."""
        self._known.catch_up(self._live, now)
        self._live.load()
        objects = [self._object(index, self._newest(topic), 0) for index, topic in enumerate(self._topics)]
        self._published = [now] * len(self._topics)
        return [self._status(online=True, now=now), *objects]

    def death(self, now: int) -> list[Message]:
        """Return the offline state."""
        return [self._status(online=False, now=now)]

    def tick(self, now: int) -> list[Message]:
        """Return the objects that have not changed for the heartbeat."""
        due = [index for index, then in enumerate(self._published) if now - then >= self._heartbeat]
        for index in due:
            self._published[index] = now
        return [self._object(index, self._newest(self._topics[index]), 0) for index in due]

    def data(self, batch: Batch, *, historical: bool) -> list[Message]:
        """Return an object for each run of samples of one machine and one time."""
        if len(batch) == 0:
            return []
        image = self._live
        if historical:
            image, before = self._past, int(batch.source_timestamps.min()) - 1
            image.catch_up(self._known, before)
            image.catch_up(self._live, before)
        messages: list[Message] = []
        open_since: dict[int, int] = {}
        rows: Counter[int] = Counter()

        def close(index: int) -> None:
            messages.append(self._object(index, open_since.pop(index), rows.pop(index, 0), image))

        columns = zip(
            batch.ids.tolist(), batch.source_timestamps.tolist(), shown_values(self._store, batch), strict=True
        )
        for id_, time, value in columns:
            for index in self._watching[id_]:
                if open_since.get(index, time) != time:
                    close(index)
                open_since[index] = time
            rows[self._home[id_]] += 1
            image.set(id_, value, time)
        for index in list(open_since):
            close(index)
        return messages

    def _newest(self, topic: ObjectTopic) -> int:
        return int(self._live.times[np.fromiter(topic.home, np.int64, len(topic.home))].max())

    def _object(self, index: int, time: int, rows: int, image: Image | None = None) -> Message:
        topic = self._topics[index]
        document = {"timestamp": iso(time), **render(topic.node, (image or self._live).values)}
        return Message(topic.topic, dumps(document), rows=rows, content_type="application/json")


class ComponentLayout(_Online):
    """One PLC or machine that is online or offline, with a connection of its own, since a connection has one Will.

    It is offline, too, while not one of its machines' variables has a value: its source does not answer.
    """

    def __init__(self, component: str, machines: Sequence[Machine], store: Store) -> None:
        super().__init__(component)
        self.name = f"status-{component}"
        self._store = store
        self._ids = np.array(
            [
                variable.id
                for machine in machines
                for variable in machine.variables.values()
                if variable.declaration.feed == "source"
            ],
            np.int64,
        )

    def will(self) -> Message | None:
        """Return the offline state."""
        return self._status(online=False, now=now_ticks())

    def birth(self, now: int) -> list[Message]:
        """Return the present state."""
        return [self._status(online=self._alive(), now=now)]

    def death(self, now: int) -> list[Message]:
        """Return the offline state."""
        return [self._status(online=False, now=now)]

    def tick(self, now: int) -> list[Message]:
        """Return the state where it has changed."""
        alive = self._alive()
        return [] if alive == self._told else [self._status(online=alive, now=now)]

    def data(self, batch: Batch, *, historical: bool) -> list[Message]:
        """Return nothing: it tells a state, not samples."""
        del batch, historical
        return []

    def _alive(self) -> bool:
        return len(self._ids) == 0 or not bool(is_bad(self._store.statuses(self._ids)).all())


def _components(plant: Plant) -> dict[str, list[Machine]]:
    machines: dict[str, list[Machine]] = {}
    for machine in plant.machines:
        if any(variable.declaration.feed == "source" for variable in machine.variables.values()):
            machines.setdefault(component_of(machine), []).append(machine)
    return machines


def component_names(plant: Plant) -> list[str]:
    """Return the component of every `status/<component>`, in the order of their machines."""
    return list(_components(plant))


def component_layouts(plant: Plant, store: Store) -> list[ComponentLayout]:
    """Return a layout for every component of the plant."""
    return [ComponentLayout(component, machines, store) for component, machines in _components(plant).items()]
