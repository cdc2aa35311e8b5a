"""Puts history into an OPC UA server: the nodes before any is made, the services, and the capabilities."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false, reportPrivateUsage=false

import time
from typing import Any

from asyncua import ua
from asyncua.ua.ua_binary import nodeid_to_binary

from server.history import Historian
from server.opcua.history import capabilities
from server.opcua.history.nodes import HistoryNodes
from server.opcua.history.policy import HistoryPolicy
from server.opcua.history.service import HistoryService
from server.opcua.history.update import Audit
from server.opcua.session import PlantSession
from server.opcua.space import PlantAddressSpace
from server.opcua.wire import Request


def add_nodes(space: PlantAddressSpace, historian: Historian, policy: HistoryPolicy) -> None:
    """Have every variable say that it has history; before the address space is built."""
    plant = space.plant
    space.factory.history = HistoryNodes(
        policy,
        oldest=lambda path: historian.oldest(plant.variable(path).id),
        kept=lambda path: historian.kept(plant.variable(path).id),
        editable=historian.editable,
    )


async def add_services(
    space: PlantAddressSpace, internal: Any, historian: Historian, audit: Audit, policy: HistoryPolicy
) -> HistoryService:
    """Have `internal` (the server behind the connections) answer HistoryRead and HistoryUpdate; after the build."""
    service = HistoryService(space, historian, audit, policy)
    internal.history = service
    await capabilities.publish(space, editable=historian.editable)
    return service


async def answer(connection: Any, typeid: Any, requesthdr: Any, body: Any) -> bytes | None:
    """Answer a request of `connection` if it is one for history; None for any other, or without a historian."""
    service: HistoryService | None = getattr(connection.iserver, "history", None)
    session = connection.session
    if service is None or not isinstance(session, PlantSession) or not session.is_activated():
        return None
    if typeid.NamespaceIndex or not isinstance(typeid.Identifier, int) or typeid.Identifier > 0xFFFF:
        return None
    type_id = nodeid_to_binary(ua.FourByteNodeId(typeid.Identifier))
    request = Request(type_id, requesthdr.RequestHandle, body.copy().read(len(body)))
    found = await service.answer(request, session, connection._room(session))
    if found is not None:
        connection.session_last_activity = time.monotonic()
        session.touch()
    return found
