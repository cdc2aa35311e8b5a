"""What makes servers within the test process quick to start: some hundred tests have one of their own."""

import copy
import functools
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from asyncua import ua
from asyncua.server.address_space import AddressSpace, AttributeValue, NodeData, NodeManagementService
from asyncua.server.internal_server import InternalServer

QUICK = functools.partial(PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture(scope="session", autouse=True)
def quick_servers() -> Iterator[None]:
    """Give each server a copy of the standard's 6,000 nodes, and passwords that are hashed at the least cost.

    A `python -m server` has neither: it makes its nodes, and hashes as it does in a plant.
    """

    async def load(server: Any, _shelf_file: Path | None = None) -> None:
        for node_id, node in _standard_nodes().items():
            server.aspace[node_id] = _copied(node)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InternalServer, "load_standard_address_space", load)
        patch.setattr("server.security.users.PasswordHasher", QUICK)
        yield


@functools.cache
def _standard_nodes() -> dict[ua.NodeId, NodeData]:
    from asyncua.server.standard_address_space import standard_address_space

    space = AddressSpace()
    gc.disable()  # nothing of this is garbage
    try:
        standard_address_space.fill_address_space(NodeManagementService(space))
    finally:
        gc.enable()
    return dict(space._nodes)


def _copied(node: NodeData) -> NodeData:
    """Copy what a server changes in place; NodeIds, references and plain values are replaced, never changed."""
    made = NodeData(node.nodeid)
    made.attributes = {attribute: AttributeValue(_own(it.value)) for attribute, it in node.attributes.items()}
    made.references = list(node.references)
    return made


def _own(value: ua.DataValue | None) -> ua.DataValue | None:
    variant = None if value is None else value.Value
    is_plain = variant is None or (variant.VariantType is not ua.VariantType.ExtensionObject and not variant.is_array)
    return value if is_plain else copy.deepcopy(value)
