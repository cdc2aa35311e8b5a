"""The plant, declared once: `plant.yaml` read into a frozen model that everything else is derived from."""

from address_space.errors import PlantError
from address_space.load import DEFAULT_PLANT, load_plant
from address_space.model import BuiltinType, Feed, Machine, Plant, Role, Variable, VariableDeclaration

__all__ = [
    "DEFAULT_PLANT",
    "BuiltinType",
    "Feed",
    "Machine",
    "Plant",
    "PlantError",
    "Role",
    "Variable",
    "VariableDeclaration",
    "load_plant",
]
