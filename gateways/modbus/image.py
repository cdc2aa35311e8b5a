"""The registers as they are read: by area and bank, updated in columns from the journal.

One image in order ABCD; what another unit shows is made of it as it is read, at the cost of a microsecond. An update is
whole before the next request is looked at, so no response holds values of two cycles.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from address_space.model import BuiltinType
from gateways.modbus import addresses as places
from gateways.modbus.mapping import REVERSED, SWAPPED, UNIX_EPOCH, RegisterMap, to_wire
from server import quality
from server.store import Batch

_BYTES = 2 * places.BANK
_TICKS_A_MS = 10_000


class Area:
    """The registers of one area, those of all banks one behind the other."""

    def __init__(self, banks: int) -> None:
        self.data = np.zeros(banks * _BYTES, np.uint8)
        self.known = bytearray(banks * places.BANK)
        """1 for each register that there is."""
        self._registers = self.data.view(">u2")
        self._reversed = np.arange(banks * places.BANK, dtype=np.int32)
        """Where each register is taken from in the orders that begin with the least significant one."""

    def place(self, place: places.Place, *, swapped: bool) -> int:
        """Add a value; returns where its bytes begin. `swapped` when its word order matters."""
        first = place.bank * places.BANK + place.address
        behind = first + place.size
        self.known[first:behind] = b"\1" * place.size
        if swapped:
            self._reversed[first:behind] = np.arange(behind - 1, first - 1, -1)
        return 2 * first

    def read(self, order: str, bank: int, address: int, count: int) -> bytes | None:
        """Return registers as a unit of this order shows them; None where one of them is not there."""
        first = bank * places.BANK + address
        behind = first + count
        if address + count > places.BANK or behind > len(self.known) or self.known.find(0, first, behind) >= 0:
            return None
        words = self._registers[self._reversed[first:behind]] if order in REVERSED else self._registers[first:behind]
        return (words.byteswap() if order in SWAPPED else words).tobytes()


class Image:
    """Every area of a map, kept up to date with `update`.

    `hidden` says of each variable, shape (variables,), whether masters may not read it: it is shown as such.
    """

    def __init__(self, register_map: RegisterMap, hidden: NDArray[np.bool_]) -> None:
        self._map = register_map
        self._hidden = hidden
        plant = register_map.plant
        count = len(plant.variables)
        banks = register_map.banks
        self.input, self.holding, self.details = Area(banks), Area(banks), Area(banks)
        self.discrete = np.zeros(banks * places.BANK, np.bool_)
        self.discrete_known = np.zeros(banks * places.BANK, np.bool_)
        self._types = np.array([variable.declaration.type for variable in plant.variables], np.uint8)
        self._at = np.zeros(count, np.int64)
        self._holding_at = np.full(count, -1)
        self._detail_at = np.zeros(count, np.int64)
        self._discrete_at = np.full(count, -1)
        for block in register_map.addresses.places[places.BLOCK].values():
            first = block.bank * places.BANK + block.address
            self.input.known[first : first + block.size] = b"\1" * block.size  # room reads as 0: blocks are read whole
        for variable in plant.variables:
            self._add(variable.id, variable.path, variable.declaration.type)
        for item in register_map.items:
            if item.area == places.HOLDING and item.variable is None:
                self.holding.place(item.place, swapped=item.builtin is not BuiltinType.String)
        self._machine_of = np.zeros(count, np.int64)
        machines = [machine for machine in plant.objects if machine.variables]
        for number, machine in enumerate(machines):
            self._machine_of[[variable.id for variable in machine.variables.values()]] = number
        self._quality = np.zeros(count, np.uint16)
        self._every_header = np.array([self._header(machine.path) for machine in plant.objects], np.int64)
        self._headers = np.array([self._header(machine.path) for machine in machines], np.int64)
        self._order = np.argsort(self._machine_of, kind="stable")
        self._starts = np.searchsorted(self._machine_of[self._order], np.arange(len(machines)))

    def update(self, batch: Batch) -> None:
        """Take changes in; of several of one variable the last counts."""
        if not len(batch):
            return
        if len(batch) > 1 and not (np.diff(batch.ids) > 0).all():
            batch = batch.take(batch.last())
        ids = batch.ids
        self._quality[ids] = quality.numbers(batch.statuses)
        hidden = self._hidden[ids]
        if hidden.any():
            batch.statuses[hidden] = quality.BAD_USER_ACCESS_DENIED
        bad = quality.is_bad(batch.statuses)
        types = self._types[ids]
        for builtin in np.unique(types).tolist():
            rows = np.flatnonzero(types == builtin)
            self._put(BuiltinType(builtin), rows, batch, bad[rows])
        self._put_details(batch)
        touched = np.zeros(len(self._headers), np.bool_)
        touched[self._machine_of[ids]] = True
        self._put_headers(np.flatnonzero(touched))

    def beat(self, seconds: int) -> None:
        """Set every machine's heartbeat."""
        self.input.data[self._every_header[:, None] + (4, 5)] = (seconds >> 8 & 0xFF, seconds & 0xFF)

    def bits(self, bank: int, address: int, count: int) -> bytes | None:
        """Return discrete inputs, eight a byte from the lowest bit on; None where one of them is not there."""
        first = bank * places.BANK + address
        known = self.discrete_known[first : first + count]
        if address + count > places.BANK or len(known) < count or not known.all():
            return None
        return np.packbits(self.discrete[first : first + count], bitorder="little").tobytes()

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
