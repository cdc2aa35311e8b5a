"""Who a master is and what it may do: by its network, or by the certificate that it showed."""

import ipaddress
from typing import Protocol

from cryptography import x509

from address_space.model import Role
from gateways.modbus.roles import role_of
from gateways.modbus.settings import ModbusSettings
from server import logs
from server.ports import Identities
from server.security.principal import Principal, authenticated
from server.security.roles import parse_roles

log = logs.get(__name__)

_STRANGER = "modbus"
_NO_ROLES: frozenset[Role] = frozenset()


class Master(Protocol):
    """What is known of a master: its IP address, and its certificate (DER) on a TLS connection."""

    peer: str
    certificate: bytes | None


class Rights:
    """The one place that decides what a master may do."""

    def __init__(self, identities: Identities, settings: ModbusSettings) -> None:
        self._identities = identities
        self._user = settings.user
        self._writers = [ipaddress.ip_network(network) for network in settings.write_from]
        self._stoppers = [ipaddress.ip_network(network) for network in settings.stop_from]
        self._users = dict(entry.split("=", 1) for entry in settings.tls.roles)

    def may_write(self, master: Master) -> bool:
        """Whether set-points and commands of this master are looked at; what it may change is its principal's role."""
        return master.certificate is not None or _within(master.peer, self._writers)

    def may_stop(self, master: Master) -> bool:
        """Whether an EmergencyStop coil of this master is looked at."""
        return master.certificate is not None or _within(master.peer, self._stoppers)

    def principal(self, master: Master) -> Principal:
        """Return whose rights a master has: a user's, or those of the role in its certificate."""
        if master.certificate is None:
            return self.reader()
        role = role_of(master.certificate)
        name = _common_name(master.certificate)
        if role in self._users:
            return self._named(self._users[role]) or authenticated(name, _NO_ROLES)
        try:
            return authenticated(name, parse_roles([role]) if role else _NO_ROLES)
        except ValueError:
            log.warning("the role in a master's certificate is none of Plantree's", role=role, master=name)
            return authenticated(name, _NO_ROLES)

    def reader(self) -> Principal:
        """Return whose rights masters without TLS have, and for whom the registers are filled."""
        return (self._named(self._user) if self._user else None) or authenticated(_STRANGER, _NO_ROLES)

    def _named(self, user: str) -> Principal | None:
        known = self._identities.named(user)
        if known is None:
            log.warning("modbus acts as a user that there is not: its masters may only stop", user=user)
        return known


def _within(peer: str, networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped  # a master that reached an IPv6 listener over IPv4
    return any(address in network for network in networks)


def _common_name(der: bytes) -> str:
    names = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value) if names else _STRANGER
