"""Which variables have history, how their values are to be read between samples, and who may read and change it."""

from dataclasses import dataclass, replace

from address_space.model import BuiltinType, Feed, Role, VariableDeclaration
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
