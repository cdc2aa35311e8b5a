"""The forms of answers that several routers give, as OpenAPI describes them."""

from typing import Any, Literal

from pydantic import Field

from gateways.web.api.common import Answer

Quality = Literal["good", "uncertain", "bad"]


class Sample(Answer):
    """A value with its quality and time."""

    value: Any = Field(description="Null where the quality is bad, and for what is no number.")
    quality: Quality
    status: str = Field(description="Name of the StatusCode.", examples=["Good"])
    status_code: int = Field(description="StatusCode of OPC UA.", ge=0, le=0xFFFFFFFF)
    source_timestamp: str | None = Field(description="When it was measured (ISO 8601, UTC).")
    text: str | None = Field(default=None, description="Name of the state, of an enumeration.")


class Value(Sample):
    """The present value of a variable."""

    path: str = Field(examples=["Plant.Generator1.Speed"])
    unit: str | None = None


class Values(Answer):
    """Present values."""

    time: str
    values: list[Value]


class Samples(Answer):
    """Samples of a variable's history."""

    path: str
    samples: list[Sample]
    complete: bool = Field(description="False when there are more: go on from the last one.")


class Interval(Answer):
    """One value of an aggregate."""

    time: str | None
    value: float | None
    quality: Quality
    status: str
    status_code: int


class Aggregated(Answer):
    """An aggregate of a variable's history."""

    path: str
    aggregate: str
    seconds: float
    intervals: list[Interval]


class MachineSample(Answer):
    """A moment at which a variable of a machine was sampled, and what every variable was then."""

    time: str | None
    values: dict[str, Sample | None]


class MachineSamples(Answer):
    """The last ten samples of a machine, newest first."""

    machine: str
    samples: list[MachineSample]


class Written(Answer):
    """What became of writing a set-point."""

    path: str
    status: str
    status_code: int
    message: str = ""


class WrittenMany(Answer):
    """What became of each set-point."""

    results: list[Written]


class Outputs(Answer):
    """What a command gave back."""

    outputs: dict[str, Any]


class Alarm(Answer):
    """A condition, or a branch of it, as it is."""

    condition: str
    machine: str
    name: str
    kind: str
    input: str | None
    branch: str = Field(description="Hexadecimal; empty for the condition itself.")
    event_id: str = Field(description="Hexadecimal; what is acknowledged, confirmed and commented.")
    event: str
    time: str | None
    message: str
    severity: int = Field(ge=1, le=1000)
    active: bool
    active_time: str | None
    acknowledged: bool
    confirmed: bool
    needs_confirmation: bool
    acknowledge_role: str
    enabled: bool
    retain: bool
    suppressed: bool
    out_of_service: bool
    silenced: bool
    shelving: Literal["Unshelved", "TimedShelved", "OneShotShelved"]
    unshelved_in: float | None = Field(description="Seconds until it is shelved no more.")
    hidden: bool = Field(description="Shelved, suppressed or out of service.")
    exceeded: list[str]
    limits: dict[str, float] = Field(description="Those in force.")
    declared_limits: dict[str, float] = Field(description="Those of the plant file.")
    unit: str | None = Field(description="Of the limits.")
    configure_role: str = Field(description="Who may change limits, enable and disable.")
    quality: Quality
    status: str
    comment: str
    user: str
    evidence: str | None = Field(description="Id of its picture, see /snapshots.")


class AlarmWithBranches(Alarm):
    """A condition with its branches."""

    branches: list[Alarm]


class Alarms(Answer):
    """Conditions."""

    alarms: list[Alarm]
