"""The fast path of Write answers and does what the slow one does, or leaves the request to it, with nothing changed."""

import asyncio
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from address_space import BuiltinType, load_plant
from server.commands import Commands
from server.opcua.internal_server import PlantInternalServer
from server.opcua.session import PlantSession, plant_user
from server.opcua.space import PlantAddressSpace
from server.opcua.wire import Request
from server.security.principal import ANONYMOUS, Principal, authenticated
from server.state import State
from server.store import Store, from_ticks, now_ticks

NUMERIC = [t for t in BuiltinType if t.is_numeric]
PLANT = """\
plant: {type: PlantType}
enumerations: {Mode: [Idle, Hand, Auto]}
types:
  PlantType: {description: p}
  MachineType:
    description: m
    variables:
""" + "\n".join(
    [f"      V{t.name}: {{type: {t.name}, access: write, initial: 0, description: d}}" for t in NUMERIC]
    + [
        "      VBoolean: {type: Boolean, access: write, initial: false, description: d}",
        "      VString: {type: String, access: write, initial: '', description: d}",
        "      VMode: {enum: Mode, access: write, initial: Auto, description: d}",
        "      Limited: {type: Double, range: [-5, 5], access: write, initial: 0, description: d}",
        "      Small: {type: Int16, range: [-5.5, 5.5], access: write, initial: 0, description: d}",
        "      Secret: {type: Double, access: write, role: Supervisor, initial: 0, description: d}",
        "      Measured: {type: Double, description: d}",
        "    commands:",
        "      Aim: {description: d, sets: Limited, arguments: {To: {type: Double, range: [-4, 4], description: d}}}",
        "objects:",
        "  Machine[1..2]: {type: MachineType}",
    ]
)
OPERATOR = authenticated("olga", frozenset({"Operator"}))  # type: ignore[arg-type]
HEADER_TIME = slice(4, 12)


@dataclasses.dataclass
class Side:
    """A server of the plant, without a network, and its database."""

    server: PlantInternalServer
    store: Store
    state: State
    commands: Commands

    def session(self, principal: Principal) -> Any:
        made: Any = PlantSession(
            self.server, self.server.aspace, self.server.subscription_service, ("127.0.0.1", 1), external=True
        )
        made.user = plant_user(principal)
        return made

    def slow(self, parameters: ua.WriteParameters, principal: Principal) -> bytes:
        response = ua.WriteResponse()
        response.ResponseHeader.RequestHandle = 7
        response.Results = asyncio.run(self.session(principal).write(parameters))
        return struct_to_binary(response)

    def fast(self, parameters: ua.WriteParameters, principal: Principal) -> bytes | None:
        request = Request(b"", 7, struct_to_binary(parameters))
        return self.server.writes.answer(request, principal, self.session(principal).origin)

    def shown(self) -> list[tuple[Any, int]]:
        return [self.store.read(variable.id)[:2] for variable in self.store.plant.variables]


def make(folder: Path, name: str) -> Side:
    file = folder / "plant.yaml"
    file.write_text(PLANT, encoding="utf-8")
    plant = load_plant(file)
    store, state = Store(plant, 1 << 14), State(folder / f"{name}.sqlite")
    commands = Commands(plant, store, state, {})
    return Side(PlantInternalServer(PlantAddressSpace(plant, store), commands), store, state, commands)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    folder = tmp_path_factory.mktemp("write")
    fast, slow = make(folder, "fast"), make(folder, "slow")
    yield fast, slow
    fast.state.close()
    slow.state.close()


def item(
    path: str, value: Any, kind: ua.VariantType, stamp: int | None = None, status: int | None = None
) -> ua.WriteValue:
    data = ua.DataValue(
        ua.Variant(value, kind),
        StatusCode=None if status is None else ua.StatusCode(status),
        SourceTimestamp=None if stamp is None else from_ticks(stamp),
    )
    return ua.WriteValue(ua.NodeId(path, 2), ua.AttributeIds.Value, Value=data)


