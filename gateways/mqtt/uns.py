"""The layout `uns`: a Unified Namespace, one topic a variable on its ISA-95 path (IEC 62264-1 5.3)."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from address_space.model import Plant, Variable
from gateways.mqtt.layout import NOTHING, Action, LayoutState, Message, ProtocolVersion
from gateways.mqtt.settings import MqttSettings, UnsSettings
from gateways.mqtt.wire import (
    dumps,
    escape_levels,
    iso,
    iso_column,
    json_value,
    loads_object,
    parse_iso,
    status_code,
    status_name,
    stored_value,
)
from server.quality import is_bad
from server.store import Batch, Store, now_ticks


def variable_topic(variable: Variable, plant: Plant, settings: UnsSettings) -> str:
    """Return enterprise/site/area/Line1/LineSpeed for Plant.Line1.LineSpeed."""
    below = variable.path.removeprefix(f"{plant.root.path}.")
    return escape_levels([settings.enterprise, settings.site, settings.area, *below.split(".")])


def state_topic(settings: UnsSettings) -> str:
    """Return where the gateway itself is online or offline."""
    return escape_levels([settings.enterprise, settings.site, settings.area, "_state"])


def read_back(variable: Variable, payload: bytes) -> tuple[Any, int, int]:
    """Return the stored value (None where there is none), StatusCode and source timestamp; raises ValueError."""
    document = loads_object(payload)
    try:
        value, quality, time = document["value"], document["quality"], document["timestamp"]
    except KeyError as error:
        raise ValueError(f"there is no key {error}") from None
    return stored_value(variable.declaration, value), status_code(quality), parse_iso(time)


class UnsLayout:
    """A JSON object a sample: value, unit, quality, timestamp; `text` names a state, `historical` what came late.

    Live samples are retained. Historical ones are not: they must not hide what is newer.
    """

    name = "uns"
    protocols: tuple[ProtocolVersion, ...] = ("5", "3.1.1")
    paused = False
    leaving = False

    def __init__(self, plant: Plant, store: Store, settings: MqttSettings, state: LayoutState) -> None:
        del state
        self._plant = plant
        self._store = store
        path = settings.uns
        self._status_topic = state_topic(path)
        self._topics = [variable_topic(variable, plant, path) for variable in plant.variables]
        self._units = [_unit(variable) for variable in plant.variables]

    def will(self) -> Message | None:
        """Return the offline state."""
        return self._online("offline", now_ticks())

    def subscriptions(self) -> Sequence[tuple[str, int]]:
        """Return nothing: it takes no messages."""
        return ()

    def birth(self, now: int) -> list[Message]:
        """Return the online state and every present value."""
        present = [self._present(variable) for variable in self._plant.variables]
        return [self._online("online", now), *present]

    def death(self, now: int) -> list[Message]:
        """Return the offline state."""
        return [self._online("offline", now)]

    def tick(self, now: int) -> list[Message]:
        """Return nothing: topics are retained."""
        del now
        return []

    def receive(self, topic: str, payload: bytes, now: int) -> Action:
        """Ask for nothing."""
        del topic, payload, now
        return NOTHING

    def data(self, batch: Batch, *, historical: bool) -> list[Message]:
        """Return a message for each change."""
        times = iso_column(batch.source_timestamps)
        bad = is_bad(batch.statuses).tolist()
        rows = zip(batch.ids.tolist(), self._store.objects(batch), batch.statuses.tolist(), times, bad, strict=True)
        return [
            self._message(id_, None if hidden else value, status, time, historical=historical)
            for id_, value, status, time, hidden in rows
        ]

    def _present(self, variable: Variable) -> Message:
        value, status, source, _ = self._store.read(variable.id)
        return self._message(variable.id, value, status, iso(source), historical=False, rows=0)

    def _message(self, id_: int, value: Any, status: int, time: str, *, historical: bool, rows: int = 1) -> Message:
        late = ',"historical":true' if historical else ""
        text = (
            f'{{"value":{self._value(id_, value)},"unit":{self._units[id_]},'
            f'"quality":"{status_name(status)}","timestamp":"{time}"{late}}}'
        )
        # No content type: in MQTT 5 it would take a quarter of the time that a message costs.
        return Message(self._topics[id_], text.encode(), retain=not historical, rows=rows)

    def _value(self, id_: int, value: Any) -> str:
        """Return the JSON of a value; of a state also the member that names it."""
        if type(value) is float and np.isfinite(value):
            return repr(value)
        declaration = self._plant.variables[id_].declaration
        shown = json.dumps(json_value(declaration, value), ensure_ascii=False)
        if declaration.enumeration is None or value is None:
            return shown
        names, state = declaration.enumeration.values, int(value)
        return f'{shown},"text":{json.dumps(names[state], ensure_ascii=False)}' if 0 <= state < len(names) else shown

    def _online(self, state: str, now: int) -> Message:
        return Message(self._status_topic, dumps({"state": state, "timestamp": iso(now)}), retain=True)


def _unit(variable: Variable) -> str:
    unit = variable.declaration.unit
    return json.dumps(None if unit is None else unit.symbol, ensure_ascii=False)
