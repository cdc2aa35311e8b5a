"""Reads and writes of attributes with the rights of a principal: every slow path goes through here."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from asyncua import ua

from address_space.model import Role
from server.audit import AuditKind
from server.commands import Commands, record_of
from server.opcua.attributes import NAMESPACE, READ_ONLY, READ_WRITE
from server.opcua.space import PlantAddressSpace
from server.ports import CommandError, Put
from server.security.principal import Principal
from server.store import to_ticks

_INDEX_RANGE = re.compile(r"(\d+)(?::(\d+))?")

ADDED_NODES_ROLE = Role.Engineer
"""The role that may write values of nodes that came from a user's own NodeSet2 files."""


class Rights:
    """What a principal sees of an attribute, and what it may write (OPC 10000-3 4.9, 5.2.9)."""

    def __init__(self, space: PlantAddressSpace, commands: Commands) -> None:
        self._space = space
        self._commands = commands

    def may_read(self, item: ua.ReadValueId, principal: Principal) -> bool:
        """Whether a principal may read an attribute: only values are kept from some."""
        if item.AttributeId != ua.AttributeIds.Value:
            return True
        variable = self._space.variable_of(item.NodeId)
        return variable is None or principal.has(variable.declaration.read_role)

    def read(self, item: ua.ReadValueId, principal: Principal) -> ua.DataValue:
        """Return an attribute as the principal sees it."""
        if not self.may_read(item, principal):
            return _refused(ua.StatusCodes.BadUserAccessDenied)
        found = self._space.read_attribute_value(item.NodeId, item.AttributeId)
        if item.DataEncoding is not None and item.DataEncoding.Name and not _is_structure(found):
            return _refused(ua.StatusCodes.BadDataEncodingInvalid)
        if item.IndexRange:
            return _part(found, item.IndexRange)
        if item.NodeId.NamespaceIndex != NAMESPACE:
            return found
        if item.AttributeId == ua.AttributeIds.UserAccessLevel and found.Value is not None:
            return self._user_access_level(item.NodeId, found, principal)
        if item.AttributeId == ua.AttributeIds.UserExecutable and found.Value is not None:
            return self._user_executable(item.NodeId, found, principal)
        return found

    async def write(self, items: Sequence[ua.WriteValue], principal: Principal, origin: str) -> list[ua.StatusCode]:
        """Write attributes; each StatusCode says what became of one, and anything but Good changed nothing."""
        results = [ua.StatusCode() for _ in items]
        puts: dict[int, Put] = {}
        for index, item in enumerate(items):
            try:
                put = self._put(item)
                if self._space.conditions.find(item.NodeId) is not None:
                    await self._space.conditions.write(item, principal, origin)
                elif put is None:
                    results[index] = await self._write_added(item, principal)
                    self._audit_added(item, results[index], principal, origin)
                else:
                    puts[index] = put
            except CommandError as error:
                results[index] = ua.StatusCode(error.status)
                self._audit_added(item, results[index], principal, origin, str(error))
        if puts:
            faults = await self._commands.put_many(list(puts.values()), principal, origin)
            for index, fault in zip(puts, faults, strict=True):
                if fault is not None:
                    results[index] = ua.StatusCode(fault.status)
        return results

    def _audit_added(
        self, item: ua.WriteValue, status: ua.StatusCode, principal: Principal, origin: str, message: str = ""
    ) -> None:
        """Audit a write that no command carried out: of a node that a user added, or one that cannot be."""
        node, variant = item.NodeId, item.Value.Value
        action = str(node.Identifier) if node.NamespaceIndex == NAMESPACE else node.to_string()
        fault = None if status.is_good() else CommandError(status.value, message or status.name)
        value = None if variant is None else plain(variant.Value)
        self._commands.report(record_of(principal, origin, action, [value], fault, AuditKind.WRITE))

    def _put(self, item: ua.WriteValue) -> Put | None:
        """Return what a write would set, None for a node that is none of the plant's; raises CommandError."""
        variable = self._space.variable_of(item.NodeId)
        if variable is None or item.AttributeId != ua.AttributeIds.Value:
            node = self._space.get(item.NodeId)
            if node is None:
                raise CommandError(ua.StatusCodes.BadNodeIdUnknown, "there is no such node")
            if item.AttributeId not in node.attributes:
                raise CommandError(ua.StatusCodes.BadAttributeIdInvalid, "the node has no such attribute")
            if item.AttributeId != ua.AttributeIds.Value:
                raise CommandError(ua.StatusCodes.BadNotWritable, "only values can be written")
            return None
        if item.IndexRange:
            raise CommandError(ua.StatusCodes.BadIndexRangeNoData, "a scalar has no elements")
        given = item.Value
        if given.StatusCode is not None and given.StatusCode.value != 0:
            raise CommandError(ua.StatusCodes.BadWriteNotSupported, "a status cannot be written")
        if variable.declaration.writable:
            check_variant(given.Value, ua.VariantType(int(variable.declaration.type)))
        stamp = None if given.SourceTimestamp is None else to_ticks(given.SourceTimestamp)
        return Put(variable, None if given.Value is None else plain(given.Value.Value), stamp)

    async def _write_added(self, item: ua.WriteValue, principal: Principal) -> ua.StatusCode:
        level = self._space.read_attribute_value(item.NodeId, ua.AttributeIds.AccessLevel).Value
        if item.NodeId.NamespaceIndex <= NAMESPACE or level is None or not level.Value & 0x02:
            return ua.StatusCode(ua.StatusCodes.BadNotWritable)
        if not principal.has(ADDED_NODES_ROLE):
            return ua.StatusCode(ua.StatusCodes.BadUserAccessDenied)
        return await self._space.write_attribute_value(item.NodeId, item.AttributeId, item.Value)

    def _user_access_level(self, nodeid: ua.NodeId, found: ua.DataValue, principal: Principal) -> ua.DataValue:
        variable = self._space.variable_of(nodeid)
        if found.Value is None:
            return found
        if variable is None:
            limit = self._space.conditions.write_role(nodeid)
            may = limit is None or principal.has(limit)
            return found if may else replace(found, Value=ua.Variant(READ_ONLY, ua.VariantType.Byte))
        level = int(found.Value.Value)
        role = variable.declaration.write_role
        if role is not None and not principal.has(role):
            level &= ~(READ_WRITE & ~READ_ONLY)
        if not principal.has(variable.declaration.read_role):
            level &= ~READ_ONLY
        history = self._space.factory.history
        if history is not None:
            level &= ~history.kept_from(variable.declaration, principal)
        return replace(found, Value=ua.Variant(level, ua.VariantType.Byte))

    def _user_executable(self, nodeid: ua.NodeId, found: ua.DataValue, principal: Principal) -> ua.DataValue:
        command = self._space.plant.commands.get(str(nodeid.Identifier))
        role = self._space.conditions.call_role(nodeid) if command is None else command.declaration.role
        if role is None:
            return found
        may = principal.has(role)
        return replace(found, Value=ua.Variant(may, ua.VariantType.Boolean))


