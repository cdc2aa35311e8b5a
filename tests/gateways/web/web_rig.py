"""The operator page and REST on a free port over the server's core, and people who use them over real HTTP."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import numpy as np
from argon2 import PasswordHasher

from address_space import load_plant
from gateways.web.gateway import WebGateway
from gateways.web.settings import WebSettings
from server.alarms import Alarms
from server.audit import AuditEntry, AuditKind
from server.audit_trail import AuditTrail
from server.commands import Commands
from server.emergency_stop import EmergencyStops
from server.evidence import EvidenceRegister
from server.gateway_part import pem_copy
from server.history import Historian, Retention
from server.history.embedded import EmbeddedHistorian
from server.history.feed import HistoryFeed
from server.ports import GatewayContext, GatewayStatus
from server.security.certificates import OwnCertificate, load_or_create
from server.security.trust import TrustList
from server.security.users import Users
from server.state import State
from server.store import Store, now_ticks
from tests.server.core_rig import PressSource

PASSWORD = "correct horse battery"
BAD = 0x80310000
PLANT = """\
plant: {name: Plant, type: PlantType}
enumerations:
  State: [Stopped, Running, EmergencyStopped]
types:
  PlantType: {description: The plant, emergency_stop: {reset_role: Supervisor}}
  PressType:
    description: A press
    variables:
      State: {enum: State, description: State}
      Speed: {type: Double, unit: r/min, range: [0, 2500], description: Speed}
      Secret: {type: Double, unit: kW, range: [0, 9], read_role: Engineer, initial: 7, description: Not for all}
      Target: {type: Double, unit: r/min, range: [0, 100], access: write, initial: 10, description: Wanted speed}
      Batch: {type: Int16, access: write, role: Engineer, description: Batch size}
      Label: {type: String, access: write, initial: "", description: A text}
      Mode: {enum: State, access: write, initial: Stopped, description: Wanted state}
      Due: {type: DateTime, access: write, description: A time}
      Count: {type: Int64, description: Pieces}
    commands:
      Aim:
        description: Set the target
        sets: Target
        arguments: {Speed: {type: Double, range: [0, 50], description: New target}}
      Start: {description: Start, confirms: {State: [Running]}, within: 0.15}
    alarms:
      Fast: {input: Speed, high_high: 2000, high: 1000, severity: 700, message: Too fast, confirm: true}
    emergency_stop: {state: State, stopped: EmergencyStopped, standstill: Speed < 1}
sources:
  fake: {kind: physics}
objects:
  Press1: {type: PressType, source: fake}
  Press2: {type: PressType, source: fake}
