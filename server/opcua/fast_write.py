"""Writes of many values without Python per value: a request of a form seen before is a template with holes for values.

Two requests that write the same variables differ in their values alone (and in timestamps): a template is the bytes of
the first with the places of the values, found again by the request's size and first node, and compared byte for byte
but for the holes. What fits no template, or cannot be done at once, is left to the slow path, which has changed
nothing by then. Templates never go stale: the plant's nodes and rights do not change while the server runs.
"""

import struct
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from asyncua import ua
from numpy.typing import NDArray

from address_space.model import BuiltinType, Role, Variable
from server.at_once import PutPlan, Single
from server.commands import Commands
from server.opcua.attributes import NAMESPACE
from server.opcua.records import SERVER, SOURCE, STATUS, VALUE
from server.opcua.space import PlantAddressSpace
from server.opcua.wire import WRITE_RESPONSE, Request, response_header
from server.security.principal import Principal
from server.store.values import VALUE_DTYPES

MAX_TEMPLATES = 1024
MAX_TEMPLATE_BYTES = 64 * 1024 * 1024
_PER_KEY = 8
"""Forms of one size and first node: clients that write different sets of variables in turn."""
_STRING_ID = 0x03
_ABSENT = b"\xff\xff\xff\xff"
_EMPTY = b"\x00\x00\x00\x00"
_COST = 16
"""Bytes of memory that a template takes for each byte of its request, at most."""
_LAST_TICKS = 2_650_467_743_999_999_999
"""9999-12-31 23:59:59.9999999: a later timestamp is the slow path's to judge."""

_Key = tuple[frozenset[Role], int, bytes]


@dataclass(frozen=True, slots=True)
class Template:
    """A form of request: its bytes and where they must be the same, shape (size,); the places of the holes.

    `values` are the places of the bytes of each column of `plan`, shape (n, size of the type); `stamps` those of the
    source timestamps in the request's order, shape (count, 8), None where no write has one.
    """

    fixed: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    plan: PutPlan
    values: tuple[NDArray[np.int64], ...]
    stamps: NDArray[np.int64] | None
    tail: bytes
    single: tuple[Single, int] | None
    """What a request for one set-point writes, and where its value stands."""

    def columns(self, given: NDArray[np.uint8]) -> list[NDArray[Any]]:
        """Return the values in a request's bytes, by column of the plan."""
        pairs = zip(self.values, self.plan.columns, strict=True)
        return [_column(given[places], column.builtin) for places, column in pairs]


class _UnfitError(Exception):
    """The request is of a form that no template has."""


