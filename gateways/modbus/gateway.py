"""Modbus TCP served from the tree: the listeners, and the image that follows the journal."""

import asyncio
import contextlib
import ssl
import time

import numpy as np

from gateways.modbus.following import Following
from gateways.modbus.image import Image
from gateways.modbus.lock import load_map
from gateways.modbus.mapping import RegisterMap
from gateways.modbus.protocol import Server
from gateways.modbus.rights import Rights
from gateways.modbus.settings import ModbusSettings
from gateways.modbus.writing import Writing
from server import logs
from server.ports import GatewayContext

log = logs.get(__name__)

_BEAT_S = 1.0


class ModbusGateway:
    """The gateway; `run` raises MapError when the plant does not fit the registers."""

    def __init__(self, context: GatewayContext, settings: ModbusSettings) -> None:
        self._context = context
        self._settings = settings
        self._map: RegisterMap | None = None
        self.ports: tuple[int, ...] = ()
        """The TCP ports that it listens on, once it does: the plain one, and that of TLS."""
        self._rights = Rights(context.identities, settings)

    @property
    def map(self) -> RegisterMap:
        """Which variable is where; once it listens."""
        if self._map is None:
            raise RuntimeError("the register map is not made yet")
        return self._map

    async def run(self) -> None:
        """Serve until cancelled; raises OSError when a port cannot be had."""
        image, writing = await asyncio.to_thread(self._prepare)  # seconds for 100,000 variables
        following = Following(self._context, image)
        writing.attach(image, following.catch_up)
        server = Server(image, writing, self._settings.max_connections)
        loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(following.close)
            stack.callback(server.close)
            plain = await loop.create_server(server.protocol, self._settings.host, self._settings.port)
            listeners = [await stack.enter_async_context(plain)]
            if self._settings.tls.enabled:
                secured = await loop.create_server(
                    server.protocol, self._settings.tls.host, self._settings.tls.port, ssl=self._tls()
                )
                listeners.append(await stack.enter_async_context(secured))
            stack.callback(server.close)  # before the listeners wait for their connections
            self.ports = tuple(listener.sockets[0].getsockname()[1] for listener in listeners)
            self._context.status.connected = True
            self._context.status.last_error = ""
            log.info("modbus", host=self._settings.host, ports=self.ports, registers=len(self.map.items))
            beating = asyncio.create_task(_beat(image))
            stack.callback(beating.cancel)
            await following.run()

    def _prepare(self) -> tuple[Image, Writing]:
        """Make the map, and the image of registers that masters read."""
        if self._map is None:
            self._map = load_map(self._context, self._settings)
        writing = Writing(self._context, self._rights, self._map, reset=self._settings.reset_by_coil)
        return Image(self._map, self._hidden()), writing

    def _hidden(self) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        """Return which variables masters may not read, shape (variables,): the image is one for all masters."""
        reader = self._rights.reader()
        roles = [variable.declaration.read_role for variable in self._context.plant.variables]
        allowed = {role: reader.has(role) for role in set(roles)}
        return np.array([not allowed[role] for role in roles], np.bool_)

    def _tls(self) -> ssl.SSLContext:
        """Return a context that asks for client certificates (Modbus/TCP Security 5.1, 6)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._context.certificate_file, self._context.private_key_file)
        context.load_verify_locations(self._settings.tls.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


async def _beat(image: Image) -> None:
    began = time.monotonic()
    while True:
        image.beat(int(time.monotonic() - began) & 0xFFFF)
        await asyncio.sleep(_BEAT_S)
