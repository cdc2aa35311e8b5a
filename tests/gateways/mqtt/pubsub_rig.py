"""A PubSub layout over a store that tests write to, and a JSON decoder written from OPC 10000-6 5.4, not from ours."""

import datetime as dt
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from address_space import load_plant
from address_space.model import BuiltinType, VariableDeclaration
from gateways.mqtt.layout import Message
from gateways.mqtt.pubsub import PubSubLayout
from gateways.mqtt.pubsub_settings import PubSubSettings
from server.store import Store, now_ticks
from server.store.values import VALUE_DTYPES
from tests.gateways.mqtt.sparkplug_rig import MemoryState

SCRIPT = Path(__file__).with_name("pubsub_decode.mjs")


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """What the layout sees of the gateway's settings."""

    pubsub: PubSubSettings


class Publisher:
    """A layout of the default plant with its store and a cursor on the journal."""

    def __init__(self, *, state: MemoryState | None = None, **settings: Any) -> None:
        self.plant = load_plant()
        self.store = Store(self.plant)
        self.cursor = self.store.journal.cursor("test")
        self.state = state or MemoryState()
        self.settings = GatewaySettings(PubSubSettings(**settings))
        self.layout = PubSubLayout(self.plant, self.store, self.settings, self.state)

    def birth(self) -> list[Message]:
        """Return what a connection begins with."""
        self.cursor.read()
        return self.layout.birth(now_ticks())

    def write(self, path: str, value: Any, *, status: int = 0, time: int | None = None) -> None:
        """Write one sample."""
        variable = self.plant.variable(f"Plant.{path}")
        column = np.array([value], VALUE_DTYPES[variable.declaration.type])
        self.store.write(np.array([variable.id]), column, now_ticks() if time is None else time, status)

    def deliver(self) -> list[Message]:
        """Return the messages of what was written since the last call."""
        return self.layout.data(self.cursor.read(), historical=False)


def document(message: Message) -> dict[str, Any]:
    """Return the JSON of a message; no member may be there twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({name for name, _ in pairs}) == len(pairs)
        return dict(pairs)

    return json.loads(message.payload, object_pairs_hook=unique, parse_constant=_refuse)


def _refuse(text: str) -> Any:
    raise AssertionError(f"{text} is no JSON")


def ticks_of(text: str) -> int:
    """Return the ticks of a DateTime (5.4.2.6)."""
    if text == "0001-01-01T00:00:00Z":
        return 0
    found = re.fullmatch(r"(.{19})(?:\.(\d{1,7}))?Z", text)
    assert found is not None
    whole = dt.datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S") - dt.datetime(1601, 1, 1)
    return (whole.days * 86_400 + whole.seconds) * 10_000_000 + int((found[2] or "").ljust(7, "0") or 0)


def value_from(declaration: VariableDeclaration, value: Any, *, verbose: bool) -> Any:
    """Return the stored form of a value in a field, and check that JSON has the type that the standard asks for."""
    builtin = declaration.type
    if declaration.enumeration is not None and verbose:
        name, _, number = value.rpartition("_")
        assert name == dict(enumerate(declaration.enumeration.values)).get(int(number), "")
        return int(number)
    if builtin in (BuiltinType.Int64, BuiltinType.UInt64):
        assert type(value) is str
        return int(value)
    if builtin in (BuiltinType.Float, BuiltinType.Double):
        special = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
        return special[value] if type(value) is str else float(value)
    if builtin is BuiltinType.DateTime:
        return ticks_of(value)
    assert type(value) is {BuiltinType.Boolean: bool, BuiltinType.String: str}.get(builtin, int)
    return value


def decode_with_node(lines: Sequence[dict[str, Any]]) -> list[Any]:
    """Return what node-opcua-json makes of {kind, json} objects."""
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    command = [shutil.which("node") or "node", str(SCRIPT)]
    run = subprocess.run(command, input=text, capture_output=True, text=True, timeout=50, check=False)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]
