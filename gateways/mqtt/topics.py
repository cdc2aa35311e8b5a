"""Every topic of a plant, as a Markdown page: what integrators are given."""

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

from address_space.model import Argument, Plant
from gateways.mqtt.factory import component_names
from gateways.mqtt.layouts import CLASSES
from gateways.mqtt.mapping import ALARM, STATUS, Leaf, leaves, object_topics
from gateways.mqtt.settings import MqttSettings
from gateways.mqtt.uns import state_topic, variable_topic

_HEAD = """\
# MQTT topics

Written by `python -m server export mqtt`; do not edit. Which layouts are published is the setting `mqtt.layouts`.
Timestamps are SourceTimestamps in ISO 8601, UTC with offset, to the microsecond. A value whose status is Bad is `null`.
Everything is QoS 1.
"""
_FACTORY = """
## Layout `factory`

One JSON object a machine, published with every change and at least every {heartbeat:g} s; not retained. `timestamp` is
that of the newest sample in it. States are words in snake case. `alarm` is true in the states Tripped, Faulted and
EmergencyStopped, and while the machine's emergency stop is latched.
"""
_STATUS = """
`status/<component>` (retained, offline by Last Will) is
`{"component": "PLC1", "state": "online" | "offline", "timestamp": "..."}`. Components: {components}.
"""
_UNS = """
## Layout `uns`

One retained topic a variable: `{"value": 101.3, "unit": "1/min", "quality": "Good", "timestamp": "..."}`. `quality` is
the name of the StatusCode; `text` names a state besides; samples that come late, after an outage, carry
`"historical": true` and are not retained. The gateway is online or offline on `{state}`.
"""
_ALARMS = """
## Alarms

Every transition of a condition goes to `alarm/` and its path, `alarm/Plant/Generator1/Overspeed`, at least once, also
what was told while the broker was gone: `{"condition": "Plant.Generator1.Overspeed", "source": "Plant.Generator1",
"event": "active", "event_id": "3f…", "timestamp": "...", "active": true, "acked": false, "confirmed": true,
"severity": 800, "message": "...", "enabled": true, "shelving": "Unshelved", "suppressed": false, "out_of_service":
false, "quality": "Good", "comment": "", "user": "", "branch": ""}`. The present state is retained; older transitions,
and those of a `branch` (an earlier activation that waits for somebody), are not. Of a camera, `object_class`,
`confidence`, `bounding_box` (x0, y0, x1, y1 in shares of the picture), `frame_time`, `model` and `model_sha256` tell
what it saw, and `snapshot` is the address of the picture, for users with the role Observer, `snapshot_sha256` its hash.

An operator answers on `cmd/` and the path, as with commands: `cmd/Plant/Generator1/Overspeed/Acknowledge` with
`{"arguments": {"EventId": "3f…", "Comment": "seen"}}`, the same for `Confirm`, `AddComment` and a camera's
`ReportFalseAlarm`; `TimedShelve` has `ShelvingTime` (ms), `OneShotShelve` and `Unshelve` nothing but a comment. A
`Comment` may be left out.
"""
_COMMANDS = """
## Commands

JSON to the topic: `{"arguments": {…}}`. The answer, `{"status": "Good", "code": 0, "message": "", "outputs": {}}`,
goes to the response topic with the correlation data of MQTT 5; with 3.1.1 add `"reply_to": "topic"` and `"id": "…"`
to the payload, `id` comes back. Retained messages are ignored; the same correlation is done once within a minute.
Whose rights a topic has is the setting `mqtt.commands.users`; without it, emergency stops only.

| topic | arguments | role |
| --- | --- | --- |
"""
_SETPOINTS = """
## Set-points

JSON to the topic: `{"value": 100}`, answered like a command.

| topic | value | role |
| --- | --- | --- |
"""
_BRIDGE = """
## Bridge

With `mqtt.bridge.url` set, every {period:g} s the aggregate of energy and environment goes to `{topic}` on that broker,
and `status/{bridge}` (retained, Last Will) tells whether the bridge is online.
"""


def topic_list(plant: Plant, settings: MqttSettings) -> str:
    """Return the page."""
    return "".join(_parts(plant, settings))


def _parts(plant: Plant, settings: MqttSettings) -> Iterator[str]:
    yield _HEAD
    yield _FACTORY.format(heartbeat=settings.factory.heartbeat)
    yield "\n| topic | key | variable | unit |\n| --- | --- | --- | --- |\n"
    yield from _factory_rows(plant, settings)
    yield _STATUS.replace("{components}", ", ".join(["Plantree", *component_names(plant)]))
    yield _UNS.replace("{state}", state_topic(settings.uns))
    yield "\n| topic | unit | description |\n| --- | --- | --- |\n"
    for variable in plant.variables:
        unit = variable.declaration.unit
        topic = variable_topic(variable, plant, settings.uns)
        yield f"| `{topic}` | {unit.symbol if unit else ''} | {_cell(variable.declaration.description)} |\n"
    yield from _others(plant, settings)
    yield _ALARMS
    yield _COMMANDS
    for path, command in plant.commands.items():
        arguments = ", ".join(_argument(argument) for argument in command.declaration.arguments)
        yield f"| `cmd/{path.replace('.', '/')}` | {arguments} | {command.declaration.role} |\n"
    yield _SETPOINTS
    for variable in plant.variables:
        declaration = variable.declaration
        if declaration.writable:
            shown = _argument(Argument("", declaration.type, "", declaration.unit, declaration.range))
            yield f"| `set/{variable.path.replace('.', '/')}` | {shown} | {declaration.write_role} |\n"
    bridge = settings.bridge
    yield _BRIDGE.format(period=bridge.period, topic=bridge.topic, bridge=bridge.bridge_id)


def _factory_rows(plant: Plant, settings: MqttSettings) -> Iterator[str]:
    for topic in object_topics(plant, settings.factory):
        for key, value in topic.node.items():
            if isinstance(value, str):
                yield f"| `{topic.topic}` | `{key}` | `{value}` | |\n"
        for keys, leaf in leaves(topic.node):
            yield f"| `{topic.topic}` | `{'.'.join(keys)}` | {_leaf(leaf)} |\n"


def _leaf(leaf: Leaf) -> str:
    if leaf.derived == ALARM:
        return "derived |"
    declaration = leaf.variables[0].declaration
    unit = "" if declaration.unit is None else declaration.unit.symbol
    return f"`{leaf.variables[0].path}`{' as a word' if leaf.derived == STATUS else ''} | {unit}"


def _others(plant: Plant, settings: MqttSettings) -> Iterator[str]:
    """Let the layouts that have a module of their own say what they publish."""
    for name in ("pubsub", "sparkplug"):
        module = CLASSES[name][0]
        describe = getattr(import_module(module), "topic_list", None) if find_spec(module) else None
        if describe is not None:
            yield f"\n## Layout `{name}`\n\n{describe(plant, settings).rstrip()}\n"


def _argument(argument: Argument) -> str:
    limits = "" if argument.range is None else f" {argument.range[0]:g} to {argument.range[1]:g}"
    unit = "" if argument.unit is None else f" {argument.unit.symbol}"
    choices = f" ({', '.join(argument.choices)})" if argument.choices else ""
    return f"{argument.name} {argument.type.name}{limits}{unit}{choices}".strip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
