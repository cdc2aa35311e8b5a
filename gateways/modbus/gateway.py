"""Modbus TCP served from the tree: the listeners, and the image that follows the journal."""

import asyncio
import contextlib
import ssl
import time

from gateways.delivery import snapshot
from gateways.modbus.image import Image
from gateways.modbus.lock import load_map
from gateways.modbus.protocol import Server
from gateways.modbus.settings import ModbusSettings
from gateways.modbus.writing import Writing
from server import logs
from server.ports import GatewayContext

log = logs.get(__name__)

_BEAT_S = 1.0


class ModbusGateway:
    """The gateway; raises MapError when the plant does not fit the registers."""

    def __init__(self, context: GatewayContext, settings: ModbusSettings) -> None:
        self._context = context
        self._settings = settings
        self.map = load_map(context, settings)
        self.ports: tuple[int, ...] = ()
        """The TCP ports that it listens on, once it does: the plain one, and that of TLS."""
        self._image = Image(self.map, context.store)
        self._writing = Writing(context, settings, self.map, self._image)

    async def run(self) -> None:
        """Serve until cancelled; raises OSError when a port cannot be had."""
        server = Server(self._image, self._writing.handle, self._writing.coils, self._settings.max_connections)
        cursor = self._context.store.journal.cursor("modbus")
        self._image.update(snapshot(self._context.store))
        loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(cursor.close)
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
            beating = asyncio.create_task(self._beat())
            stack.callback(beating.cancel)
            lost = 0
            while True:
                await cursor.wait()
                batch = cursor.read(max_rows=self._context.store.journal.rows)
                self._image.update(batch)
                self._context.status.delivered += len(batch)
                if cursor.lost != lost:  # the present values are all that a mirror needs
                    lost = cursor.lost
                    self._image.update(snapshot(self._context.store))
                await asyncio.sleep(0)

    async def _beat(self) -> None:
        began = time.monotonic()
        while True:
            self._image.beat(int(time.monotonic() - began) & 0xFFFF)
            await asyncio.sleep(_BEAT_S)

    def _tls(self) -> ssl.SSLContext:
        """Return a context that asks for client certificates (Modbus/TCP Security 5.1, 6)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._context.certificate_file, self._context.private_key_file)
        context.verify_mode = ssl.CERT_REQUIRED
        if self._settings.tls.ca is None:
            raise ValueError("modbus.tls.enabled needs modbus.tls.ca: the CA that clients' certificates are from")
        context.load_verify_locations(self._settings.tls.ca)
        return context
