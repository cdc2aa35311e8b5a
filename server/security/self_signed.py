"""Makes a self-signed application instance certificate (OPC 10000-6 6.2.2)."""

import datetime as dt
import ipaddress
import re
import socket
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_HOST_NAME = re.compile(r"[A-Za-z0-9_*-]+(\.[A-Za-z0-9_-]+)*\.?")


def host_general_names(extra: Iterable[str] = ()) -> list[x509.GeneralName]:
    """Names and addresses under which clients reach this host, and `extra` ones; each once.

    ValueError names an `extra` that is neither a host name nor an IP address.
    """
    host = socket.gethostname()
    names = dict.fromkeys([host, "localhost", "127.0.0.1", "::1", *_own_addresses(host), *extra])
    return [_general_name(name) for name in names if name]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        ascii_name = name.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ValueError(f"{name!r} is neither a host name nor an IP address") from error
    if not _HOST_NAME.fullmatch(ascii_name):
        raise ValueError(f"{name!r} is neither a host name nor an IP address")
    return x509.DNSName(ascii_name)


def _own_addresses(host: str) -> list[str]:
    addresses: list[str] = []
    try:
        addresses += [str(info[4][0]).split("%")[0] for info in socket.getaddrinfo(host, None)]
    except OSError:
        addresses += []  # a host name that nothing resolves: the route below may still tell the address
    for family, somewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            # Connecting a UDP socket sends nothing; it only picks the address of the route.
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((somewhere, 9))
                addresses.append(str(probe.getsockname()[0]))
        except OSError:
            continue  # no route of this family
    return addresses


def self_signed(
    key: rsa.RSAPrivateKey, uri: str, names: list[x509.GeneralName], validity: dt.timedelta
) -> x509.Certificate:
    """Make a self-signed application instance certificate as OPC 10000-6 6.2.2 wants it.

    keyCertSign with CA:FALSE looks odd but is that clause's: self-signed certificates shall have the bit, and
    an application's certificate is no CA.
    """
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "Plantree"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Plantree")]
    )
    # Clients' clocks may be a little behind.
    start = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(minutes=5)
    serial = x509.random_serial_number()
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_cert_sign=True,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=subject, serial_number=serial)
        .public_key(key.public_key())
        .not_valid_before(start)
        .not_valid_after(start + validity)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), *names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier(identifier.digest, [x509.DirectoryName(subject)], serial), critical=False
        )
        .sign(key, hashes.SHA256())
    )
