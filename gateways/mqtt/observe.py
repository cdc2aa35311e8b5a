"""What MQTT shows of the tree, seen as a subscriber sees it: for `python -m server verify`."""

import asyncio
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from address_space.model import BuiltinType, Plant, Variable
from gateways.mqtt import uns
from gateways.mqtt.connection import Connection, Incoming, MqttError, Options
from gateways.mqtt.endpoint import parse
from gateways.mqtt.layouts import CLASSES
from gateways.mqtt.mapping import object_topics, read_back
from gateways.mqtt.settings import MqttSettings
from gateways.mqtt.sparkplug_read import rebirth_request
from gateways.mqtt.tls import client_context
from gateways.observing import Observation, ObserveError, Plane
from server.quality import BAD_NO_DATA, GOOD
from server.store import now_ticks

_TICKS_A_MICROSECOND = 10
_BAD = 0x80000000
_PATIENCE_S = 30.0


async def observe(
    plant: Plant,
    settings: MqttSettings,
    seconds: float,
    *,
    url: str | None = None,
    ca: Path | None = None,
) -> list[Plane]:
    """Subscribe for some seconds and return a plane for each layout that is published.

    `url` and `ca` are of a reader's credential where it is another one than the gateway's, as it is for the embedded
    broker; with the layout sparkplug it must be allowed to publish there. Raises ObserveError when the broker cannot be
    reached, ValueError for a payload that cannot be read back.
    """
    endpoint = settings.endpoint if url is None else parse(url)
    if endpoint is None:
        raise ValueError("name the URL of a reader: the embedded broker lets in users of Plantree only")
    tls = client_context(ca or settings.ca, settings.certificate, settings.key) if endpoint.tls else None
    options = Options(endpoint, f"{settings.client_id}-verify", "3.1.1" if settings.endpoint is None else "5", tls)
    try:
        retained = {uns.variable_topic(variable, plant, settings.uns) for variable in plant.variables}
        seen = await _listen(settings, options, seconds, retained if "uns" in settings.layouts else set())
    except MqttError as error:
        raise ObserveError(f"the broker cannot be asked: {error}") from error
    planes: list[Plane] = []
    if "factory" in settings.layouts:
        planes.append(_factory(plant, settings, seen))
    if "uns" in settings.layouts:
        planes.append(_uns(plant, settings, seen))
    for name in ("pubsub", "sparkplug"):
        if name in settings.layouts and find_spec(CLASSES[name][0]) is not None:
            module = import_module(CLASSES[name][0])
            decode: Callable[..., Plane] = module.observed
            planes.append(decode(plant, settings, [(message.topic, message.payload) for message in seen]))
    return planes


async def _listen(settings: MqttSettings, options: Options, seconds: float, wanted: set[str]) -> list[Incoming]:
    seen: list[Incoming] = []
    connection = Connection(options, None, seen.append)
    await connection.open()
    try:
        await connection.subscribe([("#", 1)])
        if "sparkplug" in settings.layouts:
            # Births are not retained: without one only what changes would be seen.
            await connection.publish([rebirth_request(settings.sparkplug, now_ticks())])
        await asyncio.sleep(seconds)
        await _wait_retained(seen, wanted)
    finally:
        await connection.close()
    return seen


async def _wait_retained(seen: list[Incoming], wanted: set[str]) -> None:
    """Give retained messages time that a busy broker has not sent yet; of what else comes meanwhile, take nothing."""
    came = len(seen)
    missing = wanted - {message.topic for message in seen}
    deadline = time.monotonic() + _PATIENCE_S
    while missing and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        missing -= {message.topic for message in seen[came:]}
    first: dict[str, Incoming] = {}
    for message in seen[came:]:
        first.setdefault(message.topic, message)
    known = {message.topic for message in seen[:came]}
    seen[came:] = [message for topic, message in first.items() if topic in wanted - known]


def _factory(plant: Plant, settings: MqttSettings, seen: list[Incoming]) -> Plane:
    topics = {topic.topic: topic for topic in object_topics(plant, settings.factory)}
    observations: list[Observation] = []
    for message in seen:
        topic = topics.get(message.topic)
        if topic is None:
            continue
        for id_, value in read_back(topic, message.payload).items():
            path = plant.variables[id_].path
            observations.append(Observation(path, value, BAD_NO_DATA if value is None else GOOD, None))
    resolution = "value exact, Bad or not Bad, no time of a single value"
    return Plane("mqtt factory", resolution, observations, same_value)


def _uns(plant: Plant, settings: MqttSettings, seen: list[Incoming]) -> Plane:
    topics = {uns.variable_topic(variable, plant, settings.uns): variable for variable in plant.variables}
    observations: list[Observation] = []
    for message in seen:
        variable = topics.get(message.topic)
        if variable is not None:
            observations.append(Observation(variable.path, *uns.read_back(variable, message.payload)))
    return Plane("mqtt uns", "value and status exact, time to 1 µs", observations, same_sample)


def same_value(variable: Variable, truth: Observation, seen: Observation) -> bool:
    """Whether a value is right where the plane shows neither status nor time: Bad is no value."""
    bad = bool(truth.status & _BAD)
    return bad == (seen.value is None) and (bad or _equal(variable, truth.value, seen.value))


def same_sample(variable: Variable, truth: Observation, seen: Observation) -> bool:
    """Whether value, status and time are right, the time to the microsecond."""
    if seen.status != truth.status:
        return False
    if seen.source_timestamp is not None and truth.source_timestamp is not None:
        apart = abs(seen.source_timestamp - truth.source_timestamp)
        if apart >= _TICKS_A_MICROSECOND:
            return False
    return bool(truth.status & _BAD) or _equal(variable, truth.value, seen.value)


def _equal(variable: Variable, truth: object, seen: object) -> bool:
    if variable.declaration.type is BuiltinType.DateTime and isinstance(truth, int) and isinstance(seen, int):
        return abs(truth - seen) < _TICKS_A_MICROSECOND
    return truth == seen or (truth != truth and seen is None)  # noqa: PLR0124  a NaN is null in JSON
