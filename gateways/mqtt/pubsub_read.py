"""What OPC UA PubSub shows of the tree, read as a subscriber reads it."""

import json
from collections.abc import Iterable
from typing import Any

from address_space.model import BuiltinType, Machine, Plant, Variable
from gateways.mqtt.pubsub_json import decode_value, parse_time
from gateways.mqtt.pubsub_metadata import Topics, writer_name
from gateways.mqtt.pubsub_settings import HasPubSub, PubSubSettings
from gateways.observing import Observation, Plane
from server.quality import GOOD

_TICKS_A_MICROSECOND = 10
_BAD = 0x80000000


class PubSubReader:
    """Turns network messages of one publisher into samples; the plant tells the types, as its metadata would."""

    def __init__(self, plant: Plant, settings: PubSubSettings) -> None:
        topics = Topics(settings)
        self._machines = {topics.data(writer_name(plant, machine)): machine for machine in plant.objects}

    def observations(self, topic: str, data: bytes) -> list[Observation]:
        """Return the samples of a message, none for one that carries none; raises ValueError."""
        machine = self._machines.get(topic)
        if machine is None:
            return []
        try:
            frames = [frame["Payload"] for frame in json.loads(data)["Messages"] if "Payload" in frame]
            return [_observation(machine, name, value) for frame in frames for name, value in frame.items()]
        except (TypeError, KeyError) as error:
            raise ValueError(f"{topic} has no DataSetMessage of this plant: {error!r}") from None


def observed(plant: Plant, settings: HasPubSub, seen: Iterable[tuple[str, bytes]]) -> Plane:
    """Return all samples of (topic, payload) pairs."""
    reader = PubSubReader(plant, settings.pubsub)
    samples = [sample for topic, data in seen for sample in reader.observations(topic, data)]
    return Plane("mqtt pubsub", "value and status exact, time to 1 µs", samples, same_sample)


def same_sample(variable: Variable, truth: Observation, seen: Observation) -> bool:
    """Whether value, status and time are right; the time to the microsecond, which is all that OPC UA clients show."""
    apart = abs((seen.source_timestamp or 0) - (truth.source_timestamp or 0))
    if seen.status != truth.status or apart >= _TICKS_A_MICROSECOND:
        return False
    if variable.declaration.type is BuiltinType.DateTime and isinstance(truth.value, int) and seen.value is not None:
        return abs(truth.value - seen.value) < _TICKS_A_MICROSECOND
    if truth.status & _BAD:
        return seen.value is None
    return truth.value == seen.value or (truth.value != truth.value and seen.value != seen.value)  # a NaN is not itself


def _observation(machine: Machine, name: str, field: dict[str, Any]) -> Observation:
    variable = machine.variables[name]
    time = parse_time(field["SourceTimestamp"]) if "SourceTimestamp" in field else 0
    status = field["Status"].get("Code", GOOD) if "Status" in field else GOOD
    return Observation(variable.path, decode_value(variable.declaration, field.get("Value")), status, time)
