"""An MQTT gateway over a store that tests write to: real commands and users, a real broker, no OPC UA."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from address_space import Plant, Role, load_plant
from address_space.model import BuiltinType
from gateways.mqtt import MqttSettings, create
from server.commands import Commands
from server.emergency_stop import EmergencyStops
from server.ports import GatewayContext, GatewayStatus
from server.security.certificates import load_or_create
from server.security.principal import Principal, authenticated
from server.state import State
from server.store import Store, now_ticks
from server.store.values import VALUE_DTYPES
from tests.server.core_rig import Core


class KnownUsers:
    """Identities: {name: (password, role)}."""

    def __init__(self, users: Mapping[str, tuple[str, Role]]) -> None:
        self.users = users
        self.asked: list[tuple[str, str]] = []

    async def authenticate(self, name: str, password: str, peer: str) -> Principal | None:
        self.asked.append((name, peer))
        right, role = self.users.get(name, (None, Role.Anonymous))
        return authenticated(name, frozenset({role})) if right == password else None

    def named(self, name: str) -> Principal | None:
        return authenticated(name, frozenset({self.users[name][1]})) if name in self.users else None


USERS = KnownUsers({"olga": ("olga's password", Role.Operator), "otto": ("otto's password", Role.Observer)})


def context_of(folder: Path, plant: Plant, store: Store, commands: Any) -> GatewayContext:
    own = load_or_create(folder / "certs", host_names=[], days=365)
    files = folder / "certs" / "own.pem", folder / "certs" / "own.key"
    files[0].write_bytes(own.certificate.public_bytes(Encoding.PEM))
    files[1].write_bytes(own.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return GatewayContext("mqtt", plant, store, commands, USERS, GatewayStatus(), folder / "mqtt", *files)


def make_context(folder: Path, core: Core) -> GatewayContext:
    return context_of(folder, core.plant, core.store, core.commands)


@contextlib.contextmanager
def default_context(folder: Path):
    """Yield the context of the default plant, with sample values in every variable."""
    plant = load_plant()
    store = Store(plant)
    fill(store)
    state = State(folder / "state.sqlite")
    commands = Commands(plant, store, state, {})
    EmergencyStops(plant, store, state, commands, {}).restore()
    try:
        yield context_of(folder, plant, store, commands)
    finally:
        state.close()


def fill(store: Store, offset: int = 0, status: int = 0) -> int:
    """Write to every variable a value of its own; returns the source timestamp."""
    now = now_ticks() // 10 * 10  # JSON has microseconds
    for variable in store.plant.variables:
        column = np.array([sample(variable, offset, now)], VALUE_DTYPES[variable.declaration.type])
        store.write(np.array([variable.id]), column, now, status)
    return now


def sample(variable: Any, offset: int, now: int) -> Any:
    declaration, number = variable.declaration, variable.id + offset
    if declaration.enumeration is not None:
        return number % len(declaration.enumeration.values)
    if declaration.type is BuiltinType.Boolean:
        return number % 2 == 1
    if declaration.type is BuiltinType.String:
        return f'text "{number}" ü'
    if declaration.type is BuiltinType.DateTime:
        return now - number * 10
    return number + 0.125 if declaration.type is BuiltinType.Double else number


@contextlib.asynccontextmanager
async def running(
    context: GatewayContext, settings: MqttSettings, *, connected: bool = True
) -> AsyncGenerator["asyncio.Task[None]"]:
    """Run the gateway for the time of a `with` block; by default from the moment that it is connected."""
    task = asyncio.create_task(create(context, settings).run())
    try:
        if connected:
            await eventually(lambda: task.done() or context.status.connected, "the gateway is connected")
            if task.done():
                task.result()
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def eventually(holds: Callable[[], Any], what: str, within: float = 15.0) -> Any:
    """Return what `holds` returns once that is true; AssertionError naming `what` after `within` seconds."""
    try:
        async with asyncio.timeout(within):
            while not (result := holds()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # between two looks at a thing outside this process
    except TimeoutError:
        raise AssertionError(f"not within {within:g} s: {what}") from None
    return result
