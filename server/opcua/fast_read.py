"""Reads of many values without Python per value: a request seen before is answered from the store's records.

The bytes after the request header are the key of a bounded cache of plans; a plan is the records to gather. What does
not fit a plan (other attributes, unknown nodes, Strings, index ranges, no right to read) is answered by the slow path,
always with the same bytes. Plans never go stale: the plant's nodes and rights do not change while the server runs, and
nodes that came with other NodeSets are in no plan.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary
from numpy.typing import NDArray

from address_space.model import BuiltinType, Role
from server.opcua.records import MASKS, SERVER, SOURCE, as_bytes, interleave
from server.opcua.rights import Rights
from server.opcua.space import PlantAddressSpace
from server.opcua.wire import READ_RESPONSE, Request, response_header
from server.security.principal import Principal
from server.store import Store

MAX_PLANS = 1024
MAX_PLAN_BYTES = 64 * 1024 * 1024
_ALL_PRESENT = 0x0F
_NO_DIAGNOSTICS = b"\x00\x00\x00\x00"


@dataclass(frozen=True, slots=True)
class _Part:
    """Values of one built-in type: rows (n,) of its record array, and where they go in the response (n,)."""

    builtin: BuiltinType
    table: NDArray[Any]
    rows: NDArray[np.int64] | slice
    positions: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Plan:
    """What one request reads: `count` values, with the encoding mask of the timestamps that it wants."""

    count: int
    mask: int
    parts: tuple[_Part, ...]


class ReadPlans:
    """Answers reads for all sessions; the cache is bounded in plans and in bytes of their keys."""

    def __init__(self, space: PlantAddressSpace, rights: Rights) -> None:
        self._space = space
        self._rights = rights
        self._store = space.store
        self._plans: OrderedDict[tuple[frozenset[Role], bytes], Plan | None] = OrderedDict()
        self._bytes = 0

    def answer(self, request: Request, principal: Principal) -> bytes | None:
        """Return the ReadResponse, or None when the slow path must answer."""
        key = (principal.roles, request.rest)
        try:
            plan = self._plans[key]
            self._plans.move_to_end(key)
        except KeyError:
            plan = self._plan(request.rest, principal)
            self._keep(key, plan)
        if plan is None:
            return None
        head = response_header(READ_RESPONSE, request.handle) + plan.count.to_bytes(4, "little")
        return b"".join((head, encode(plan), _NO_DIAGNOSTICS))

    def _keep(self, key: tuple[frozenset[Role], bytes], plan: Plan | None) -> None:
        self._plans[key] = plan
        self._bytes += len(key[1])
        while len(self._plans) > MAX_PLANS or self._bytes > MAX_PLAN_BYTES:
            (_, dropped), _ = self._plans.popitem(last=False)
            self._bytes -= len(dropped)

    def _plan(self, rest: bytes, principal: Principal) -> Plan | None:
        try:
            parameters = struct_from_binary(ua.ReadParameters, Buffer(rest))
        except Exception:  # noqa: BLE001  what cannot be parsed is the slow path's to refuse
            return None
        mask = MASKS.get(parameters.TimestampsToReturn)
        if mask is None or not parameters.NodesToRead or parameters.MaxAge < 0:
            return None
        ids: list[int] = []
        for item in parameters.NodesToRead:
            variable = self._space.variable_of(item.NodeId)
            if (
                variable is None
                or item.AttributeId != ua.AttributeIds.Value
                or variable.declaration.type is BuiltinType.String
                or item.IndexRange
                or (item.DataEncoding is not None and item.DataEncoding.Name)
                or not self._rights.may_read(item, principal)
            ):
                return None
            ids.append(variable.id)
        return Plan(len(ids), mask, tuple(_parts(self._store, np.array(ids, np.int64))))


def _parts(store: Store, ids: NDArray[np.int64]) -> list[_Part]:
    types = store.types(ids)
    rows = store.rows(ids)
    result: list[_Part] = []
    for builtin in np.unique(types):
        positions = np.flatnonzero(types == builtin)
        chosen = rows[positions]
        contiguous = bool(np.all(np.diff(chosen) == 1))
        first = int(chosen[0])
        part = slice(first, first + len(chosen)) if contiguous else chosen
        result.append(_Part(BuiltinType(builtin), store.table(BuiltinType(builtin)), part, positions))
    return result


def encode(plan: Plan) -> bytes:
    """Return the DataValues of a plan as they go on the wire (OPC 10000-6 5.2.2.17)."""
    if plan.count == 1 and plan.mask == _ALL_PRESENT:
        record = plan.parts[0].table[plan.parts[0].rows].tobytes()
        if record[0] == _ALL_PRESENT:
            return record
    pieces: list[tuple[NDArray[np.int64], NDArray[np.uint8]]] = []
    for part in plan.parts:
        records = part.table[part.rows]
        present = records["mask"] == _ALL_PRESENT
        if present.all():
            with_value = _shape(records, plan.mask, part.builtin)
            if len(plan.parts) == 1:
                return with_value.tobytes()
            pieces.append((part.positions, as_bytes(with_value)))
            continue
        pieces.append((part.positions[present], as_bytes(_shape(records[present], plan.mask, part.builtin))))
        pieces.append((part.positions[~present], as_bytes(_shape(records[~present], plan.mask, None))))
    return interleave(plan.count, pieces)


def _shape(records: NDArray[Any], mask: int, builtin: BuiltinType | None) -> NDArray[Any]:
    """Return records with the fields of `mask` only; without a `builtin` their value is a null Variant."""
    if mask == _ALL_PRESENT and builtin is not None:
        return records
    fields = ["mask", "variant", "value", "status", "source", "server"]
    if builtin is None:
        fields.remove("value")
    if not mask & SOURCE:
        fields.remove("source")
    if not mask & SERVER:
        fields.remove("server")
    shaped = np.empty(len(records), np.dtype([(name, records.dtype[name]) for name in fields]))
    for name in fields:
        shaped[name] = records[name]
    shaped["mask"] = mask
    if builtin is None:
        shaped["variant"] = 0
    return shaped