def values_of(kind: ua.VariantType) -> st.SearchStrategy[Any]:
    if kind is ua.VariantType.Boolean:
        return st.booleans()
    if kind is ua.VariantType.String:
        return st.text(max_size=3)
    if kind in (ua.VariantType.Float, ua.VariantType.Double):
        width = 32 if kind is ua.VariantType.Float else 64
        return st.floats(width=width) | st.sampled_from([4.0, -5.0, 5.0, 5.5])
    limits = np.iinfo({"SByte": "i1", "Byte": "u1"}.get(kind.name, kind.name.lower()))
    return st.integers(int(limits.min), int(limits.max)) | st.sampled_from([0, 2, 3, 5, 6])


TYPES = {t.name: ua.VariantType(int(t)) for t in NUMERIC}
NAMES = {f"V{name}": kind for name, kind in TYPES.items()} | {
    "VBoolean": ua.VariantType.Boolean,
    "VString": ua.VariantType.String,
    "VMode": ua.VariantType.Int32,
    "Limited": ua.VariantType.Double,
    "Small": ua.VariantType.Int16,
    "Secret": ua.VariantType.Double,
    "Measured": ua.VariantType.Double,
    "Unknown": ua.VariantType.Double,
}


@st.composite
def writes(draw: st.DrawFn) -> ua.WriteParameters:
    stamped = draw(st.booleans())
    chosen = draw(st.lists(st.sampled_from(list(NAMES)), min_size=1, max_size=12))
    parameters = ua.WriteParameters()
    for name in chosen:
        kind = draw(st.sampled_from([NAMES[name]] * 20 + [ua.VariantType.Double]))
        stamp = now_ticks() // 10 * 10 if stamped else None
        machine = draw(st.integers(1, 2))
        status = draw(st.sampled_from([None] * 10 + [0, 0x80310000]))
        parameters.NodesToWrite.append(
            item(f"Plant.Machine{machine}.{name}", draw(values_of(kind)), kind, stamp, status)
        )
    return parameters


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parameters=writes(), who=st.sampled_from([OPERATOR] * 4 + [ANONYMOUS]))
def test_both_paths_answer_and_do_the_same(
    sides: tuple[Side, Side], parameters: ua.WriteParameters, who: Principal
) -> None:
    one, other = sides
    before = one.shown()
    expected = other.slow(parameters, who)
    answer = one.fast(parameters, who)
    if answer is None:
        assert repr(one.shown()) == repr(before), "a request that is left to the slow path has changed nothing"
        answer = one.slow(parameters, who)
    assert answer[: HEADER_TIME.start] == expected[: HEADER_TIME.start]
    assert answer[HEADER_TIME.stop :] == expected[HEADER_TIME.stop :]
    assert repr(one.shown()) == repr(other.shown())  # repr: two NaN are alike


def same_form(values: list[float], stamp: int | None = None) -> ua.WriteParameters:
    parameters = ua.WriteParameters()
    names = ["Limited", "VDouble", "VFloat", "VInt16"]
    for machine in (1, 2):
        for name, value in zip(names, values, strict=True):
            given = int(value) if name == "VInt16" else value
            parameters.NodesToWrite.append(item(f"Plant.Machine{machine}.{name}", given, NAMES[name], stamp))
    return parameters


