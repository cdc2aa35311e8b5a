"""The options of a source in the plant file, checked by its own pydantic model: errors name file, line and option."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from address_space import Plant, PlantError
from address_space.errors import sentence

T = TypeVar("T", bound=BaseModel)
Locate = Callable[[tuple[str | int, ...]], tuple[str | int, ...]]


def read_options(
    model: type[T], plant: Plant, source: str, options: Mapping[str, Any], locate: Locate | None = None
) -> T:
    """Check the options of `source`; raises PlantError, one sentence a fault.

    `locate` says where the plant file has an option, when that is not below the source itself.
    """
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        faults: list[str] = []
        for fault in error.errors():
            where = locate(fault["loc"]) if locate else ("sources", source, *fault["loc"])
            faults.append(str(plant.error(where, sentence(fault, f"is no option here{_choices(model, fault['loc'])}"))))
        raise PlantError("\n".join(faults)) from error


def _choices(model: type[BaseModel], location: tuple[str | int, ...]) -> str:
    return f"; the options are {', '.join(model.model_fields)}" if len(location) == 1 else ""
