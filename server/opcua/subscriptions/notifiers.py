"""The hierarchy of notifiers that events travel up (OPC 10000-3 7.17, 7.18)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from asyncua import ua
from asyncua.server.address_space import AddressSpace

SERVER = ua.NodeId(ua.ObjectIds.Server)
_NOTIFIERS = {ua.NodeId(ua.ObjectIds.HasNotifier), ua.NodeId(ua.ObjectIds.HasEventSource)}
_MOST_KEPT = 100_000


class Notifiers:
    """Where events of a source can be seen, found once: the hierarchy does not change while the server runs."""

    def __init__(self, space: AddressSpace) -> None:
        self._space = space
        self._known: dict[ua.NodeId, tuple[ua.NodeId, ...]] = {}

    def of(self, source: ua.NodeId) -> tuple[ua.NodeId, ...]:
        """Return the nodes at which events of a source can be seen."""
        found = self._known.get(source)
        if found is None:
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            found = self._known[source] = tuple(notified(self._space, source))
        return found


def notified(space: AddressSpace, emitting: ua.NodeId) -> set[ua.NodeId]:
    """Return the nodes at which an event of `emitting` can be seen: itself, its notifiers, and always the Server."""
    found = {SERVER, emitting}
    waiting = [emitting]
    while waiting:
        node = space.get(waiting.pop())
        for reference in () if node is None else node.references:
            above = reference.NodeId
            if not reference.IsForward and reference.ReferenceTypeId in _NOTIFIERS and above not in found:
                found.add(above)
                waiting.append(above)
    return found
