"""The registers as they are read: bytes by area and bank, updated in columns from the journal.

One image in order ABCD; what another unit shows is the same bytes taken in another order, which is a table made once.
An update is whole before the next request is looked at, so no response holds values of two cycles.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from address_space.model import BuiltinType
from gateways.modbus import addresses as places
from gateways.modbus.mapping import ORDERS, UNIX_EPOCH, RegisterMap, reorder, to_wire
from server import quality
from server.store import Batch, Store

_BYTES = 2 * places.BANK
_TICKS_A_MS = 10_000


class Area:
    """The registers of one area: bytes of all banks, and for each word order where its bytes are taken from."""

    def __init__(self, banks: int) -> None:
        self.data = np.zeros(banks * _BYTES, np.uint8)
        self.known = np.zeros(banks * places.BANK, np.bool_)
        """Which registers there are."""
        self._sources = {order: np.arange(len(self.data)) for order in ORDERS}

    def place(self, place: places.Place, *, swapped: bool) -> int:
        """Add a value; returns where its bytes begin. `swapped` when its word order matters."""
        first = place.bank * places.BANK + place.address
        self.known[first : first + place.size] = True
        at, size = 2 * first, 2 * place.size
        for order in ORDERS if swapped else ():
            self._sources[order][at : at + size] = [at + byte for byte in reorder(bytes(range(size)), order)]
        return at

    def read(self, order: str, bank: int, address: int, count: int) -> bytes | None:
        """Return registers as a unit of this order shows them; None where one of them is not there."""
        first = bank * places.BANK + address
        if address + count > places.BANK or not self.known[first : first + count].all():
            return None
        return self.data[self._sources[order][2 * first : 2 * (first + count)]].tobytes()


class Image:
    """Every area of a map, kept up to date with `update`."""

    def __init__(self, register_map: RegisterMap, store: Store) -> None:
        self._map = register_map
        self._store = store
        plant = register_map.plant
        count = len(plant.variables)
        banks = register_map.banks
        self.input, self.holding, self.details = Area(banks), Area(banks), Area(self._detail_banks())
        self.discrete = np.zeros(banks * places.BANK, np.bool_)
        self.discrete_known = np.zeros(banks * places.BANK, np.bool_)
        self._types = np.array([variable.declaration.type for variable in plant.variables], np.uint8)
        self._at = np.zeros(count, np.int64)
        self._holding_at = np.full(count, -1)
        self._detail_at = np.zeros(count, np.int64)
        self._discrete_at = np.full(count, -1)
        for block in register_map.addresses.places[places.BLOCK].values():
            first = block.bank * places.BANK + block.address
            self.input.known[first : first + block.size] = True  # room to grow reads as 0: a block is read whole
        for variable in plant.variables:
            self._add(variable.id, variable.path, variable.declaration.type)
        for item in register_map.items:
            if item.area == places.HOLDING and item.variable is None:
                self.holding.place(item.place, swapped=item.builtin is not BuiltinType.String)
        self._machine_of = np.zeros(count, np.int64)
        self._firsts = np.array([machine.first_id for machine in plant.objects if machine.variables], np.int64)
        self._headers = np.zeros(len(self._firsts), np.int64)
        for number, machine in enumerate(machine for machine in plant.objects if machine.variables):
            for variable in machine.variables.values():
                self._machine_of[variable.id] = number
        self._quality = np.zeros(count, np.uint16)
        self._every_header = np.array([self._header(machine.path) for machine in plant.objects], np.int64)
        self._headers[:] = [self._header(machine.path) for machine in plant.objects if machine.variables]
        self._order = np.argsort(self._machine_of, kind="stable")
        self._starts = np.searchsorted(self._machine_of[self._order], np.arange(len(self._firsts)))

    def update(self, batch: Batch) -> None:
        """Take changes in; of several of one variable the last counts."""
        if not len(batch):
            return
        batch = batch.take(batch.last())
        ids = batch.ids
        bad = quality.is_bad(batch.statuses)
        types = self._types[ids]
        for builtin in np.unique(types).tolist():
            rows = np.flatnonzero(types == builtin)
            self._put(BuiltinType(builtin), rows, batch, bad[rows])
        self._put_details(batch)
        self._quality[ids] = quality.numbers(batch.statuses)
        self._put_headers(np.unique(self._machine_of[ids]))

    def beat(self, seconds: int) -> None:
        """Set every machine's heartbeat."""
        self.input.data[self._every_header[:, None] + (4, 5)] = (seconds >> 8 & 0xFF, seconds & 0xFF)

    def bits(self, bank: int, address: int, count: int) -> bytes | None:
        """Return discrete inputs, eight a byte from the lowest bit on; None where one of them is not there."""
        first = bank * places.BANK + address
        if address + count > places.BANK or not self.discrete_known[first : first + count].all():
            return None
        return np.packbits(self.discrete[first : first + count], bitorder="little").tobytes()

    def _detail_banks(self) -> int:
        return 1 + max(place.bank for place in self._map.addresses.places[places.DETAIL].values())

    def _header(self, path: str) -> int:
        place = self._map.place(places.INPUT, f"{path}.{places.HEADER[0]}#")
        return 2 * (place.bank * places.BANK + place.address)

    def _add(self, id_: int, path: str, builtin: BuiltinType) -> None:
        swapped = builtin is not BuiltinType.String
        self._at[id_] = self.input.place(self._map.place(places.INPUT, path), swapped=swapped)
        holding = self._map.addresses.get(places.HOLDING, path)
        if holding is not None:
            self._holding_at[id_] = self.holding.place(holding, swapped=swapped)
        detail = self._map.place(places.DETAIL, path)
        status = places.Place(detail.bank, detail.address, 2)
        self._detail_at[id_] = self.details.place(status, swapped=True)
        self.details.place(places.Place(detail.bank, detail.address + 2, 4), swapped=True)
        discrete = self._map.addresses.get(places.DISCRETE, path)
        if discrete is not None:
            at = discrete.bank * places.BANK + discrete.address
            self._discrete_at[id_], self.discrete_known[at] = at, True

    def _put(self, builtin: BuiltinType, rows: NDArray[np.int64], batch: Batch, bad: NDArray[np.bool_]) -> None:
        ids = batch.ids[rows]
        if builtin is BuiltinType.String:
            self._put_texts(rows[~bad], batch)
            return
        wire = _wire(builtin, batch.bits[rows])
        if builtin in (BuiltinType.Float, BuiltinType.Double):
            wire[bad] = np.frombuffer(to_wire(builtin, np.nan), np.uint8)
        else:  # other types have nothing that says "none": the last value stays, the quality tells
            ids, wire = ids[~bad], wire[~bad]
        offsets = np.arange(wire.shape[1])
        self.input.data[self._at[ids][:, None] + offsets] = wire
        held = self._holding_at[ids] >= 0
        if held.any():
            self.holding.data[self._holding_at[ids[held]][:, None] + offsets] = wire[held]
        if builtin is BuiltinType.Boolean:
            self.discrete[self._discrete_at[ids]] = wire[:, 1] != 0

    def _put_texts(self, rows: NDArray[np.int64], batch: Batch) -> None:
        for row in rows.tolist():
            data = np.frombuffer(to_wire(BuiltinType.String, batch.objects.get(row) or ""), np.uint8)
            for area, at in ((self.input, self._at), (self.holding, self._holding_at)):
                start = int(at[batch.ids[row]])
                if start >= 0:
                    area.data[start : start + len(data)] = data

    def _put_details(self, batch: Batch) -> None:
        wire = np.empty((len(batch), 12), np.uint8)
        wire[:, :4] = _as_bytes(batch.statuses.astype(">u4"), 4)
        wire[:, 4:] = _as_bytes(batch.source_timestamps.astype(">i8"), 8)
        self.details.data[self._detail_at[batch.ids][:, None] + np.arange(12)] = wire

    def _put_headers(self, machines: NDArray[np.int64]) -> None:
        worst = np.minimum.reduceat(self._quality[self._order], self._starts)[machines]
        at = self._headers[machines]
        self.input.data[at[:, None] + (0, 1)] = _as_bytes(worst.astype(">u2"), 2)
        sequence = self.input.data[at + 2].astype(np.uint16) << 8 | self.input.data[at + 3]
        self.input.data[at[:, None] + (2, 3)] = _as_bytes((sequence + np.uint16(1)).astype(">u2"), 2)


def _wire(builtin: BuiltinType, bits: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return numbers of a journal as they stand in registers, shape (n, bytes)."""
    if builtin is BuiltinType.DateTime:
        milliseconds: NDArray[Any] = (bits.view(np.int64) - UNIX_EPOCH) // _TICKS_A_MS
        return _as_bytes(milliseconds.astype(">i8"), 8)
    if builtin is BuiltinType.SByte:
        return _as_bytes(bits.astype(np.uint8).view(np.int8).astype(">i2"), 2)
    size = 2 * places.WIDTHS[builtin]
    return _as_bytes(bits.astype(f">u{size}"), size)


def _as_bytes(column: NDArray[Any], size: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(column).view(np.uint8).reshape(len(column), size)
