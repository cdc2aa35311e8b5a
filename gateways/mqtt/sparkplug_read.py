"""What Sparkplug shows of the tree, read as a host application reads it."""

from collections.abc import Iterable

from address_space.model import BuiltinType, Plant, Variable
from gateways.mqtt.layout import Message
from gateways.mqtt.sparkplug_metrics import REBIRTH, STATUS_CODE, alias, payload, simple_metric
from gateways.mqtt.sparkplug_payload import Metric, decode, stored_value
from gateways.mqtt.sparkplug_settings import HasSparkplug, SparkplugSettings
from gateways.mqtt.sparkplug_topics import Topics, device_id
from gateways.mqtt.sparkplug_wire import TICKS_PER_MS, milliseconds
from gateways.observing import Observation, Plane
from server.quality import BAD_NO_DATA, GOOD
from server.store.ticks import UNIX_EPOCH_TICKS

_BAD = 0x80000000
_CARRIERS = ("NBIRTH", "DBIRTH", "NDATA", "DDATA")


class SparkplugReader:
    """Turns messages of one edge node, in the order of their arrival, into samples.

    Aliases are learnt from births; before the first birth they are those that this plant's own node gives.
    """

    def __init__(self, plant: Plant, settings: SparkplugSettings) -> None:
        self._plant = plant
        self._topics = Topics(settings)
        self._machines = {device_id(plant, machine): machine for machine in plant.machines}
        self._by_alias = {alias(variable.id): variable for variable in plant.variables}

    def observations(self, topic: str, data: bytes) -> list[Observation]:
        """Return the samples of a message, none for one that carries none; raises ValueError."""
        found = self._topics.split(topic)
        if found is None or found[0] not in _CARRIERS:
            return []
        kind, device = found
        machine = self._plant.root if device is None else self._machines.get(device)
        if machine is None:
            return []
        observations: list[Observation] = []
        for metric in decode(data).metrics:
            if metric.name is not None and metric.alias is not None and kind.endswith("BIRTH"):
                variable = machine.variables.get(metric.name)
                if variable is not None:
                    self._by_alias[metric.alias] = variable
            variable = self._variable(metric)
            if variable is not None:
                observations.append(_observation(variable, metric))
        return observations

    def _variable(self, metric: Metric) -> Variable | None:
        return None if metric.alias is None else self._by_alias.get(metric.alias)


def rebirth_request(settings: SparkplugSettings, now: int) -> Message:
    """Return the NCMD that makes the node publish its births again: what a reader that comes later needs."""
    time = milliseconds(now)
    metric = simple_metric(REBIRTH, BuiltinType.Boolean, 1, time)
    return Message(Topics(settings).node("NCMD"), payload(time, metric, None), qos=0)


def observed(plant: Plant, settings: HasSparkplug, seen: Iterable[tuple[str, bytes]]) -> Plane:
    """Return all samples of (topic, payload) pairs."""
    reader = SparkplugReader(plant, settings.sparkplug)
    samples = [sample for topic, data in seen for sample in reader.observations(topic, data)]
    return Plane("mqtt sparkplug", "value and status exact, times to 1 ms", samples, same_sample)


def same_sample(variable: Variable, truth: Observation, seen: Observation) -> bool:
    """Whether value, status and time are right, times to the millisecond."""
    if seen.status != truth.status or not _near(truth.source_timestamp, seen.source_timestamp):
        return False
    if truth.status & _BAD:
        return seen.value is None
    if variable.declaration.type is BuiltinType.DateTime:
        return _near(truth.value, seen.value)
    return truth.value == seen.value or (truth.value != truth.value and seen.value != seen.value)  # a NaN is not itself


def _near(one: int | None, other: int | None) -> bool:
    return one is not None and other is not None and abs(one - other) < TICKS_PER_MS


def _observation(variable: Variable, metric: Metric) -> Observation:
    value = stored_value(metric, variable.declaration.type)
    status = metric.properties.get(STATUS_CODE, BAD_NO_DATA if metric.is_null else GOOD)
    time = None if metric.timestamp is None else metric.timestamp * TICKS_PER_MS + UNIX_EPOCH_TICKS
    return Observation(variable.path, value, int(status), time)
