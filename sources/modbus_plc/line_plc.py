"""The program of the simulated line PLC: memory, physics, commands, button and the emergency stop's latch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sources.modbus_plc.registers import Group, Point, group
from sources.modbus_plc.settings import CommandWrite, Register, RegisterMap, RegisterType, Table, Write
from sources.physics import line

Memory = NDArray[np.uint8]  # registers: 2 bytes each, big-endian; bits: one element each

AMBIENT = 22.0  # °C
INITIAL_SPEED = 100.0  # units/min
MAX_STEP = 0.25  # s: a PLC that was held up does not catch up
SETPOINT = "SpeedSetpoint"
BUTTON = "EmergencyStopButton"


class LinePlc:
    """One production line; `scan` is one cycle: read coils and set-points, move the line, write registers."""

    def __init__(self, registers: RegisterMap, seed: int | None, button: int, *, autostart: bool = False) -> None:
        self.map = registers
        self.latched = False
        self._rng = np.random.default_rng(seed)
        self._state = line.initial(1, self._rng, AMBIENT)
        self._button = Write(table=Table.COIL, address=button)
        self._start = autostart
        self.memory = self._make_memory()
        points = [Point(name, register, registers.order(register)) for name, register in registers.registers.items()]
        setpoints = [point for point in points if point.name == SETPOINT]
        self._setpoint = (self.memory[setpoints[0].register.table], group(setpoints, 0)[0]) if setpoints else None
        known = {*line.outputs(self._state, self._rng), BUTTON, SETPOINT}
        if unknown := sorted(set(registers.registers) - known):
            raise ValueError(f"the simulated line has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
        self._outputs: list[tuple[Memory, Group]] = []
        for table in Table:
            shown = [point for point in points if point.register.table is table and point.name != SETPOINT]
            self._outputs += [(self.memory[table], members) for members in group(shown, 0)]
        if self._setpoint is not None:
            memory, members = self._setpoint
            members.encode(np.array([INITIAL_SPEED]), memory)

    @property
    def pressed(self) -> bool:
        """True while the emergency stop button is pressed."""
        return self._read(self._button) != 0

    def scan(self, dt: float) -> None:
        """Run one cycle that ends `dt` seconds after the last."""
        stops, commands = self.map.emergency_stop, self.map.commands
        reset = stops is not None and self._taken(stops.reset)
        asked = stops is not None and self._read(stops.set) == stops.set.value
        self.latched = self.pressed or (not reset and (self.latched or asked))
        if stops is not None:
            self._put(stops.set, stops.set.value if self.latched else 0)
        start = self._commanded(commands.get("Start")) or self._start
        stop = self._commanded(commands.get("Stop"))
        self._start = False
        inputs = line.Inputs(
            start=np.array([start and not self.latched]),
            stop=np.array([stop]),
            emergency_stop=np.array([self.latched]),
            speed_setpoint=self._speed(),
            ambient=np.array([AMBIENT]),
        )
        self._state = line.step(self._state, inputs, min(max(dt, 0.0), MAX_STEP))
        self._publish()

    def _publish(self) -> None:
        values: dict[str, NDArray[Any]] = line.outputs(self._state, self._rng)
        values[BUTTON] = np.array([self.pressed])
        for memory, members in self._outputs:
            members.encode(np.array([values[point.name][0] for point in members.points]), memory)

    def _speed(self) -> NDArray[np.float64]:
        """Return the set-point in its range; one that is no number counts as 0."""
        if self._setpoint is None:
            return np.array([INITIAL_SPEED])
        memory, members = self._setpoint
        return np.nan_to_num(members.decode(memory).astype(np.float64), posinf=0.0, neginf=0.0)

    def _make_memory(self) -> dict[Table, Memory]:
        """Make each table as large as the map needs it, in steps of 16."""
        stops = self.map.emergency_stop
        writes: list[Write | Register] = [*self.map.commands.values(), *self.map.registers.values(), self._button]
        writes += [stops.set, stops.reset] if stops is not None else []
        sizes = dict.fromkeys(Table, 16)
        for place in writes:
            width = place.type.width if isinstance(place, Register) else RegisterType.UINT16.width
            end = place.address + width
            if end > 65536:
                raise ValueError(f"{place.table} {place.address} ends beyond 65535")
            sizes[place.table] = max(sizes[place.table], -(-end // 16) * 16)
        return {table: np.zeros(size if table.of_bits else 2 * size, dtype=np.uint8) for table, size in sizes.items()}

    def _read(self, write: Write) -> int:
        memory = self.memory[write.table]
        return int(memory[write.address]) if write.table.of_bits else int(memory.view(">u2")[write.address])

    def _put(self, write: Write, value: int) -> None:
        memory = self.memory[write.table]
        words = memory if write.table.of_bits else memory.view(">u2")
        words[write.address] = value

    def _taken(self, write: Write) -> bool:
        """Return whether `write` was made since the last scan, and clear it."""
        if self._read(write) != write.value:
            return False
        self._put(write, 0)
        return True

    def _commanded(self, command: CommandWrite | None) -> bool:
        return command is not None and self._taken(command)
