"""The plant file as written: one pydantic model a section, nothing resolved yet."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from address_space.model import AlarmKind, BuiltinType, Role

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Range = tuple[float, float]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def _builtin(value: Any) -> Any:
    try:
        return BuiltinType[value]
    except (KeyError, TypeError):
        raise ValueError(f"is no built-in type; there are {', '.join(t.name for t in BuiltinType)}") from None


Builtin = Annotated[BuiltinType, BeforeValidator(_builtin)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlantSection(_Section):
    """`plant:` the root object."""

    name: Name = "Plant"
    namespace: str = "urn:plantree:plant"
    description: str = ""
    type: Name


class VariableSection(_Section):
    """One variable of a type: measured unless it has `access: write` (a set-point) or `computed`."""

    description: str = Field(min_length=1)
    type: Builtin | None = None
    enum: str | None = None
    unit: str | None = None
    range: Range | None = None
    access: Literal["read", "write"] = "read"
    role: Role | None = None
    read_role: Role = Role.Anonymous
    initial: Any = None
    computed: str | None = None
    optional: bool = False


class ArgumentSection(_Section):
    """One argument of a command."""

    description: str = Field(min_length=1)
    type: Builtin
    unit: str | None = None
    range: Range | None = None
    choices: tuple[str, ...] = ()


class CommandSection(_Section):
    """One command of a type."""

    description: str = Field(min_length=1)
    role: Role = Role.Operator
    arguments: dict[Name, ArgumentSection] = {}
    sets: str | None = None
    confirms: dict[str, list[str]] = {}
    within: float = Field(default=2.0, gt=0, le=60)


class AlarmSection(_Section):
    """One alarm of a type: on `input`, or a rule `when`."""

    message: str = Field(min_length=1)
    severity: int = Field(ge=1, le=1000)
    kind: AlarmKind | None = None
    input: str | None = None
    when: str | None = None
    high_high: Finite | None = None
    high: Finite | None = None
    low: Finite | None = None
    low_low: Finite | None = None
    severities: dict[str, Annotated[int, Field(ge=1, le=1000)]] = {}
    exclusive: bool = True
    setpoint: str | None = None
    target: str | None = None
    tolerance: Finite | None = Field(default=None, ge=0)
    within: Finite | None = Field(default=None, gt=0, le=86_400)
    normal: str | bool | list[str] | None = None
    tripped: str | bool | list[str] | None = None
    deadband: Finite = Field(default=0.0, ge=0)
    on_delay: Finite = Field(default=0.0, ge=0, le=86_400)
    off_delay: Finite = Field(default=0.0, ge=0, le=86_400)
    acknowledge_role: Role = Role.Operator
    confirm: bool = False


class EmergencyStopSection(_Section):
    """The emergency stop of a type; present, it gives each machine the latch's variables and methods."""

    state: str | None = None
    stopped: str | None = None
    role: Role = Role.AuthenticatedUser
    reset_role: Role = Role.Supervisor
    standstill: str | None = None
    button: str | None = None


class TypeSection(_Section):
    """One ObjectType."""

    description: str = Field(min_length=1)
    nameplate: bool = False
    variables: dict[Name, VariableSection] = {}
    commands: dict[Name, CommandSection] = {}
    alarms: dict[Name, AlarmSection] = {}
    emergency_stop: EmergencyStopSection | None = None
    retention_days: float | None = Field(default=None, gt=0, le=36_500, allow_inf_nan=False)


class ObjectSection(_Section):
    """One machine, or with a key like `Machine[1..1000]` many."""

    type: str
    description: str = ""
    source: str | None = None
    nameplate: dict[str, str | int] = {}


class SourceSection(BaseModel):
    """One source: its own options are checked by its kind."""

    model_config = ConfigDict(extra="allow", frozen=True)
    kind: Name
    map: str | None = None
    stale_after: float | None = Field(default=None, gt=0)
    bad_after: float | None = Field(default=None, gt=0)


class PlantFile(_Section):
    """The whole file."""

    plant: PlantSection
    enumerations: dict[Name, list[Name]] = {}
    types: dict[Name, TypeSection]
    register_maps: dict[Name, dict[str, Any]] = {}
    sources: dict[Name, SourceSection] = {}
    objects: dict[str, ObjectSection] = {}
