"""TranslateBrowsePathsToNodeIds (OPC 10000-4 5.9.4)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from asyncua import ua

from server.opcua.space import PlantAddressSpace
from server.opcua.view_filter import Filters, complete

MAX_TARGETS = 100_000
"""Of one path; more is BadTooManyMatches."""
WHOLE_PATH = 0xFFFF_FFFF
"""RemainingPathIndex of a target that the whole path leads to."""
_MAX_INDEXES = 256

_Name = tuple[int, str]
_Here = dict[ua.NodeId, None]
_Outside = dict[tuple[ua.NodeId, int], None]
_Index = Mapping[_Name, Sequence[ua.ReferenceDescription]]


class Translator:
    """Follows paths; the references of nodes that were on a path lately are kept by browse name."""

    def __init__(self, space: PlantAddressSpace, filters: Filters) -> None:
        self._space = space
        self._filters = filters
        self._indexes: OrderedDict[ua.NodeId, _Index] = OrderedDict()

    def clear(self) -> None:
        """Forget all: nodes, references or types have changed."""
        self._indexes.clear()

    def translate(self, path: ua.BrowsePath) -> ua.BrowsePathResult:
        """Return where a path leads; every target once."""
        elements: list[ua.RelativePathElement] = path.RelativePath.Elements or []
        if not elements:
            return _failed(ua.StatusCodes.BadNothingToDo)
        if not all(element.TargetName is not None and element.TargetName.Name for element in elements):
            return _failed(ua.StatusCodes.BadBrowseNameInvalid)
        if self._space.get(path.StartingNode) is None:
            return _failed(ua.StatusCodes.BadNodeIdUnknown)
        here, outside = self._follow(path.StartingNode, elements)
        found = [*((nodeid, WHOLE_PATH) for nodeid in here), *outside]
        if not found:
            return _failed(ua.StatusCodes.BadNoMatch)
        if len(found) > MAX_TARGETS:
            return _failed(ua.StatusCodes.BadTooManyMatches)
        result = ua.BrowsePathResult()
        if outside:
            result.StatusCode = ua.StatusCode(ua.StatusCodes.UncertainReferenceOutOfServer)
        result.Targets = [ua.BrowsePathTarget(TargetId=nodeid, RemainingPathIndex=index) for nodeid, index in found]
        return result

    def _follow(self, start: ua.NodeId, elements: Sequence[ua.RelativePathElement]) -> tuple[_Here, _Outside]:
        """Return the targets, and those in other servers with the index of the element that is to be followed there."""
        here, outside = {start: None}, _Outside()
        for number, element in enumerate(elements, 1):
            after = _Here()
            for target in (target for nodeid in here for target in self._targets(nodeid, element)):
                if _is_outside(target):
                    outside[target, number if number < len(elements) else WHOLE_PATH] = None
                else:
                    after[target] = None
                if len(after) + len(outside) > MAX_TARGETS:
                    return after, outside
            here = after
        return here, outside

    def _targets(self, nodeid: ua.NodeId, element: ua.RelativePathElement) -> list[ua.NodeId]:
        name: Any = element.TargetName
        candidates = self._index(nodeid).get((int(name.NamespaceIndex), name.Name), ())
        if not candidates:
            return []
        types = self._filters.types(element.ReferenceTypeId, subtypes=element.IncludeSubtypes)
        return [
            reference.NodeId
            for reference in candidates
            if reference.IsForward != element.IsInverse and (types is None or reference.ReferenceTypeId in types)
        ]

    def _index(self, nodeid: ua.NodeId) -> _Index:
        found = self._indexes.get(nodeid)
        if found is not None:
            self._indexes.move_to_end(nodeid)
            return found
        node = self._space.get(nodeid)
        index: dict[_Name, list[ua.ReferenceDescription]] = {}
        for reference in () if node is None else node.references:
            name = complete(self._space, reference).BrowseName
            index.setdefault((int(name.NamespaceIndex), str(name.Name)), []).append(reference)
        self._indexes[nodeid] = index
        if len(self._indexes) > _MAX_INDEXES:
            self._indexes.popitem(last=False)
        return index


def _is_outside(target: ua.NodeId) -> bool:
    return isinstance(target, ua.ExpandedNodeId) and bool(target.ServerIndex)


def _failed(status: int) -> ua.BrowsePathResult:
    return ua.BrowsePathResult(StatusCode=ua.StatusCode(status))
