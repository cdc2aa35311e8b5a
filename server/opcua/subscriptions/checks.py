"""What a monitored item may be: each refusal is a StatusCode of OPC 10000-4 5.12.2."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import re
from typing import Any

from asyncua import ua

from address_space.model import BuiltinType, Variable
from server.opcua.events.filters import EventFilter, EventFilters, InvalidFilterError
from server.opcua.locales import Locale
from server.opcua.space import PlantAddressSpace
from server.opcua.subscriptions.decode import Creation, DataChangeFilter, Filter, UnknownFilter
from server.opcua.subscriptions.limits import Limits
from server.opcua.subscriptions.table import ON_TIMESTAMP, ON_VALUE

_CODES = ua.StatusCodes
_VALUE, _EVENT_NOTIFIER = int(ua.AttributeIds.Value), int(ua.AttributeIds.EventNotifier)
_ATTRIBUTES = {int(attribute) for attribute in ua.AttributeIds}
_NUMBERS = set(range(BuiltinType.SByte, BuiltinType.Double + 1))
_ABSOLUTE, _PERCENT = 1, 2
_INDEX_RANGE = re.compile(r"\d+(?::\d+)?(?:,\d+(?::\d+)?)*")


class RefusedItemError(Exception):
    """An item cannot be made or changed as asked for."""

    def __init__(self, status: int, filter_result: Any = None) -> None:
        super().__init__(ua.StatusCode(status).name)
        self.status = status
        self.filter_result = filter_result


def check_attribute(space: PlantAddressSpace, wanted: Creation, variable: Variable | None) -> None:
    """Refuse unknown nodes and attributes, modes that are none, ranges and encodings that do not fit."""
    if wanted.attribute not in _ATTRIBUTES:
        raise RefusedItemError(_CODES.BadAttributeIdInvalid if _known(space, wanted) else _CODES.BadNodeIdUnknown)
    if variable is None or wanted.attribute != _VALUE:
        node = space.get(wanted.node)
        if node is None:
            raise RefusedItemError(_CODES.BadNodeIdUnknown)
        if ua.AttributeIds(wanted.attribute) not in node.attributes:
            raise RefusedItemError(_CODES.BadAttributeIdInvalid)
    if wanted.mode not in (0, 1, 2):
        raise RefusedItemError(_CODES.BadMonitoringModeInvalid)
    _check_index_range(wanted.index_range)
    if wanted.index_range and variable is not None and variable.declaration.type is not BuiltinType.String:
        raise RefusedItemError(_CODES.BadIndexRangeNoData)


def _known(space: PlantAddressSpace, wanted: Creation) -> bool:
    return space.get(wanted.node) is not None


def _check_index_range(index_range: str | None) -> None:
    if not index_range:
        return
    if not _INDEX_RANGE.fullmatch(index_range):
        raise RefusedItemError(_CODES.BadIndexRangeInvalid)
    for part in index_range.split(","):
        first, _, last = part.partition(":")
        if last and int(last) <= int(first):
            raise RefusedItemError(_CODES.BadIndexRangeInvalid)


def check_encoding(wanted: Creation, value: ua.DataValue) -> None:
    """Refuse a data encoding for anything but a structure's value, and any but the binary one."""
    name = wanted.encoding.Name
    if not name:
        return
    variant: Any = value.Value
    if wanted.attribute != _VALUE or variant is None or variant.VariantType is not ua.VariantType.ExtensionObject:
        raise RefusedItemError(_CODES.BadDataEncodingInvalid)
    if name != "Default Binary" or wanted.encoding.NamespaceIndex != 0:
        raise RefusedItemError(_CODES.BadDataEncodingUnsupported)


def data_filter(given: Filter, variable: Variable | None, attribute: int, value: Any) -> tuple[int, float]:
    """Return trigger and absolute deadband (0: none) of a filter (OPC 10000-4 7.22.2, OPC 10000-8 7.2).

    `value` is that of a node which is not the plant's.
    """
    if given is None:
        return ON_VALUE, 0.0
    if isinstance(given, UnknownFilter):
        raise RefusedItemError(given.status)
    if not isinstance(given, DataChangeFilter) or attribute != _VALUE:
        raise RefusedItemError(_CODES.BadFilterNotAllowed)
    if given.trigger > ON_TIMESTAMP:
        raise RefusedItemError(_CODES.BadMonitoredItemFilterInvalid)
    if given.deadband_type == 0:
        return given.trigger, 0.0
    if given.deadband_type not in (_ABSOLUTE, _PERCENT) or not 0 <= given.deadband < float("inf"):
        raise RefusedItemError(_CODES.BadDeadbandFilterInvalid)
    if not _is_number(variable, value):
        raise RefusedItemError(_CODES.BadFilterNotAllowed)
    trigger = min(given.trigger, ON_VALUE)  # with a deadband, a new timestamp alone is no reason to report
    if given.deadband_type == _ABSOLUTE:
        return trigger, given.deadband
    limits = None if variable is None else variable.declaration.range
    if limits is None or given.deadband > 100:
        raise RefusedItemError(_CODES.BadDeadbandFilterInvalid)
    return trigger, given.deadband / 100 * (limits[1] - limits[0])


def _is_number(variable: Variable | None, value: Any) -> bool:
    if variable is not None:
        declaration = variable.declaration
        return declaration.type in _NUMBERS and declaration.enumeration is None
    return value is not None and value.VariantType.value in _NUMBERS


def event_filter(filters: EventFilters, given: Filter, limits: Limits, locale: Locale | None) -> EventFilter:
    """Return an event filter; refuses clauses that no event can satisfy, with the result for each (7.22.3)."""
    if isinstance(given, UnknownFilter):
        raise RefusedItemError(given.status)
    if isinstance(given, DataChangeFilter):
        raise RefusedItemError(_CODES.BadFilterNotAllowed)
    if given is None or not given.SelectClauses:
        raise RefusedItemError(_CODES.BadEventFilterInvalid)
    if len(given.SelectClauses) > limits.select_clauses or len(given.WhereClause.Elements) > limits.where_elements:
        raise RefusedItemError(_CODES.BadEncodingLimitsExceeded)
    try:
        return filters.make(given, locale)
    except InvalidFilterError as error:
        raise RefusedItemError(_CODES.BadEventFilterInvalid, error.result) from error


def is_event_item(wanted: Creation) -> bool:
    """Whether an item is of events."""
    return wanted.attribute == _EVENT_NOTIFIER


def notifies(space: PlantAddressSpace, node: ua.NodeId) -> bool:
    """Whether events can be subscribed to at a node."""
    variant = space.read_attribute_value(node, ua.AttributeIds.EventNotifier).Value
    return variant is not None and bool(variant.Value & 0x01)
