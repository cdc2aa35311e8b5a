"""Sparkplug payloads decoded by Google's Protocol Buffers, and a layout over a store that tests write to."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from address_space import load_plant
from address_space.model import Plant, Variable
from gateways.mqtt.layout import Message
from gateways.mqtt.sparkplug import SparkplugLayout
from gateways.mqtt.sparkplug_settings import SparkplugSettings
from server.store import Batch, Store, now_ticks
from server.store.values import VALUE_DTYPES

_KIND = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "uint32": _KIND.TYPE_UINT32,
    "uint64": _KIND.TYPE_UINT64,
    "float": _KIND.TYPE_FLOAT,
    "double": _KIND.TYPE_DOUBLE,
    "bool": _KIND.TYPE_BOOL,
    "string": _KIND.TYPE_STRING,
    "bytes": _KIND.TYPE_BYTES,
}
# Sparkplug 3.0 6.4.1, without DataSets, Templates and extensions; {message: {field: (number, type)}}, * repeats.
_MESSAGES = {
    "PropertyValue": {
        "type": (1, "uint32"), "is_null": (2, "bool"), "int_value": (3, "uint32"), "long_value": (4, "uint64"),
        "float_value": (5, "float"), "double_value": (6, "double"), "boolean_value": (7, "bool"),
        "string_value": (8, "string"),
    },
    "PropertySet": {"keys": (1, "string*"), "values": (2, "PropertyValue*")},
    "Metric": {
        "name": (1, "string"), "alias": (2, "uint64"), "timestamp": (3, "uint64"), "datatype": (4, "uint32"),
        "is_historical": (5, "bool"), "is_transient": (6, "bool"), "is_null": (7, "bool"),
        "properties": (9, "PropertySet"), "int_value": (10, "uint32"), "long_value": (11, "uint64"),
        "float_value": (12, "float"), "double_value": (13, "double"), "boolean_value": (14, "bool"),
        "string_value": (15, "string"), "bytes_value": (16, "bytes"),
    },
    "Payload": {
        "timestamp": (1, "uint64"), "metrics": (2, "Metric*"), "seq": (3, "uint64"), "uuid": (4, "string"),
        "body": (5, "bytes"),
    },
}  # fmt: skip


def _make_payload() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug_test.proto", package="sparkplug_test", syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if any(field.endswith("_value") for field in fields):
            message.oneof_decl.add(name="value")
        for field_name, (number, declared) in fields.items():
            kind = declared.rstrip("*")
            label = _KIND.LABEL_OPTIONAL if kind == declared else _KIND.LABEL_REPEATED
            field = message.field.add(name=field_name, number=number, label=label)
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type, field.type_name = _KIND.TYPE_MESSAGE, f".sparkplug_test.{kind}"
            if field_name.endswith("_value"):
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("sparkplug_test.Payload"))


ProtobufPayload = _make_payload()


def parse(message: Message | bytes) -> Any:
    """Decode with Protocol Buffers; raises its DecodeError. No field may be one that the specification has not."""
    data = message if isinstance(message, bytes) else message.payload
    payload = ProtobufPayload()
    payload.ParseFromString(data)
    assert payload.ByteSize() == len(data) or payload.SerializeToString() != b""
    return payload


def properties(metric: Any) -> dict[str, Any]:
    """Return the properties of a metric, each as (type, value)."""
    values = [(value.type, getattr(value, value.WhichOneof("value"))) for value in metric.properties.values]
    return dict(zip(metric.properties.keys, values, strict=True))


def value_of(metric: Any) -> Any:
    """Return a metric's value as its field carries it; None where it has none."""
    which = metric.WhichOneof("value")
    return None if which is None else getattr(metric, which)


class MemoryState:
    """A LayoutState that notes what was set, for tests of one process."""

    def __init__(self) -> None:
        self.values: dict[str, int | str] = {}

    def get(self, key: str) -> int | str | None:
        return self.values.get(key)

    def set(self, key: str, value: int | str) -> None:
        self.values[key] = value


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """What the layout sees of the gateway's settings."""

    sparkplug: SparkplugSettings


class Node:
    """A layout of the default plant with its store and a cursor on the journal."""

    def __init__(self, plant: Plant | None = None, *, primary_host: str = "", state: MemoryState | None = None) -> None:
        self.plant = plant or load_plant()
        self.store = Store(self.plant)
        self.cursor = self.store.journal.cursor("test")
        self.state = state or MemoryState()
        settings = SparkplugSettings(group_id="G1", edge_node_id="E1", primary_host=primary_host)
        self.layout = SparkplugLayout(self.plant, self.store, GatewaySettings(settings), self.state)

    def connect(self) -> tuple[Message, list[Message]]:
        """Do what a connection does: return the Will and the births."""
        will = self.layout.will()
        births = self.layout.birth(now_ticks())
        self.cursor.read()
        return will, births

    def write(self, path: str, value: Any, *, status: int = 0, time: int | None = None) -> None:
        """Write one sample."""
        variable = self.variable(path)
        column = np.array([value], VALUE_DTYPES[variable.declaration.type])
        self.store.write(np.array([variable.id]), column, now_ticks() if time is None else time, status)

    def set_status(self, machine: str, status: int, feed: str = "source") -> None:
        """Give every variable of a machine that its source feeds a status."""
        variables = self.plant.machine(f"Plant.{machine}").variables.values()
        ids = [variable.id for variable in variables if variable.declaration.feed == feed]
        self.store.set_status(np.array(ids), status)

    def variable(self, path: str) -> Variable:
        return self.plant.variable(f"Plant.{path}")

    def batch(self) -> Batch:
        """Return what was written since the last call."""
        return self.cursor.read()

    def deliver(self, *, historical: bool = False) -> list[Message]:
        """Return the messages of what was written since the last call."""
        return self.layout.data(self.batch(), historical=historical)


def kinds(messages: list[Message]) -> list[str]:
    """Return NBIRTH, DDATA/Line1, … of messages."""
    return ["/".join([levels[2], *levels[4:]]) for levels in (message.topic.split("/") for message in messages)]
