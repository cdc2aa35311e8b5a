"""The layout `sparkplug`: a Sparkplug B 3.0 edge node; the plant is the node, its machines are the devices."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from address_space.model import BuiltinType, Feed, Machine, Plant, Variable
from gateways.mqtt.layout import NOTHING, Action, LayoutState, Message, ProtocolVersion
from gateways.mqtt.sparkplug_metrics import (
    BDSEQ,
    GONE,
    REBIRTH,
    BirthMetrics,
    DataMetrics,
    alias,
    bdseq_alias,
    payload,
    simple_metric,
)
from gateways.mqtt.sparkplug_payload import Metric, decode, stored_value
from gateways.mqtt.sparkplug_read import observed
from gateways.mqtt.sparkplug_settings import HasSparkplug
from gateways.mqtt.sparkplug_topics import Topics, device_id
from gateways.mqtt.sparkplug_wire import milliseconds
from server.quality import GOOD
from server.store import Batch, Store, now_ticks

__all__ = ["SparkplugLayout", "observed"]

_NODE = 0
"""Where the node itself is among the devices."""


class SparkplugLayout:
    """An edge node. A machine whose source is not reachable is a dead device (DDEATH) until it is back (DBIRTH).

    Samples of a dead device go out between a DBIRTH and a DDEATH of their own, so that none is lost.
    """

    name = "sparkplug"
    # MQTT 5 would want a DISCONNECT that makes the broker publish the Will (tck-id-payloads-ndeath-…-mqtt50).
    protocols: tuple[ProtocolVersion, ...] = ("3.1.1",)

    def __init__(self, plant: Plant, store: Store, settings: HasSparkplug, state: LayoutState) -> None:
        self._plant = plant
        self._store = store
        self._state = state
        self._host = settings.sparkplug.primary_host
        self._topics = Topics(settings.sparkplug)
        self._births = BirthMetrics(plant, store)
        self._devices = [plant.root, *(machine for machine in plant.machines if machine.variables)]
        self._ids = [device_id(plant, machine) for machine in self._devices]
        self._device_of = np.zeros(len(plant.variables), np.int64)
        for index, machine in enumerate(self._devices):
            self._device_of[[variable.id for variable in machine.variables.values()]] = index
        self._measured = [_measured(machine) for machine in self._devices]
        self._statuses = np.zeros(len(plant.variables), np.uint32)
        """The status that a subscriber has seen last of each variable, shape (variables,)."""
        self._newest = np.zeros(len(plant.variables), np.int64)
        """The source timestamp that a subscriber has seen last of each variable, shape (variables,)."""
        self._dead: set[int] = set()
        self._bdseq = 0
        self._seq = 0
        self._born = False
        self._host_time = 0
        self.paused = bool(self._host)
        self.leaving = False

    def will(self) -> Message:
        """Return the NDEATH of the connection to come; counts bdSeq up, on the disk before it is used."""
        last = self._state.get(BDSEQ)
        self._bdseq = (int(last) + 1) % 256 if last is not None else 0
        self._state.set(BDSEQ, self._bdseq)
        self._born = self.leaving = False
        self.paused = bool(self._host)
        return self._ndeath(now_ticks())

    def subscriptions(self) -> Sequence[tuple[str, int]]:
        """Return the commands for the node and for each device that has set-points, and the primary host's state."""
        topics = [self._topics.state(self._host)] if self._host else []
        topics.append(self._topics.node("NCMD"))
        for machine, id_ in zip(self._devices[1:], self._ids[1:], strict=True):
            if any(variable.declaration.writable for variable in machine.variables.values()):
                topics.append(self._topics.device("DCMD", id_))
        return [(topic, 1) for topic in topics]

    def birth(self, now: int) -> list[Message]:
        """Return NBIRTH, every DBIRTH, and the DDEATH of each dead device; nothing while the primary host is away."""
        if self.paused:
            return []
        self._born = True
        self._seq = -1 % 256
        self._show(np.ones(len(self._plant.variables), np.bool_))
        self._dead = {index for index in range(len(self._devices)) if self._is_gone(index)}
        messages = [self._birth_of(index, now) for index in range(len(self._devices))]
        return messages + [self._message("DDEATH", index, now, b"") for index in sorted(self._dead)]

    def data(self, batch: Batch, *, historical: bool) -> list[Message]:
        """Return NDATA and DDATA by alias, ordered by the samples' times; births and deaths of devices with them."""
        if not self._born:
            raise RuntimeError("the birth certificate comes before any data")
        if len(batch) == 0:
            return []
        now = now_ticks()
        marked = self._marked(batch)
        late = self._late(batch, historical=historical)
        self._statuses[batch.ids[~late]] = batch.statuses[~late]
        reborn = np.isin(self._device_of, list(self._dead.intersection(self._device_of[batch.ids].tolist())))
        if reborn.any():
            self._show(reborn)
            late |= reborn[batch.ids] & (batch.source_timestamps < self._newest[batch.ids])
        order = np.lexsort((batch.source_timestamps, self._device_of[batch.ids]))
        batch, late = batch.take(order), late[order]
        metrics = DataMetrics(batch, self._store.types(batch.ids), marked[order], late)
        self._newest[batch.ids[~late]] = batch.source_timestamps[~late]
        return list(self._data_messages(batch, metrics, now))

    def tick(self, now: int) -> list[Message]:
        """Return nothing: Sparkplug reports by exception."""
        del now
        return []

    def death(self, now: int) -> list[Message]:
        """Return the NDEATH, once, if there was a birth."""
        if not self._born:
            return []
        self._born = False
        return [self._ndeath(now)]

    def receive(self, topic: str, payload: bytes, now: int) -> Action:
        """Return what an NCMD, a DCMD or the primary host's STATE asks for; raises ValueError."""
        if self._host and topic == self._topics.state(self._host):
            return self._host_state(payload)
        del now
        kind, device = self._topics.command(topic)
        metrics = decode(payload).metrics
        if kind == "NCMD" and any(metric.name == REBIRTH for metric in metrics):
            asked = any(metric.name == REBIRTH and metric.value for metric in metrics)
            return Action(rebirth=True) if asked and self._born else NOTHING
        if device is not None and device not in self._ids:
            raise ValueError(f"there is no device {device}")
        machine = self._devices[_NODE if device is None else self._ids.index(device)]
        return Action(puts=tuple(_put(metric, machine) for metric in metrics))

    def _host_state(self, payload: bytes) -> Action:
        """Act on a STATE message; one that is older than the last is a late echo of another session."""
        try:
            state = json.loads(payload)
            online, time = state["online"], state["timestamp"]
        except (ValueError, TypeError, KeyError):
            raise ValueError("a STATE message is a JSON object with online and timestamp") from None
        if not isinstance(online, bool) or type(time) is not int:
            raise ValueError("a STATE message has a boolean online and a whole timestamp")
        if time < self._host_time:
            return NOTHING
        self._host_time = time
        if online:
            waited, self.paused, self.leaving = self.paused, False, False
            return Action(rebirth=True) if waited else NOTHING
        self.leaving = self._born
        self.paused = True
        return NOTHING

    def _late(self, batch: Batch, *, historical: bool) -> NDArray[np.bool_]:
        """Return which rows a subscriber must not take for the present value.

        Of the backlog a row is none of them if it is the present value and was not shown yet: it came between the
        birth and the first delivery.
        """
        ids, times = batch.ids, batch.source_timestamps
        present = (self._store.source_timestamps(ids) == times) & (self._store.statuses(ids) == batch.statuses)
        if historical:
            return ~present | ((times <= self._newest[ids]) & (self._statuses[ids] == batch.statuses))
        return ~present & (times < self._newest[ids])

    def _show(self, chosen: NDArray[Any]) -> None:
        """Note that births are about to show what the store holds of the chosen variables (ids or a mask)."""
        ids = np.arange(len(self._plant.variables))[chosen]
        self._statuses[ids] = self._store.statuses(ids)
        self._newest[ids] = self._store.source_timestamps(ids)

    def _marked(self, batch: Batch) -> NDArray[np.bool_]:
        """Return which rows need a Quality: those that are not Good, and those after one that was not."""
        odd = self._statuses != GOOD
        odd[batch.ids[batch.statuses != GOOD]] = True
        return odd[batch.ids]

    def _data_messages(self, batch: Batch, metrics: DataMetrics, now: int) -> Iterator[Message]:
        devices = self._device_of[batch.ids]
        starts = np.concatenate(([0], np.flatnonzero(np.diff(devices)) + 1, [len(batch)])).tolist()
        for start, end in itertools.pairwise(starts):
            index = int(devices[start])
            was_dead, is_dead = index in self._dead, self._is_gone(index)
            if was_dead:
                yield self._birth_of(index, now)
            yield self._message("DDATA", index, now, metrics.section(start, end), rows=end - start)
            if is_dead:
                yield self._message("DDEATH", index, now, b"")
                self._dead.add(index)
            else:
                self._dead.discard(index)

    def _is_gone(self, index: int) -> bool:
        measured = self._measured[index]
        return index != _NODE and len(measured) > 0 and bool(np.isin(self._statuses[measured], GONE).all())

    def _birth_of(self, index: int, now: int) -> Message:
        metrics = self._births.encode(list(self._devices[index].variables.values()))
        if index == _NODE:
            time = milliseconds(now)
            metrics += simple_metric(REBIRTH, BuiltinType.Boolean, 0, time)
            metrics += simple_metric(BDSEQ, BuiltinType.Int64, self._bdseq, time, bdseq_alias(self._plant))
        return self._message("DBIRTH", index, now, metrics)

    def _message(self, kind: str, index: int, now: int, metrics: bytes, rows: int = 0) -> Message:
        """Return a message of a device, or the like one of the node, with the next sequence number."""
        self._seq = (self._seq + 1) % 256
        topic = self._topics.node("N" + kind[1:]) if index == _NODE else self._topics.device(kind, self._ids[index])
        return Message(topic, payload(milliseconds(now), metrics, self._seq), qos=0, rows=rows)

    def _ndeath(self, now: int) -> Message:
        time = milliseconds(now)
        metric = simple_metric(BDSEQ, BuiltinType.Int64, self._bdseq, time)
        return Message(self._topics.node("NDEATH"), payload(time, metric, None), qos=1)


def _measured(machine: Machine) -> NDArray[np.int64]:
    """Return the ids of what a machine's source feeds."""
    fed = [variable.id for variable in machine.variables.values() if variable.declaration.feed is Feed.SOURCE]
    return np.array(fed, np.int64)


def _put(metric: Metric, machine: Machine) -> tuple[Variable, Any]:
    """Return the set-point that a command's metric writes; raises ValueError."""
    variable = _named(metric, machine.variables)
    if not variable.declaration.writable:
        raise ValueError(f"{variable.path} is no set-point")
    value = stored_value(metric, variable.declaration.type)
    if value is None:
        raise ValueError(f"{variable.path} cannot be set to nothing")
    return variable, value


def _named(metric: Metric, variables: Mapping[str, Variable]) -> Variable:
    for variable in variables.values():
        if variable.name == metric.name or (metric.name is None and metric.alias == alias(variable.id)):
            return variable
    raise ValueError(f"there is no metric {metric.name or metric.alias}")