def _refused(status: int) -> ua.DataValue:
    return ua.DataValue(StatusCode=ua.StatusCode(status))


def _is_structure(found: ua.DataValue) -> bool:
    return found.Value is not None and found.Value.VariantType is ua.VariantType.ExtensionObject


def _part(found: ua.DataValue, index_range: str) -> ua.DataValue:
    """Return elements `n` or `n:m` of a one-dimensional array, String or ByteString (OPC 10000-4 7.27)."""
    match = _INDEX_RANGE.fullmatch(index_range)
    if match is None:
        return _refused(ua.StatusCodes.BadIndexRangeInvalid)
    first = int(match[1])
    last = first if match[2] is None else int(match[2])
    if match[2] is not None and last <= first:
        return _refused(ua.StatusCodes.BadIndexRangeInvalid)
    value: Any = None if found.Value is None else found.Value.Value
    if found.Value is None or not isinstance(value, list | str | bytes) or first >= len(value):
        return (
            _refused(ua.StatusCodes.BadIndexRangeNoData)
            if found.StatusCode is None or found.StatusCode.is_good()
            else found
        )
    kind, is_array = found.Value.VariantType, isinstance(value, list)
    return replace(found, Value=ua.Variant(value[first : last + 1], kind, is_array=is_array))


def plain(value: Any) -> Any:
    """Return a Variant's value as commands and store have it: a DateTime as ticks."""
    return to_ticks(value) if isinstance(value, datetime) else value


def check_variant(variant: ua.Variant | None, expected: ua.VariantType) -> None:
    """Refuse a Variant that is not one scalar of the expected type; raises CommandError with BadTypeMismatch."""
    kind: Any = None if variant is None else variant.VariantType
    if variant is None or kind is not expected or variant.is_array:
        given = "nothing" if variant is None else f"{getattr(kind, 'name', kind)}{' array' if variant.is_array else ''}"
        raise CommandError(ua.StatusCodes.BadTypeMismatch, f"takes one {expected.name}, not {given}")
