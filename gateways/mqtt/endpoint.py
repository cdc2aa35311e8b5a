"""Where a broker is: `mqtts://user:password@host:8883` taken apart."""

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

_DEFAULT_PORTS = {"mqtts": 8883, "mqtt": 1883}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A broker's address and the user to be there; str() of it holds no password."""

    host: str
    port: int
    tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether what is sent there stays on this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"


def parse(url: str) -> Endpoint:
    """Take a URL apart; raises ValueError with a sentence that holds no password."""
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError("must be mqtts://host:port, or mqtt://host:port without encryption")
    if not parts.hostname:
        raise ValueError("names no host: mqtts://user:password@host:8883")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("takes nothing behind the port; reserved characters of a password are written %XX")
    try:
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
    except ValueError:
        raise ValueError("has a port that is no number from 1 to 65535") from None
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password is not None else None
    return Endpoint(parts.hostname, port, parts.scheme == "mqtts", user, password)
