"""The plant as a PubSub configuration: DataSetWriters, their metadata and versions, the connection (OPC 10000-14 6.2).

Everything here is in the CompactEncoding of OPC 10000-6 5.4: members with the default value of their type are left out.
"""

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from address_space.model import Enumeration, Machine, Plant, Variable
from address_space.units import Unit
from gateways.mqtt.layout import LayoutState
from gateways.mqtt.pubsub_settings import PubSubSettings
from server.store.ticks import TICKS_PER_SECOND

TRANSPORT_PROFILE = "http://opcfoundation.org/UA-Profile/Transport/pubsub-mqtt-json"
PUBLISHING_INTERVAL_MS = 1000

# JsonNetworkMessageContentMask (6.3.2.1.1): NetworkMessageHeader, DataSetMessageHeader, PublisherId, WriterGroupName.
NETWORK_MESSAGE_CONTENT = 0x1 | 0x2 | 0x8 | 0x40
# JsonDataSetMessageContentMask (6.3.2.3.1): DataSetWriterId, MetaDataVersion, SequenceNumber, Timestamp, MessageType,
# DataSetWriterName, FieldEncoding2; FieldEncoding1 chooses the CompactEncoding.
_DATA_SET_MESSAGE_CONTENT = 0x1 | 0x2 | 0x4 | 0x8 | 0x20 | 0x40 | 0x800
_FIELD_ENCODING_1 = 0x80
FIELD_CONTENT = 0x1 | 0x2
"""DataSetFieldContentMask (6.2.4.2): StatusCode and SourceTimestamp, so fields are DataValues."""

_AT_LEAST_ONCE = 2
_VERSION_EPOCH_TICKS = 125_911_584_000_000_000
"""2000-01-01, from where a VersionTime counts its seconds (OPC 10000-4 7.46)."""
_FIELD_IDS = uuid.UUID("7f1e2a64-0c1b-5b34-9d0f-3f6d0a4f8e21")
_STATE_KEY = "writers"


@dataclass(frozen=True, slots=True)
class Writer:
    """A DataSetWriter: one machine's variables are the fields of its data set, in their order."""

    id: int
    name: str
    machine: Machine
    version: int
    """Major and minor version of the metadata: when they changed last, in seconds since 2000."""
    metadata: dict[str, Any]

    @property
    def variables(self) -> Sequence[Variable]:
        """The fields."""
        return list(self.machine.variables.values())


