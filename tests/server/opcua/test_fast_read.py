"""The fast path of Read answers with the same bytes as the slow one, or leaves the request to it."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from address_space import BuiltinType, load_plant
from server.opcua import fast_read
from server.opcua.fast_read import ReadPlans
from server.opcua.internal_server import PlantInternalServer
from server.opcua.session import PlantSession, plant_user
from server.opcua.space import PlantAddressSpace
from server.opcua.wire import Request
from server.security.principal import ANONYMOUS, Principal, authenticated
from server.store import Store

NUMERIC = [t for t in BuiltinType if t not in (BuiltinType.String, BuiltinType.Boolean, BuiltinType.DateTime)]
TYPES = [*NUMERIC, BuiltinType.Boolean, BuiltinType.DateTime]
VARIABLES = "\n".join(f"      V{t.name}: {{type: {t.name}, description: d}}" for t in TYPES)
PLANT = f"""\
plant: {{type: PlantType}}
types:
  PlantType: {{description: p}}
  MachineType:
    description: m
    variables:
{VARIABLES}
      Secret: {{type: Double, description: only for observers, read_role: Observer}}
      Words: {{type: String, description: text}}
objects:
  Machine[1..3]: {{type: MachineType}}
"""
STATUSES = [0, 0, 0, 0x40900000, 0x80310000]
HEADER_TIME = slice(4, 12)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> PlantInternalServer:
    path: Path = tmp_path_factory.mktemp("plant") / "plant.yaml"
    path.write_text(PLANT)
    plant = load_plant(path)
    return PlantInternalServer(PlantAddressSpace(plant, Store(plant, 1024)), commands=None)  # type: ignore[arg-type]


def slow_answer(server: PlantInternalServer, parameters: ua.ReadParameters, principal: Principal, handle: int) -> bytes:
    session: Any = PlantSession(server, server.aspace, server.subscription_service, ("127.0.0.1", 1), external=True)
    session.user = plant_user(principal)
    response = ua.ReadResponse()
    response.ResponseHeader.RequestHandle = handle
    response.Results = asyncio.run(session.read(parameters))
    return struct_to_binary(response)


def without_time(response: bytes) -> bytes:
    return response[: HEADER_TIME.start] + response[HEADER_TIME.stop :]


def item(name: str, machine: int = 1, attribute: int = ua.AttributeIds.Value, index_range: str | None = None) -> Any:
    node = ua.NodeId(f"Plant.Machine{machine}.{name}", 2)
    return ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds(attribute), IndexRange=index_range)


PLAIN = st.builds(item, st.sampled_from([f"V{t.name}" for t in TYPES]), st.integers(1, 3))
ODD = st.one_of(
    st.builds(item, st.sampled_from(["Secret", "Words", "Nothing"]), st.integers(1, 4)),
    st.builds(item, st.just("VDouble"), attribute=st.sampled_from([1, 3, 4, 14, 17])),
    st.builds(item, st.sampled_from(["VDouble", "Words"]), index_range=st.sampled_from(["0", "1:2", "x"])),
)
SAMPLES = st.lists(
    st.tuples(
        st.sampled_from(TYPES), st.integers(1, 3), st.integers(0, 100), st.sampled_from(STATUSES), st.integers(0, 2**50)
    ),
    max_size=20,
)


def requests(items: st.SearchStrategy[Any]) -> st.SearchStrategy[ua.ReadParameters]:
    return st.builds(
        lambda chosen, wanted: ua.ReadParameters(TimestampsToReturn=wanted, NodesToRead=chosen),
        st.lists(items, min_size=1, max_size=30),
        st.sampled_from([ua.TimestampsToReturn(number) for number in range(4)]),
    )


def fill(server: PlantInternalServer, samples: list[tuple[BuiltinType, int, int, int, int]]) -> None:
    space = server.aspace
    for builtin, machine, value, status, stamp in samples:
        variable = space.plant.variable(f"Plant.Machine{machine}.V{builtin.name}")
        # asyncua's datetimes know microseconds, not the 100 ns of the wire
        given_value = np.array([value * 10 if builtin is BuiltinType.DateTime else value])
        space.store.write(np.array([variable.id]), given_value, stamp * 10, np.array([status], np.uint32))


def compare(server: PlantInternalServer, parameters: ua.ReadParameters, principal: Principal) -> bool:
    """Ask twice, so that the second answer comes from a kept plan; return whether the fast path answered."""
    request = Request(b"", 7, struct_to_binary(parameters))
    answers = [server.reads.answer(request, principal) for _ in range(2)]
    expected = slow_answer(server, parameters, principal, 7)
    for answer in answers:
        if answer is not None:
            assert without_time(answer) == without_time(expected)
    assert (answers[0] is None) == (answers[1] is None)
    return answers[0] is not None


@settings(max_examples=150, deadline=None)
@given(parameters=requests(PLAIN), samples=SAMPLES)
def test_plain_values_are_answered_fast_and_alike(
    server: PlantInternalServer, parameters: ua.ReadParameters, samples: list[Any]
) -> None:
    fill(server, samples)
    align_stamps(server)
    assert compare(server, parameters, ANONYMOUS)


@settings(max_examples=150, deadline=None)
@given(parameters=requests(st.one_of(PLAIN, ODD)), observer=st.booleans())
def test_anything_else_is_answered_alike_or_left_to_the_slow_path(
    server: PlantInternalServer, parameters: ua.ReadParameters, observer: bool
) -> None:
    align_stamps(server)
    principal = authenticated("o", frozenset({"Observer"})) if observer else ANONYMOUS  # type: ignore[arg-type]
    fast = compare(server, parameters, principal)
    names = {str(entry.NodeId.Identifier).rpartition(".")[2] for entry in parameters.NodesToRead}
    if names & {"Words", "Nothing"} or ("Secret" in names and not observer):
        assert not fast


def test_rights_are_part_of_the_key(server: PlantInternalServer) -> None:
    align_stamps(server)
    request = Request(b"", 7, struct_to_binary(ua.ReadParameters(NodesToRead=[item("Secret")])))
    observer = authenticated("o", frozenset({"Observer"}))  # type: ignore[arg-type]
    assert server.reads.answer(request, observer) is not None
    assert server.reads.answer(request, ANONYMOUS) is None


def test_the_cache_is_bounded(server: PlantInternalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_read, "MAX_PLANS", 3)
    reads = ReadPlans(server.aspace, server.rights)
    for count in range(1, 8):
        parameters = ua.ReadParameters(NodesToRead=[item("VDouble")] * count)
        assert reads.answer(Request(b"", 1, struct_to_binary(parameters)), ANONYMOUS) is not None
    assert len(reads._plans) == 3
    assert reads._bytes == sum(len(rest) for _, rest in reads._plans)


def test_what_cannot_be_parsed_is_left_to_the_slow_path(server: PlantInternalServer) -> None:
    assert server.reads.answer(Request(b"", 1, b"\x00\x01garbage"), ANONYMOUS) is None
    assert server.reads.answer(Request(b"", 1, b""), ANONYMOUS) is None


def align_stamps(server: PlantInternalServer) -> None:
    """Cut the server timestamps to the microseconds that asyncua's datetimes know."""
    for builtin in TYPES:
        table = server.aspace.store._tables[int(builtin)]
        for stamp in ("source", "server"):
            table[stamp] -= table[stamp] % 10
