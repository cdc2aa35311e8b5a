"""Settings of one PLC on Modbus TCP (Modbus application protocol V1.1b3), as `sources:` of the plant file has them."""

import enum
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from address_space.model import Plant
from sources.options import read_options

Address = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Table(enum.StrEnum):
    """The four primary tables (4.3): discrete inputs, coils, input registers, holding registers."""

    DISCRETE = "discrete"
    COIL = "coil"
    INPUT = "input"
    HOLDING = "holding"

    @property
    def of_bits(self) -> bool:
        """True for the tables of single bits, False for those of 16-bit registers."""
        return self in {Table.DISCRETE, Table.COIL}

    @property
    def writable(self) -> bool:
        """True for the tables that a master may write."""
        return self in {Table.COIL, Table.HOLDING}


class RegisterType(enum.StrEnum):
    """What consecutive registers hold together."""

    BOOL = "bool"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"

    @property
    def width(self) -> int:
        """Registers that one value takes."""
        return 1 if self is RegisterType.BOOL else int(self.value[-2:]) // 16


class WordOrder(enum.StrEnum):
    """Order of the bytes of a value, A the most significant, on the wire.

    CDAB swaps registers, BADC the bytes of each register, DCBA both; 64-bit values follow the same rule, and
    BADC and DCBA swap the two bytes of a 16-bit value too.
    """

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Register(_Section):
    """Where a variable is: `value = raw * scale + offset`. `period` (s) is its own poll rate."""

    table: Table
    address: Address
    type: RegisterType
    word_order: WordOrder | None = None
    scale: Finite = 1.0
    offset: Finite = 0.0
    bit: Annotated[int, Field(ge=0, le=15)] | None = None
    period: Seconds | None = None

    @property
    def scaled(self) -> bool:
        """True when the raw value is not the value itself."""
        return self.scale != 1.0 or self.offset != 0.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        boolean = self.type is RegisterType.BOOL
        if self.table.of_bits and not boolean:
            raise ValueError(f"the {self.table} table holds single bits: type {self.type} does not fit, use bool")
        if self.table.of_bits and self.bit is not None:
            raise ValueError(f"the {self.table} table holds single bits: 'bit' is for input and holding registers")
        if self.bit is not None and not boolean:
            raise ValueError(f"'bit' is for type bool, not {self.type}")
        if boolean and self.scaled:
            raise ValueError("a bool has no scale and no offset")
        if self.scale == 0:
            raise ValueError("scale must not be 0")
        return self


class Write(_Section):
    """One write that does something: `value` to a coil, or to a holding register (raw, 16 bits)."""

    table: Table
    address: Address
    value: Annotated[int, Field(ge=0, le=65535)] = 1

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.table.writable:
            raise ValueError(f"the {self.table} table cannot be written: use coil or holding")
        if self.table is Table.COIL and self.value > 1:
            raise ValueError("a coil takes true or false")
        return self


class CommandWrite(Write):
    """A command; `pulse` writes 0 again after the pulse width, for PLCs that do not clear it themselves."""

    pulse: bool = False


class EmergencyStopWrites(_Section):
    """The emergency stop: `set` stops and latches in the PLC, `reset` releases the latch without a restart."""

    set: Write
    reset: Write


class RegisterMap(_Section):
    """What a PLC holds where: one entry of `register_maps:`."""

    word_order: WordOrder = WordOrder.ABCD
    registers: dict[str, Register] = Field(min_length=1)
    commands: dict[str, CommandWrite] = {}
    emergency_stop: EmergencyStopWrites | None = None

    def order(self, register: Register) -> WordOrder:
        """Return the word order of `register`."""
        return register.word_order or self.word_order


class Simulate(_Section):
    """The simulated PLC. `button` is the coil that presses (1) and releases (0) its emergency stop button.

    `autostart` starts the line with the PLC; `seed` makes its noise repeatable.
    """

    seed: int | None = None
    button: Address = 100
    autostart: bool = False


def _simulate(value: Any) -> Any:
    return ({} if value else None) if isinstance(value, bool) else value


class Backoff(_Section):
    """Bounds in seconds of the wait between two attempts to connect; it doubles with each failure."""

    minimum: Seconds = 0.2
    maximum: Seconds = 30.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.maximum < self.minimum:
            raise ValueError("maximum is less than minimum")
        return self


class Settings(RegisterMap):
    """One PLC. Times are in seconds; `max_gap` registers may be read in vain to join two blocks."""

    host: str = "127.0.0.1"
    port: Address = 502
    unit_id: Annotated[int, Field(ge=0, le=255)] = 1
    timeout: Annotated[float, Field(ge=0.01, le=60)] = 1.0
    period: Seconds = 0.1
    backoff: Backoff = Backoff()
    max_gap: Annotated[int, Field(ge=0, le=124)] = 16
    pulse_width: Seconds = 0.1
    simulate: Annotated[Simulate | None, BeforeValidator(_simulate)] = None

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.port == 0 and self.simulate is None:
            raise ValueError("port 0 (a free port) is for a simulated PLC only")
        return self


def location(plant: Plant, source: str, path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Return where the plant file has option `path` of `source`: there, or in the register map that it names."""
    section: Any = plant.yaml.data.get("sources", {}).get(source, {})
    if path and path[0] in RegisterMap.model_fields and path[0] not in section and section.get("map"):
        return ("register_maps", section["map"], *path)
    return ("sources", source, *path)


def read_settings(plant: Plant, source: str, options: Mapping[str, Any]) -> Settings:
    """Check the options of `source`; raises PlantError, one sentence a fault."""
    return read_options(Settings, plant, source, options, lambda path: location(plant, source, path))