def test_a_form_is_found_again_with_other_values(tmp_path: Path) -> None:
    side = make(tmp_path, "state")
    for round_ in range(3):
        stamp = now_ticks() + round_
        assert side.fast(same_form([round_, 1.5, 2.5, 7], stamp // 10 * 10), OPERATOR) is not None
        variable = side.store.plant.variable("Plant.Machine2.Limited")
        value, status, source, _ = side.store.read(variable.id)
        assert (value, status, source) == (round_, 0, stamp // 10 * 10)
    assert len(side.server.writes._templates) == 1
    side.state.close()


@pytest.mark.parametrize("bad", [5.5, float("nan"), float("inf")])
def test_one_bad_value_leaves_the_request_to_the_slow_path(tmp_path: Path, bad: float) -> None:
    side = make(tmp_path, "state")
    assert side.fast(same_form([1, 2, 3, 4]), OPERATOR) is not None
    before = side.shown()
    assert side.fast(same_form([bad, 9, 9, 9]), OPERATOR) is None
    assert side.shown() == before
    side.state.close()


async def test_a_machine_that_is_being_commanded_is_waited_for(tmp_path: Path) -> None:
    side = make(tmp_path, "state")
    async with side.commands._locks["Plant.Machine2"]:
        assert side.fast(same_form([1, 2, 3, 4]), OPERATOR) is None
    assert side.fast(same_form([1, 2, 3, 4]), OPERATOR) is not None
    side.state.close()


def test_what_was_written_at_once_is_there_after_a_restart_and_newer_wins(tmp_path: Path) -> None:
    side = make(tmp_path, "state")
    assert side.fast(same_form([1, 2, 3, 4]), OPERATOR) is not None
    single = ua.WriteParameters(NodesToWrite=[item("Plant.Machine1.VString", "kept", ua.VariantType.String)])
    side.slow(single, OPERATOR)
    limited = ua.WriteParameters(NodesToWrite=[item("Plant.Machine1.Limited", 5.0, ua.VariantType.Double)])
    assert side.fast(limited, OPERATOR) is not None
    side.state.close()
    again = State(tmp_path / "state.sqlite")
    kept = {path: value for path, (value, _) in again.setpoints().items()}
    again.close()
    assert kept == {
        "Plant.Machine1.Limited": 5.0,
        "Plant.Machine2.Limited": 1.0,
        "Plant.Machine1.VDouble": 2.0,
        "Plant.Machine2.VDouble": 2.0,
        "Plant.Machine1.VFloat": 3.0,
        "Plant.Machine2.VFloat": 3.0,
        "Plant.Machine1.VInt16": 4,
        "Plant.Machine2.VInt16": 4,
        "Plant.Machine1.VString": "kept",
    }


def test_templates_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    side = make(tmp_path, "state")
    monkeypatch.setattr("server.opcua.fast_write.MAX_TEMPLATES", 3)
    for name in ("Limited", "VDouble", "VFloat", "VInt16", "VInt32"):
        value = 1 if "Int" in name else 1.0
        one = ua.WriteParameters(NodesToWrite=[item(f"Plant.Machine1.{name}", value, NAMES[name])])
        assert side.fast(one, OPERATOR) is not None
    assert len(side.server.writes._templates) == 3
    side.state.close()


def call(side: Side, value: Any, kind: ua.VariantType, who: Principal) -> tuple[bytes | None, bytes]:
    """Call Aim by both paths; returns their answers."""
    wanted = ua.CallMethodRequest(ua.NodeId("Plant.Machine1", 2), ua.NodeId("Plant.Machine1.Aim", 2))
    wanted.InputArguments = [ua.Variant(value, kind)]
    one = ua.CallRequest()
    one.Parameters.MethodsToCall = [wanted]
    body = struct_to_binary(one.Parameters)
    fast = side.server.calls.answer(Request(b"", 7, body), who, "opcua 127.0.0.1")
    response = ua.CallResponse()
    response.ResponseHeader.RequestHandle = 7
    response.Results = asyncio.run(side.session(who).call([wanted]))
    return fast, struct_to_binary(response)


def test_a_call_is_answered_alike_by_both_paths(tmp_path: Path) -> None:
    side = make(tmp_path, "state")
    fast, slow = call(side, 3.5, ua.VariantType.Double, OPERATOR)
    assert fast is not None
    assert fast[: HEADER_TIME.start] == slow[: HEADER_TIME.start]
    assert fast[HEADER_TIME.stop :] == slow[HEADER_TIME.stop :]
    assert side.store.value(side.store.plant.variable("Plant.Machine1.Limited").id) == 3.5
    database = side.state._database
    assert database.execute("SELECT who, origin, action FROM puts").fetchall() == [
        ("olga", "opcua 127.0.0.1", '["Plant.Machine1.Aim", 3.5]')
    ]
    side.state.close()


@pytest.mark.parametrize(
    ("value", "kind", "who"),
    [
        (4.5, ua.VariantType.Double, OPERATOR),  # out of range
        (1, ua.VariantType.Int32, OPERATOR),  # of another type
        (float("nan"), ua.VariantType.Double, OPERATOR),
        (1.0, ua.VariantType.Double, ANONYMOUS),
    ],
)
def test_a_refused_call_is_left_to_the_slow_path(
    tmp_path: Path, value: Any, kind: ua.VariantType, who: Principal
) -> None:
    side = make(tmp_path, "state")
    fast, _ = call(side, value, kind, who)
    assert fast is None
    assert side.store.value(side.store.plant.variable("Plant.Machine1.Limited").id) == 0
    assert side.state._database.execute("SELECT count(*) FROM puts").fetchone() == (0,)
    side.state.close()