def make_writers(plant: Plant, state: LayoutState, now: int) -> list[Writer]:
    """Return a writer for each machine with variables; ids and versions are kept in `state` over restarts.

    A version is new when the metadata is another than last time. `now` is in ticks.
    """
    kept: dict[str, tuple[int, int, str]] = json.loads(str(state.get(_STATE_KEY) or "{}"))
    known = dict(kept)
    next_id = max((entry[0] for entry in kept.values()), default=0) + 1
    writers: list[Writer] = []
    for machine in (machine for machine in plant.objects if machine.variables):
        metadata = data_set_metadata(plant, machine)
        digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()
        id_, version, known_digest = kept.get(machine.path, (next_id, 0, ""))
        next_id = max(next_id, id_ + 1)
        if digest != known_digest:
            version = max(version + 1, (now - _VERSION_EPOCH_TICKS) // TICKS_PER_SECOND)
        known[machine.path] = (id_, version, digest)
        metadata["ConfigurationVersion"] = {"MajorVersion": version, "MinorVersion": version}
        writers.append(Writer(id_, writer_name(plant, machine), machine, version, metadata))
    if known != {path: tuple(entry) for path, entry in kept.items()}:
        state.set(_STATE_KEY, json.dumps(known))
    return writers


def writer_name(plant: Plant, machine: Machine) -> str:
    """Return `Line1` for Plant.Line1, the plant's own name for the root."""
    return machine.path.removeprefix(f"{plant.root.path}.")


def data_set_metadata(plant: Plant, machine: Machine) -> dict[str, Any]:
    """Return the DataSetMetaDataType of a machine, without its version (6.2.3.2.3)."""
    variables = list(machine.variables.values())
    enumerations = {
        enumeration.name: enumeration
        for variable in variables
        if (enumeration := variable.declaration.enumeration) is not None
    }
    return _structure(
        Namespaces=[plant.namespace],
        EnumDataTypes=[_enum_description(plant, enumeration) for enumeration in enumerations.values()],
        Name=writer_name(plant, machine),
        Description=_localized(machine.description),
        Fields=[_field(plant, variable) for variable in variables],
    )


def _field(plant: Plant, variable: Variable) -> dict[str, Any]:
    """Return a FieldMetaData (6.2.3.2.4)."""
    declaration = variable.declaration
    data_type = f"i={declaration.type.value}"
    if declaration.enumeration is not None:
        data_type = _node_id(plant, declaration.enumeration.name)
    properties: list[dict[str, Any]] = []
    if declaration.unit is not None:
        properties.append(_property("EngineeringUnits", _engineering_units(declaration.unit)))
    if declaration.range is not None:
        low, high = declaration.range
        properties.append(_property("EURange", {"UaTypeId": "i=884", **_structure(Low=low, High=high)}))
    return _structure(
        Name=variable.name,
        Description=_localized(declaration.description),
        BuiltInType=declaration.type.value,
        DataType=data_type,
        ValueRank=-1,
        DataSetFieldId=str(uuid.uuid5(_FIELD_IDS, f"{plant.namespace};{variable.path}")),
        Properties=properties,
    )


def _property(key: str, extension_object: dict[str, Any]) -> dict[str, Any]:
    return {"Key": key, "Value": {"UaType": 22, "Value": extension_object}}


def _engineering_units(unit: Unit) -> dict[str, Any]:
    members = _structure(
        NamespaceUri=unit.namespace,
        UnitId=unit.unit_id,
        DisplayName=_localized(unit.symbol),
        Description=_localized(unit.description),
    )
    return {"UaTypeId": "i=887", **members}


def _enum_description(plant: Plant, enumeration: Enumeration) -> dict[str, Any]:
    fields = [
        _structure(Value=str(value) if value else None, DisplayName=_localized(name), Name=name)
        for value, name in enumerate(enumeration.values)
    ]
    return _structure(
        DataTypeId=_node_id(plant, enumeration.name),
        Name=f"nsu={plant.namespace};{enumeration.name}",
        EnumDefinition={"Fields": fields},
        BuiltInType=6,
    )


def connection_data(settings: PubSubSettings, writers: Sequence[Writer], topics: "Topics") -> dict[str, Any]:
    """Return the PubSubConnectionDataType as ua-connection shows it: no Address, no readers (7.2.5.5.6)."""
    group = _structure(
        Name=settings.writer_group,
        Enabled=True,
        SecurityMode=1,
        WriterGroupId=1,
        PublishingInterval=PUBLISHING_INTERVAL_MS,
        KeepAliveTime=settings.key_frame_count * PUBLISHING_INTERVAL_MS,
        TransportSettings={"UaTypeId": "i=15667", "RequestedDeliveryGuarantee": _AT_LEAST_ONCE},
        MessageSettings={"UaTypeId": "i=15657", "NetworkMessageContentMask": NETWORK_MESSAGE_CONTENT},
        DataSetWriters=[_writer_data(settings, writer, topics) for writer in writers],
    )
    return _structure(
        Name=settings.publisher_id,
        Enabled=True,
        PublisherId={"UaType": 12, "Value": settings.publisher_id},
        TransportProfileUri=TRANSPORT_PROFILE,
        WriterGroups=[group],
    )


def _writer_data(settings: PubSubSettings, writer: Writer, topics: "Topics") -> dict[str, Any]:
    content = _DATA_SET_MESSAGE_CONTENT | (_FIELD_ENCODING_1 if settings.encoding == "compact" else 0)
    return _structure(
        Name=writer.name,
        Enabled=True,
        DataSetWriterId=writer.id,
        DataSetFieldContentMask=FIELD_CONTENT,
        KeyFrameCount=settings.key_frame_count,
        DataSetName=writer.name,
        TransportSettings={
            "UaTypeId": "i=15669",
            "QueueName": topics.data(writer.name),
            "RequestedDeliveryGuarantee": _AT_LEAST_ONCE,
            "MetaDataQueueName": topics.metadata(writer.name),
        },
        MessageSettings={"UaTypeId": "i=15664", "DataSetMessageContentMask": content},
    )


class Topics:
    """The topic tree of OPC 10000-14 7.3.4.7."""

    def __init__(self, settings: PubSubSettings) -> None:
        self._settings = settings

    def data(self, writer: str) -> str:
        """Return the topic of a writer's DataSetMessages."""
        return f"{self._of('data')}/{self._settings.writer_group}/{writer}"

    def metadata(self, writer: str) -> str:
        """Return the topic of a writer's DataSetMetaData."""
        return f"{self._of('metadata')}/{self._settings.writer_group}/{writer}"

    @property
    def status(self) -> str:
        """The topic of the Status."""
        return self._of("status")

    @property
    def connection(self) -> str:
        """The topic of the PubSubConnection."""
        return self._of("connection")

    def _of(self, kind: str) -> str:
        return f"{self._settings.prefix}/json/{kind}/{self._settings.publisher_id}"


def _structure(**members: Any) -> dict[str, Any]:
    """Return a structure without the members that have a default value."""
    return {name: value for name, value in members.items() if value not in (None, "", 0, [], {})}


def _localized(text: str) -> dict[str, str]:
    return {"Text": text} if text else {}


def _node_id(plant: Plant, identifier: str) -> str:
    return f"nsu={plant.namespace};s={identifier}"
