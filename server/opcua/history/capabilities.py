"""What the server says of its history as a whole: HistoryServerCapabilities and its aggregates (OPC 10000-11 5.4)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from typing import Any

from asyncua import ua

from server.history.aggregates import AGGREGATES
from server.opcua.history.points import MAX_POINTS
from server.opcua.history.service import MAX_NODES, MAX_VALUES
from server.opcua.references import HAS_COMPONENT, ORGANIZES, reference
from server.opcua.space import PlantAddressSpace

_IDS = ua.ObjectIds
_FUNCTION_TYPE = ua.NodeId(_IDS.AggregateFunctionType)
_FOLDERS = (_IDS.Server_ServerCapabilities_AggregateFunctions, _IDS.HistoryServerCapabilities_AggregateFunctions)

_VALUES: dict[str, tuple[Any, ua.VariantType]] = {
    "HistoryServerCapabilities_AccessHistoryDataCapability": (True, ua.VariantType.Boolean),
    "HistoryServerCapabilities_AccessHistoryEventsCapability": (False, ua.VariantType.Boolean),
    "HistoryServerCapabilities_MaxReturnDataValues": (MAX_VALUES, ua.VariantType.UInt32),
    "HistoryServerCapabilities_MaxReturnEventValues": (0, ua.VariantType.UInt32),
    "HistoryServerCapabilities_InsertDataCapability": (True, ua.VariantType.Boolean),
    "HistoryServerCapabilities_ReplaceDataCapability": (True, ua.VariantType.Boolean),
    "HistoryServerCapabilities_UpdateDataCapability": (True, ua.VariantType.Boolean),
    "HistoryServerCapabilities_DeleteRawCapability": (True, ua.VariantType.Boolean),
    "HistoryServerCapabilities_DeleteAtTimeCapability": (True, ua.VariantType.Boolean),
    "HistoryServerCapabilities_InsertEventCapability": (False, ua.VariantType.Boolean),
    "HistoryServerCapabilities_ReplaceEventCapability": (False, ua.VariantType.Boolean),
    "HistoryServerCapabilities_UpdateEventCapability": (False, ua.VariantType.Boolean),
    "HistoryServerCapabilities_DeleteEventCapability": (False, ua.VariantType.Boolean),
    "HistoryServerCapabilities_InsertAnnotationCapability": (False, ua.VariantType.Boolean),
    "HistoryServerCapabilities_ServerTimestampSupported": (False, ua.VariantType.Boolean),
    "Server_ServerCapabilities_MaxHistoryContinuationPoints": (MAX_POINTS, ua.VariantType.UInt16),
    "Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData": (MAX_NODES, ua.VariantType.UInt32),
    "Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryUpdateData": (MAX_NODES, ua.VariantType.UInt32),
}


_EDITS = tuple(f"{what}Capability" for what in ("InsertData", "ReplaceData", "UpdateData", "DeleteRaw", "DeleteAtTime"))


async def publish(space: PlantAddressSpace, *, editable: bool) -> None:
    """Set the properties, and list the aggregates; after the standard nodes are there."""
    for name, (offered, kind) in _VALUES.items():
        value = offered if editable or not name.endswith(_EDITS) else False
        nodeid = ua.NodeId(getattr(_IDS, name))
        status = await space.write_attribute_value(nodeid, ua.AttributeIds.Value, ua.DataValue(ua.Variant(value, kind)))
        status.check()
    for folder in _FOLDERS:
        listed = {found.NodeId for found in space[ua.NodeId(folder)].references if found.IsForward}
        for name in AGGREGATES:
            function = ua.NodeId(getattr(_IDS, f"AggregateFunction_{name}"))
            if function not in listed:
                found = reference(
                    ORGANIZES if folder == _FOLDERS[0] else HAS_COMPONENT,
                    function, ua.NodeClass.Object, ua.QualifiedName(name, 0), type_definition=_FUNCTION_TYPE,
                )  # fmt: skip
                space[ua.NodeId(folder)].references.append(found)
