"""A gateway as the supervisor runs it, in the server or alone."""

from functools import partial
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives.serialization import Encoding

from server import logs
from server.ports import Gateway, GatewayContext
from server.security.certificates import OwnCertificate
from server.settings import SettingsError
from server.supervision import StartPolicy, describe

log = logs.get(__name__)


class GatewaySettings(Protocol):
    """What the settings of every gateway have."""

    @property
    def enabled(self) -> bool:
        """Whether it runs at all."""
        ...

    @property
    def startup(self) -> StartPolicy:
        """What happens when it cannot start."""
        ...


class GatewayPackage(Protocol):
    """What the package of every gateway has."""

    def create(self, context: GatewayContext, settings: Any, /) -> Gateway:
        """Make the gateway; no I/O yet."""
        ...


def pem_copy(own: OwnCertificate, file: Path) -> Path:
    """Write a certificate as PEM, which TLS libraries read: the server's own file is DER, as OPC UA wants it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(own.certificate.public_bytes(Encoding.PEM))
    return file


class GatewayPart:
    """One gateway as the supervisor runs it: whatever it raises, from its making on, is its own failure.

    SettingsError is the user's, though, and stops the server's start.
    """

    def __init__(self, package: GatewayPackage, context: GatewayContext, settings: GatewaySettings) -> None:
        self.status = context.status
        self.startup: StartPolicy = settings.startup
        self._create = partial(package.create, context, settings)
        self._gateway: Gateway | None = None
        try:
            # Now, not at its first run: its journal cursor must see everything from the start on.
            self._gateway = self._create()
        except SettingsError:
            raise
        except Exception as error:  # noqa: BLE001  its first run tries again, and tells
            log.error("gateway could not be made", gateway=context.name, error=describe(error))

    async def run(self) -> None:
        """Run it; its status shows why it ended."""
        try:
            if self._gateway is None:
                self._gateway = self._create()
            await self._gateway.run()
        except Exception as error:
            self.status.last_error = describe(error)
            raise
        finally:
            self.status.connected = False
