"""Server.ServerCapabilities: what the server can do and how much of it, with the figures that are enforced (6.3.2)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections.abc import Sequence
from typing import Any

from asyncua import Server, ua

from server.opcua.continuation import MAX_POINTS
from server.opcua.limits import ServerLimits
from server.opcua.subscriptions.limits import Limits
from server.opcua.view import MAX_OPERATIONS

_TYPES = ua.VariantType
_PROFILE = "http://opcfoundation.org/UA-Profile/Server/"
_PROFILES = ("EmbeddedUA2017", "EnhancedDataChangeSubscription2017", "Methods")
"""As far as this project's tests can tell: nobody has certified the server."""


def operation_limits(limits: ServerLimits, subscriptions: Limits) -> dict[str, int]:
    """Return the OperationLimits by name (OPC 10000-5 6.3.11)."""
    return {
        "MaxNodesPerRead": limits.nodes_per_read,
        "MaxNodesPerWrite": limits.nodes_per_write,
        "MaxNodesPerMethodCall": limits.calls,
        "MaxNodesPerBrowse": MAX_OPERATIONS,
        "MaxNodesPerRegisterNodes": MAX_OPERATIONS,
        "MaxNodesPerTranslateBrowsePathsToNodeIds": limits.paths_per_translation,
        "MaxMonitoredItemsPerCall": subscriptions.items_per_call,
        "MaxNodesPerHistoryReadData": limits.nodes_per_history,
        "MaxNodesPerHistoryReadEvents": limits.nodes_per_history,
        "MaxNodesPerHistoryUpdateData": limits.nodes_per_history,
        "MaxNodesPerHistoryUpdateEvents": limits.nodes_per_history,
    }


def counts(limits: ServerLimits, subscriptions: Limits) -> dict[str, int]:
    """Return the other limits that are counts or bytes, by name."""
    return {
        "MaxArrayLength": limits.array_length,
        "MaxStringLength": limits.string_bytes,
        "MaxByteStringLength": limits.string_bytes,
        "MaxSessions": limits.sessions,
        "MaxSubscriptions": subscriptions.subscriptions,
        "MaxSubscriptionsPerSession": subscriptions.subscriptions_per_session,
        "MaxMonitoredItems": subscriptions.items,
        "MaxMonitoredItemsPerSubscription": subscriptions.items_per_subscription,
        "MaxMonitoredItemsQueueSize": subscriptions.queue_size,
        "MaxSelectClauseParameters": subscriptions.select_clauses,
        "MaxWhereClauseParameters": subscriptions.where_elements,
    }


async def publish(
    server: Server, limits: ServerLimits, subscriptions: Limits, locales: list[str], facets: Sequence[str] = ()
) -> None:
    """Write the values of the capability nodes; `facets` are profiles beside those that every server has."""

    async def write(name: str, value: Any, kind: ua.VariantType) -> None:
        node = server.get_node(ua.NodeId(getattr(ua.ObjectIds, f"Server_ServerCapabilities_{name}")))
        await node.write_value(ua.DataValue(ua.Variant(value, kind, is_array=isinstance(value, list))))

    for name, value in operation_limits(limits, subscriptions).items():
        await write(f"OperationLimits_{name}", value, _TYPES.UInt32)
    for name, value in counts(limits, subscriptions).items():
        await write(name, value, _TYPES.UInt32)
    await write("MaxBrowseContinuationPoints", MAX_POINTS, _TYPES.UInt16)
    await write("MaxQueryContinuationPoints", 0, _TYPES.UInt16)  # there is no Query service
    await write("MinSupportedSampleRate", subscriptions.min_sampling * 1000, _TYPES.Double)
    auditing = server.get_node(ua.NodeId(ua.ObjectIds.Server_Auditing))
    await auditing.write_value(ua.DataValue(ua.Variant(True, _TYPES.Boolean)))
    await write("ServerProfileArray", [_PROFILE + name for name in (*_PROFILES, *facets)], _TYPES.String)
    await write("LocaleIdArray", locales, _TYPES.String)
