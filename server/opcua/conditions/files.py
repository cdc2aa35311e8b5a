"""The pictures of vision alarms as files: how large they are, and who has them open (OPC 10000-20 4.2)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections import Counter

from asyncua import ua

from address_space.model import Condition
from server.alarms.ports import Snapshot
from server.evidence import READ_ROLE, Evidence, EvidenceRegister
from server.opcua.conditions.fields import NULL, variant
from server.opcua.conditions.members import Path
from server.opcua.conditions.vision import FILES
from server.security.principal import Principal

_V = ua.VariantType


class Files:
    """What is known of all of them; `register` has the pictures, None until it is there."""

    def __init__(self) -> None:
        self.register: EvidenceRegister | None = None
        self.open: Counter[str] = Counter()
        """Handles by the identifier of the file's object."""

    def field(self, snapshot: Snapshot, path: Path) -> ua.Variant:
        """Return a property of a file that is not the same for all."""
        name, what = path
        if what == "OpenCount":
            return variant(self.open[f"{snapshot.condition.path}.{name}"], _V.UInt16)
        size = None if snapshot.evidence is None else self.size(snapshot.evidence, clean=FILES[name])
        return NULL if size is None else variant(size, _V.UInt64)

    def size(self, evidence: Evidence, *, clean: bool) -> int | None:
        """Return a picture's size in bytes, None for one that cannot be had (any more)."""
        try:
            return None if self.register is None else self.register.size(evidence, clean=clean)
        except OSError:  # Open says why
            return None


def may_read(condition: Condition, principal: Principal) -> bool:
    """Whether a principal may see a condition's pictures: as who reads history of the variable that raises it."""
    watched = condition.input
    return principal.has(READ_ROLE) and (watched is None or principal.has(watched.declaration.read_role))
