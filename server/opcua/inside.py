"""The address space as a client would see it, for those in the same process: browsed and read without a connection."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import asyncio
import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from server.opcua.attributes import node_id, text
from server.opcua.continuation import ContinuationPoints
from server.opcua.internal_server import PlantInternalServer
from server.opcua.wire import SERVICE_FAULT, Request, response_header
from server.ports import CommandError
from server.security.principal import Principal

ROOT = ua.NodeId(ua.ObjectIds.RootFolder)
_BROWSE = b"\x01\x00" + struct.pack("<H", ua.ObjectIds.BrowseRequest_Encoding_DefaultBinary)
_HEADER = len(response_header(_BROWSE, 0))
_RESULTS_AT = _HEADER + 4
_ROOM = 1 << 30
_NOT_SHOWN = frozenset(ua.NodeId(it) for it in (ua.ObjectIds.HasEventSource, ua.ObjectIds.HasNotifier))
"""Ways to what has a place of its own in the tree."""
_DEEPEST = 40
_AT_ONCE = 2000
"""Names that are searched before others have their turn."""

Inside = Callable[[Principal, str], "InsideClient"]
"""Makes the client of a principal and a language."""


class InsideClient:
    """Answers as the services do: for the rights of a principal, in a language; for the event loop's thread."""

    def __init__(self, internal: PlantInternalServer, principal: Principal, language: str) -> None:
        self.principal = principal
        self.locale = internal.aspace.locales.best([language])
        self.continuation_points = ContinuationPoints()
        self._internal = internal
        self._space = internal.aspace

    def references(self, node: ua.NodeId) -> list[ua.ReferenceDescription]:
        """Return all references of a node (OPC 10000-4 5.9.2); raises CommandError, as BadNodeIdUnknown."""
        return self._browse(node, ua.ObjectIds.References, ua.BrowseDirection.Both)

    def children(self, node: ua.NodeId) -> list[ua.ReferenceDescription]:
        """Return what is below a node in the tree, each once; raises CommandError."""
        found = self._browse(node, ua.ObjectIds.HierarchicalReferences, ua.BrowseDirection.Forward)
        below = {it.NodeId: it for it in reversed(found) if it.ReferenceTypeId not in _NOT_SHOWN}
        return list(reversed(below.values()))

    def way(self, node: ua.NodeId) -> list[ua.NodeId]:
        """Return the nodes from below the root to this one, by the first way up; raises CommandError."""
        way: list[ua.NodeId] = []
        while node != ROOT and node not in way and len(way) < _DEEPEST:
            way.append(node)
            found = self._browse(node, ua.ObjectIds.HierarchicalReferences, ua.BrowseDirection.Inverse)
            above = next((it for it in found if it.ReferenceTypeId not in _NOT_SHOWN), None)
            if above is None:
                break
            node = above.NodeId
        return way[::-1]

    def read(self, node: ua.NodeId, attributes: Sequence[ua.AttributeIds]) -> list[ua.DataValue]:
        """Return attributes of a node; a bad StatusCode where it has none, or the principal may not read it."""
        items = [ua.ReadValueId(node, attribute) for attribute in attributes]
        found = [self._internal.rights.read(item, self.principal) for item in items]
        if self.locale is None:
            return found
        return [self.locale.value(value, item) for value, item in zip(found, items, strict=True)]

    async def search(self, words: str, most: int) -> list[ua.NodeId]:
        """Return nodes whose path, browse name or, of the plant's, display name has some words in it.

        Others on the event loop take their turns meanwhile: a large plant has hundreds of thousands of names.
        """
        wanted = words.lower()
        found: list[ua.NodeId] = []
        for names in (self._names(), iter(list(self._other_names()))):
            while some := list(islice(names, _AT_ONCE)):
                hits = [node for node, name in some if wanted in name.lower()]
                found += [node if isinstance(node, ua.NodeId) else node_id(node) for node in hits]
                if len(found) >= most:
                    return found[:most]
                await asyncio.sleep(0)
        return found

    def _names(self) -> Iterator[tuple[str, str]]:
        """Yield the path and what is searched of all that is the plant's."""
        plant = self._space.plant
        said: dict[str, str] = {}
        for part in (plant.objects, plant.variables, plant.commands.values(), plant.conditions):
            for it in part:
                name = it.path.rpartition(".")[2]
                if name not in said:
                    said[name] = "" if self.locale is None else f" {self.locale.name(text(name)).Text}"
                yield it.path, it.path + said[name]
        yield from ((name, name) for name in (*plant.types, *plant.enumerations))

    def _other_names(self) -> Iterator[tuple[ua.NodeId, str]]:
        for node in self._space.nodes.others():
            name = node.attributes[ua.AttributeIds.BrowseName].value
            if name is not None and name.Value is not None:
                yield node.nodeid, str(name.Value.Value.Name)

    def _browse(self, node: ua.NodeId, kind: int, direction: ua.BrowseDirection) -> list[ua.ReferenceDescription]:
        wanted = ua.BrowseDescription(node, direction, ua.NodeId(kind), True, 0, ua.BrowseResultMask.All)
        try:
            asked = struct_to_binary(ua.BrowseParameters(NodesToBrowse=[wanted]))
        except struct.error as error:
            raise CommandError(ua.StatusCodes.BadNodeIdInvalid, f"{node.to_string()} is no NodeId") from error
        answer = self._internal.views.answer(Request(_BROWSE, 0, asked), self, _ROOM)
        if answer is None or answer.startswith(SERVICE_FAULT):
            raise CommandError(ua.StatusCodes.BadUnexpectedError, "the view service gave no answer")
        result: ua.BrowseResult = struct_from_binary(ua.BrowseResult, Buffer(answer[_RESULTS_AT:]))
        if not result.StatusCode.is_good():
            raise CommandError(result.StatusCode.value, f"{node.to_string()}: {result.StatusCode.name}")
        return result.References or []
