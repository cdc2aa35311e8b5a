"""Which variables have history, how their values are to be read between samples, and who may read and change it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from address_space.model import BuiltinType, Feed, MachineType, Role, VariableDeclaration
from server.history.aggregates import Configuration

_CONTINUOUS = (BuiltinType.Float, BuiltinType.Double)

DEFAULTS = Configuration()
"""AggregateConfiguration of the server (OPC 10000-13 4.2.1.2)."""


@dataclass(frozen=True, slots=True)
class HistoryPolicy:
    """History needs `read_role` beside the variable's own: an Observer has it, a session without user does not."""

    read_role: Role = Role.Observer
    write_role: Role = Role.Engineer

    def configuration(self, declaration: VariableDeclaration) -> Configuration:
        """Return a variable's aggregate configuration; what is set, counted or chosen holds until it changes."""
        measured = declaration.feed in (Feed.SOURCE, Feed.COMPUTED)
        stepped = declaration.type not in _CONTINUOUS or not measured
        return replace(DEFAULTS, stepped=stepped)


def retention_by_type(types: Mapping[str, MachineType], given: Mapping[str, float]) -> dict[str, float]:
    """Return retention (s) by type name from what was configured; raises KeyError for a type that there is not."""
    return {name: given[name] for name in given if types[name]}
