"""Options of a physics source in the plant file."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from address_space.model import Plant
from sources.options import read_options

ModelName = Literal["generator", "line", "energy", "environment"]
Finite = Annotated[float, Field(allow_inf_nan=False)]

DEFAULT_MODELS: Mapping[str, ModelName] = {
    "GeneratorType": "generator",
    "ProductionLineType": "line",
    "EnergyMeterType": "energy",
    "EnvironmentType": "environment",
}


class StartFault(BaseModel):
    """A fault that is there from the start: `fault` as for the command InjectFault, `machine` by name or path."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    machine: str
    fault: str
    magnitude: Finite = Field(default=1.0, ge=0, le=1)


class Settings(BaseModel):
    """Options of a source of kind `physics`; machines are given by name or path."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(default=0, ge=0)
    period: Finite = Field(default=0.1, ge=0.01, le=60)  # s between two samples
    # Simulated seconds in a real one. Running generators cost 0.5 to 1 ms of the event loop each 0.1 simulated seconds,
    # however many they are: 100 takes half a core or more.
    time_scale: Finite = Field(default=1.0, gt=0, le=100)
    models: dict[str, ModelName] = {}  # machine type: model, beside DEFAULT_MODELS
    inputs: list[str] | None = None  # the lines that load mains and hall; None: every ProductionLineType
    autostart: bool | list[str] = False  # machines that get a Start at the beginning
    faults: list[StartFault] = []
    refuel_at: Finite = Field(default=0.0, ge=0, lt=95)  # % of a tank at which it is filled up again; 0: never
    hour: Finite | None = Field(default=None, ge=0, lt=24)  # of the simulated day at the start; None: now, in UTC
    outdoor_temperature: Finite = Field(default=12.0, ge=-40, le=50)  # °C, the day's mean
    room_temperature: Finite = Field(default=25.0, ge=-20, le=50)  # °C around the generators

    def model_of(self, machine_type: str) -> ModelName | None:
        """Return the model that simulates a machine type, or None."""
        return self.models.get(machine_type) or DEFAULT_MODELS.get(machine_type)


def read_settings(plant: Plant, source: str, options: Mapping[str, Any]) -> Settings:
    """Check the options of `source`; raises PlantError, one sentence a fault."""
    return read_options(Settings, plant, source, options)
