"""The OPC UA server put together: endpoints, certificate, the plant's nodes, and its notifications."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import asyncio
import contextlib
import errno
import gc
import os
import sys
from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asyncua import Server, ua
from asyncua.crypto.security_policies import SecurityPolicyFactory

from address_space.model import Plant
from server import VERSION, logs
from server.commands import Commands
from server.errors import StartError
from server.opcua import capabilities
from server.opcua.attributes import NAMESPACE
from server.opcua.conditions.capabilities import profiles as condition_profiles
from server.opcua.departures import Departures
from server.opcua.internal_server import PlantInternalServer
from server.opcua.limits import ServerLimits
from server.opcua.nodeset import read_nodeset
from server.opcua.protocol import PlantBinaryServer
from server.opcua.security import ENCRYPTED_POLICIES, Gatekeeper
from server.opcua.session import PlantRules
from server.opcua.space import PlantAddressSpace
from server.opcua.subscriptions.limits import Limits
from server.security.certificates import OwnCertificate
from server.settings import OpcUaSettings
from server.store import Store

log = logs.get(__name__)

PATH = "/plantree"
_LEAST_CHUNK = 8192 - 512
"""Bytes of a message in one chunk, at least (OPC 10000-6 7.1.2.3)."""
_SWITCH_S = 0.0005
"""How long a thread that works for the disk may hold up the event loop; Python lets it have 5 ms."""
_SHUTDOWN_NOTICE_S = 0.3
"""How long clients that watch ServerStatus have to learn of a shutdown before connections close."""


class OpcUaServer:
    """Serves the plant at `opc.tcp://HOST:PORT/plantree`."""

    def __init__(  # noqa: PLR0913, PLR0917  the parts of a server
        self,
        plant: Plant,
        store: Store,
        commands: Commands,
        settings: OpcUaSettings,
        gate: Gatekeeper,
        own: OwnCertificate,
        limits: ServerLimits | None = None,
        subscription_limits: Limits | None = None,
    ) -> None:
        self.space = PlantAddressSpace(plant, store)
        self.limits = limits or ServerLimits(sessions=gate.max_sessions)
        self.internal = PlantInternalServer(self.space, commands, self.limits, subscription_limits)
        self.departures = Departures(self.internal, gate.users)
        commands.watch(self.internal.auditor)
        self._settings = settings
        self._gate = gate
        self._own = own
        self._plant = plant
        self._server = Server(iserver=self.internal)
        self._binary: PlantBinaryServer | None = None
        self._switch_interval = sys.getswitchinterval()
        self.port = settings.port

    @property
    def endpoint(self) -> str:
        """The endpoint URL that is logged and advertised."""
        host = self._settings.host
        return f"opc.tcp://{'localhost' if host in ('0.0.0.0', '::') else host}:{self.port}{PATH}"  # noqa: S104

    async def build(self, nodesets: Sequence[Path] = ()) -> None:
        """Make the address space; raises StartError for a NodeSet2 file that cannot be loaded."""
        server = self._server
        server.name = "Plantree"
        server.manufacturer_name = "Plantree"
        server.product_uri = "urn:plantree:server"
        server._application_uri = self._own.application_uri  # pyright: ignore[reportPrivateUsage]
        with _collector_at_rest():
            await server.init()
        await server.set_build_info(
            server.product_uri, server.manufacturer_name, server.name, VERSION, VERSION, datetime.now(UTC)
        )
        facets, locales = condition_profiles(self._plant), self.space.locales.ids
        await capabilities.publish(server, self.limits, self.internal.subscriptions.limits, locales, facets)
        index = await server.register_namespace(self._plant.namespace)
        if index != NAMESPACE:
            raise StartError(f"the plant's namespace came to index {index}, not {NAMESPACE}")
        self.internal.auditor.server_uri = self._own.application_uri
        self.space.attach()
        self.internal.diagnostics.attach()
        for path in nodesets:
            await self._add_nodeset(path)

    async def start(self) -> None:
        """Listen; raises StartError when the port is taken."""
        server, own = self._server, self._own
        self.internal.certificate = own.certificate
        self.internal.private_key = own.private_key
        policies = list(ENCRYPTED_POLICIES)
        if self._gate.allow_none:
            policies.insert(0, ua.SecurityPolicyType.NoSecurity)
        tokens: list[type] = [ua.UserNameIdentityToken, ua.X509IdentityToken]
        if self._gate.anonymous:
            tokens.insert(0, ua.AnonymousIdentityToken)
        server.set_identity_tokens(tokens)
        server.set_security_policy(policies, permission_ruleset=PlantRules())
        host, port = self._settings.host, self._settings.port
        server.set_endpoint(f"opc.tcp://{host}:{port}{PATH}")
        await server._setup_server_nodes()  # pyright: ignore[reportPrivateUsage]
        transport: Any = server.limits
        transport.max_message_size = self.limits.request_bytes
        transport.max_chunk_count = 1 + self.limits.request_bytes // _LEAST_CHUNK
        self._binary = PlantBinaryServer(self.internal, host, port, transport, self._gate)
        self._binary.set_policies(self._policies())
        try:
            await self._binary.start()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            hint = "; is another server running?" if error.errno == errno.EADDRINUSE else ""
            message = f"OPC UA cannot listen on {host}, port {port} (settings opcua.host, opcua.port): {reason}{hint}"
            raise StartError(message) from error
        self.port = self._binary.port
        await self.internal.start()
        sys.setswitchinterval(_SWITCH_S)
        gc.freeze()  # a million objects that stay: to walk them took the collector a third of a second, now and then

    async def run(self) -> None:
        """Publish to subscriptions until cancelled."""
        await self.internal.subscriptions.run()

    async def stop(self) -> None:
        """Tell the sessions, then close them."""
        if self._binary is None:
            return
        state = self._server.get_node(ua.NodeId(ua.ObjectIds.Server_ServerStatus_State))
        await state.write_value(ua.ServerState.Shutdown, ua.VariantType.Int32)
        if self._binary.clients:
            await asyncio.sleep(_SHUTDOWN_NOTICE_S)
        await self._binary.stop()
        await self.internal.stop()
        gc.unfreeze()
        sys.setswitchinterval(self._switch_interval)

    def _policies(self) -> list[SecurityPolicyFactory]:
        policies: Any = self._server._policies  # pyright: ignore[reportPrivateUsage]
        return policies

    async def _add_nodeset(self, path: Path) -> None:
        try:
            added = await self._server.import_xml(
                xmlstring=await asyncio.to_thread(read_nodeset, path, self._plant.namespace)
            )
        except OSError as error:
            raise StartError(f"{path}: the NodeSet2 file cannot be read: {error.strerror}") from error
        except Exception as error:
            raise StartError(f"{path}: is no NodeSet2 file that can be loaded: {error}") from error
        log.info("nodes added", file=str(path), nodes=len(added))


@contextlib.contextmanager
def _collector_at_rest() -> Generator[None]:
    """Collect no garbage for a while: of nodes that all stay there is none, and to look took half of the start."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