class WriteTemplates:
    """Answers writes for all sessions; the templates are bounded in number and in bytes."""

    def __init__(self, space: PlantAddressSpace, commands: Commands) -> None:
        self._space = space
        self._commands = commands
        self._templates: OrderedDict[_Key, list[Template | bytes]] = OrderedDict()
        self._bytes = 0

    def answer(self, request: Request, principal: Principal, origin: str) -> bytes | None:
        """Write and return the WriteResponse, or None, with nothing written, when the slow path must answer."""
        rest = request.rest
        if len(rest) < 11:
            return None
        key = (principal.roles, len(rest), rest[: 11 + int.from_bytes(rest[7:11], "little")])
        given = np.frombuffer(rest, np.uint8)
        template = self._find(key, rest, given, principal)
        if template is None:
            return None
        stamps = None
        if template.stamps is not None:
            stamps = given[template.stamps].view("<i8").ravel()
            if stamps.min() <= 0 or stamps.max() > _LAST_TICKS:
                return None
        put = self._commands.at_once
        if template.single is not None:
            plan, (single, place) = template.plan, template.single
            (value,) = single.form.unpack_from(rest, place)
            stamp = None if stamps is None else int(stamps[0])
            done = put.put_one(plan, single, value, stamp, principal, origin)
        else:
            done = put.put(template.plan, template.columns(given), stamps, principal, origin)
        if not done:
            return None
        return response_header(WRITE_RESPONSE, request.handle) + template.tail

    def _find(self, key: _Key, rest: bytes, given: NDArray[np.uint8], principal: Principal) -> Template | None:
        known = self._templates.get(key)
        if known is None:
            known = []
        else:
            self._templates.move_to_end(key)
        for template in known:
            if isinstance(template, bytes):
                if template == rest:
                    return None
            elif not ((given ^ template.fixed) & template.mask).any():
                return template
        try:
            template = self._template(rest, principal)
        except (_UnfitError, struct.error, UnicodeDecodeError):
            template = None
        self._keep(key, known, rest if template is None else template, len(rest))
        return template

    def _keep(self, key: _Key, known: list[Template | bytes], new: Template | bytes, size: int) -> None:
        known.append(new)
        self._templates[key] = known
        self._bytes += size * _COST
        if len(known) > _PER_KEY:
            del known[0]
            self._bytes -= size * _COST
        while len(self._templates) > MAX_TEMPLATES or self._bytes > MAX_TEMPLATE_BYTES:
            (_, dropped_size, _), dropped = self._templates.popitem(last=False)
            self._bytes -= dropped_size * _COST * len(dropped)

    def _template(self, rest: bytes, principal: Principal) -> Template:
        (count,) = struct.unpack_from("<i", rest)
        if not 0 < count <= len(rest):
            raise _UnfitError
        at = 4
        variables: list[Variable] = []
        values: list[tuple[int, int]] = []
        stamps: list[int] = []
        mask = np.full(len(rest), 0xFF, np.uint8)
        for _ in range(count):
            variable, at = self._variable(rest, at)
            place, size, stamp, at = _data_value(rest, at, variable, mask)
            variables.append(variable)
            values.append((place, size))
            if stamp is not None:
                stamps.append(stamp)
        if at != len(rest) or len(stamps) not in (0, count):
            raise _UnfitError
        plan = self._commands.at_once.plan(variables, principal)
        if plan is None:
            raise _UnfitError
        return Template(
            np.frombuffer(rest, np.uint8).copy(),
            mask,
            plan,
            tuple(_places([values[position] for position in column.positions.tolist()]) for column in plan.columns),
            _places([(stamp, 8) for stamp in stamps]) if stamps else None,
            count.to_bytes(4, "little") + bytes(4 * count) + _EMPTY,
            None if plan.single is None else (plan.single, values[0][0]),
        )

    def _variable(self, rest: bytes, at: int) -> tuple[Variable, int]:
        """Read a NodeId, the AttributeId of a Value and an absent index range."""
        kind, namespace, length = struct.unpack_from("<BHi", rest, at)
        end = at + 7 + length
        if kind != _STRING_ID or namespace != NAMESPACE or length < 0 or end + 8 > len(rest):
            raise _UnfitError
        variable = self._space.plant.find(rest[at + 7 : end].decode())
        (attribute,) = struct.unpack_from("<I", rest, end)
        if variable is None or attribute != ua.AttributeIds.Value or rest[end + 4 : end + 8] not in (_ABSENT, _EMPTY):
            raise _UnfitError
        return variable, end + 8


def _data_value(rest: bytes, at: int, variable: Variable, mask: NDArray[np.uint8]) -> tuple[int, int, int | None, int]:
    """Read a DataValue of the variable's type; returns place and size of the value, place of the source timestamp, end.

    The holes are cleared in `mask`.
    """
    fields, variant = struct.unpack_from("<BB", rest, at)
    builtin = variable.declaration.type
    if not fields & VALUE or fields & ~(VALUE | STATUS | SOURCE | SERVER) or variant != builtin:
        raise _UnfitError
    if builtin is BuiltinType.String:
        raise _UnfitError
    size = np.dtype(VALUE_DTYPES[builtin]).itemsize
    place = at = at + 2
    mask[at : at + size] = 0
    at += size
    if fields & STATUS:
        if rest[at : at + 4] != _EMPTY:
            raise _UnfitError
        at += 4
    stamp = None
    if fields & SOURCE:
        stamp = at
        mask[at : at + 8] = 0
        at += 8
    if fields & SERVER:
        mask[at : at + 8] = 0
        at += 8
    if at > len(rest):
        raise _UnfitError
    return place, size, stamp, at


def _places(holes: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Return the places of all bytes of equally large holes, shape (n, size)."""
    starts = np.array([place for place, _ in holes], np.int64)
    return starts[:, None] + np.arange(holes[0][1])


def _column(raw: NDArray[np.uint8], builtin: BuiltinType) -> NDArray[Any]:
    """Return bytes of shape (n, size) as values of a type."""
    if builtin is BuiltinType.Boolean:
        return raw.ravel() != 0  # OPC 10000-6 5.2.2.1: any other byte is True
    return raw.view(VALUE_DTYPES[builtin]).ravel()