"""


class World:
    """The server's core without OPC UA, the gateway over it, and clients that end with it.

    Press1 and Press2 are fed by a source made for tests, which does as it is told at once.
    """

    def __init__(self, folder: Path, web: WebSettings, own: OwnCertificate | None) -> None:
        file = folder / "plant.yaml"
        file.write_text(PLANT, encoding="utf-8")
        self.folder = folder
        self.plant = load_plant(file)
        self.store = Store(self.plant, 1 << 14)
        self.source = PressSource(self.plant, self.store)
        self.state = State(folder / "state.sqlite")
        self.users = Users(folder / "users.sqlite", hasher=PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        self.commands = Commands(self.plant, self.store, self.state, {"fake": self.source})
        self.stops = EmergencyStops(self.plant, self.store, self.state, self.commands, {"fake": self.source})
        self.evidence = EvidenceRegister()
        self.alarms = Alarms(
            self.plant, self.store, folder / "alarms.sqlite", audit=self.commands.audit, evidence=self.evidence
        )
        self.trust = TrustList(folder / "certs")
        self.historian: Historian | None = None
        self.status = GatewayStatus()
        self.certificate = folder / "certificate.pem"
        if own is not None:
            pem_copy(own, self.certificate)
        self.context = GatewayContext(
            name="web",
            plant=self.plant,
            store=self.store,
            commands=self.commands,
            identities=self.users,
            status=self.status,
            data_dir=folder / "gateways" / "web",
            certificate_file=self.certificate,
            private_key_file=self.certificate if own is None else own.private_key_file,
            alarms=self.alarms,
            history=lambda: self.historian,
            audit=AuditTrail(self.state.path),
            trust=self.trust,
            stops=self.stops,
            evidence=self.evidence,
            record=self.commands.audit,
        )
        self.gateway = WebGateway(self.context, web)
        self._stack = contextlib.AsyncExitStack()
        self._users: set[str] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator["World"]:
        """Run all of it for the time of a `with` block."""
        self.stops.restore()
        self.historian = await EmbeddedHistorian.open(self.folder / "history.sqlite", self.plant, Retention())
        feed = HistoryFeed(self.store, self.historian)
        tasks = [asyncio.create_task(it) for it in (self.alarms.run(), feed.run(), self.gateway.run())]
        try:
            async with self._stack:
                await until(lambda: self.status.connected or tasks[-1].done())
                if tasks[-1].done():
                    await tasks[-1]
                yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            feed.close()
            await self.historian.close()
            self.users.close()
            self.alarms.close()
            self.state.close()

    @property
    def url(self) -> str:
        return self.gateway.url.rstrip("/")

    async def add_user(self, name: str, *roles: str) -> None:
        if name not in self._users:
            await asyncio.to_thread(self.users.add, name, PASSWORD, roles)
            self._users.add(name)

    async def stranger(self) -> httpx.AsyncClient:
        """Return a client that is not logged in."""
        verify: Any = True
        if self.url.startswith("https"):
            verify = ssl.create_default_context(cafile=str(self.certificate))
            verify.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return await self._stack.enter_async_context(httpx.AsyncClient(base_url=self.url, verify=verify, timeout=20))

    async def person(self, role: str) -> httpx.AsyncClient:
        """Return a browser in which a user of this role is logged in: cookie, and CSRF token as header."""
        name = role.lower()
        await self.add_user(name, role)
        client = await self.stranger()
        answer = await client.post("/login", json={"user": name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        client.headers["X-CSRF-Token"] = answer.json()["csrf"]
        return client

    async def script(self, role: str) -> httpx.AsyncClient:
        """Return a client with a token of a user of this role."""
        name = role.lower()
        await self.add_user(name, role)
        client = await self.stranger()
        made = await client.post("/api/v1/tokens", json={"user": name, "password": PASSWORD, "note": "test"})
        assert made.status_code == 201, made.text
        client.headers["Authorization"] = f"Bearer {made.json()['token']}"
        return client

    @contextlib.asynccontextmanager
    async def page(self, client: httpx.AsyncClient, path: str = "/live", **headers: str) -> AsyncGenerator["Page"]:
        """Open the live stream as a browser does, with a logged-in client's cookie or token."""
        given = {"Origin": self.url} | {k: v for k, v in client.headers.items() if k == "authorization"} | headers
        async with (
            aiohttp.ClientSession(cookies=dict(client.cookies)) as session,
            session.ws_connect(self.url + path, headers=given, max_msg_size=0) as socket,
        ):
            yield Page(socket)

    def put(self, path: str, value: Any, status: int = 0, at: int | None = None) -> None:
        """Write a value into the store, as a source does."""
        ids = np.array([self.plant.variable(f"Plant.{path}").id])
        self.store.write(ids, np.array([value]), at or now_ticks(), status)

    def value(self, path: str) -> Any:
        return self.store.value(self.plant.variable(f"Plant.{path}").id)

    def audit(self) -> list[tuple[str, str, str, str]]:
        """Return who did what from where, with what result, oldest first."""
        return [(it.who, it.origin, it.action, f"0x{it.status:08X}") for it in self.trail()]

    def trail(self) -> list[AuditEntry]:
        """Return the audit trail, oldest first."""
        return AuditTrail(self.state.path).read()

    def ends(self) -> list[tuple[str, str, str]]:
        """Return whose logins have ended, from where, and why."""
        found = [it for it in self.trail() if it.kind is AuditKind.CLOSE_SESSION]
        return [(it.who, it.origin, it.details["why"]) for it in found]


class Page:
    """What a page has been told, as it would show it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.frames: list[dict[str, Any]] = []
        self.values: dict[str, list[Any]] = {}

    async def frame(self) -> dict[str, Any]:
        """Take one frame."""
        frame: dict[str, Any] = json.loads(await self.socket.receive_str(timeout=20))
        self.frames.append(frame)
        self.values |= frame["v"]
        return frame

    async def until(self, holds: Callable[[], Any]) -> None:
        """Take frames until something holds."""
        async with asyncio.timeout(20):
            while not holds():
                await self.frame()

    async def shows(self, path: str, value: Any, status: int = 0) -> None:
        await self.until(lambda: self.values.get(f"Plant.{path}", [None, None])[:2] == [value, status])

    async def closed(self) -> int | None:
        """Wait for the end; returns the close code."""
        async with asyncio.timeout(20):
            while (message := await self.socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
        return message.data if message.type is aiohttp.WSMsgType.CLOSE else self.socket.close_code


async def until(holds: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait for something in this process."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  looked at from outside, as a user does
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def world(folder: Path, **web: Any) -> AsyncGenerator[World]:
    """Run a world of two presses."""
    own = load_or_create(folder / "certs") if web.get("tls") else None
    settings = WebSettings(**{"port": 0, "logins_per_minute": 1000} | web)
    async with World(folder, settings, own).running() as made:
        yield made
