"""BrowseResults, printed from patterns for the plant's nodes and kept encoded for all others.

What a plant's node answers follows from its machine's type, so nothing is made or kept per node: one pattern serves
that node of all machines of a type whose paths have one length.
"""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary

from address_space.model import Machine
from server.opcua.attributes import text
from server.opcua.conditions.pictures import FOLDER
from server.opcua.locales import Locale
from server.opcua.nameplates import IDENTIFICATION
from server.opcua.space import PlantAddressSpace
from server.opcua.view_encode import Encoded, Place, encode, patterns, slots
from server.opcua.view_filter import Filter, Filters, complete

_PLANT_NODE = b"\x03\x02\x00"
"""How a String NodeId of the plant's namespace begins; its length follows."""
_IDENTIFIER_AT = 7
_MAX_PATTERN_BYTES = 32 * 1024 * 1024
_MAX_RESULT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """The references that one BrowseDescription gets; `fill` is what patterns take, None where there are none."""

    encoded: Encoded
    fill: dict[bytes, bytes] | None = None

    @property
    def count(self) -> int:
        """How many references."""
        return len(self.encoded.references)

    def whole(self) -> bytes:
        """Return the BrowseResult with all references."""
        return self.encoded.whole if self.fill is None else self.encoded.whole % self.fill

    def references(self) -> tuple[bytes, ...]:
        """Return the references one by one."""
        if self.fill is None:
            return self.encoded.references
        return tuple(pattern % self.fill for pattern in self.encoded.references)


class _Cache:
    """Keeps what was asked for last, up to so many bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._kept: OrderedDict[Hashable, Encoded] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> Encoded | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: Hashable, encoded: Encoded) -> None:
        self._kept[key] = encoded
        self._bytes += encoded.size
        while self._bytes > self._max and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].size

    def clear(self) -> None:
        self._kept.clear()
        self._bytes = 0


class Answers:
    """Answers BrowseDescriptions."""

    def __init__(self, space: PlantAddressSpace, filters: Filters) -> None:
        self._space = space
        self._filters = filters
        self._patterns = _Cache(_MAX_PATTERN_BYTES)
        self._results = _Cache(_MAX_RESULT_BYTES)

    def clear(self) -> None:
        """Forget all: nodes, references or types have changed."""
        self._patterns.clear()
        self._results.clear()

    def find(self, node: bytes, description: bytes, locale: Locale | None = None) -> Answer | int:
        """Return the references of a node, with display names in that language, or a bad StatusCode.

        `node` is a NodeId and `description` the rest of a BrowseDescription, as on the wire.
        """
        wanted = self._filters.find(description)
        if isinstance(wanted, int):
            return wanted
        if node.startswith(_PLANT_NODE):
            answer = self._of_machine(node[_IDENTIFIER_AT:], description, wanted, locale)
            if answer is not None:
                return answer
        return self._of_node(node, description, wanted, locale)

    def _of_machine(self, encoded: bytes, description: bytes, wanted: Filter, locale: Locale | None) -> Answer | None:
        try:
            identifier = encoded.decode()
        except UnicodeDecodeError:
            return None
        if identifier in self._space.nodes.changed:
            return None
        machine, rest = self._resolve(identifier)
        if machine is None or not (rest or self._alike(machine)):
            return None
        path, name = machine.path.encode(), machine.name.encode()
        key: Hashable = (machine.type.name, rest, len(path), len(name), description, _particular(machine, rest))
        fill = slots(path, name)
        if locale is not None:
            shown = locale.name(text(machine.name))
            fill[b"d"] = str(shown.Text).encode()
            key = (key, locale, shown.Locale, len(fill[b"d"]))
        found = self._patterns.get(key)
        if found is None:
            node = self._space.factory.build(identifier)
            if node is None:
                return None
            chosen = _in(locale, wanted.chosen(node.references))
            found = patterns(chosen, wanted.mask, Place(machine.path, machine.name, locale is not None))
            self._patterns.put(key, found)
        return Answer(found, fill)

    def _resolve(self, identifier: str) -> tuple[Machine | None, str]:
        """Return the innermost machine that an identifier is of, and what is left of the identifier."""
        plant = self._space.plant
        head = identifier
        while head:
            machine = plant.find_machine(head)
            if machine is not None:
                return machine, identifier[len(head) + 1 :]
            head = head.rpartition(".")[0]
        return None, ""

    def _alike(self, machine: Machine) -> bool:
        """Whether a machine's references are those of others of its type: it holds no machines itself."""
        plant = self._space.plant
        return machine is not plant.root and not plant.children(machine)

    def _of_node(self, node: bytes, description: bytes, wanted: Filter, locale: Locale | None) -> Answer | int:
        key = (node, description) if locale is None else (node, description, locale)
        found = self._results.get(key)
        if found is not None:
            return Answer(found)
        try:
            nodeid = nodeid_from_binary(Buffer(node))
            data = self._space.get(nodeid)
        except (ua.UaError, ValueError, TypeError):  # not UTF-8, or no identifier
            return ua.StatusCodes.BadNodeIdInvalid
        if data is None:
            return ua.StatusCodes.BadNodeIdUnknown
        references = (complete(self._space, reference) for reference in data.references)
        found = encode(_in(locale, wanted.chosen(references)), wanted.mask)
        self._results.put(key, found)
        return Answer(found)


def _in(locale: Locale | None, references: Iterable[ua.ReferenceDescription]) -> Iterable[ua.ReferenceDescription]:
    return references if locale is None else map(locale.reference, references)


def _particular(machine: Machine, rest: str) -> Hashable:
    """Return what references of a node depend on beside the machine's type, path and name."""
    if not rest:
        return machine.path.rpartition(".")[0]
    if rest.partition(".")[0] == FOLDER:
        return machine.path  # each has pictures of its own
    return tuple(machine.nameplate) if rest.startswith(IDENTIFICATION) else None
