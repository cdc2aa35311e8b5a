"""Modbus/TCP Security: TLS, client certificates, and the role in them."""

import asyncio
import datetime as dt
import ssl
import struct
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateways.modbus import addresses as places
from gateways.modbus.settings import TlsSettings
from tests.gateways.modbus.modbus_rig import make_context, running
from tests.gateways.mqtt.mosquitto_rig import write_authority, write_certificate
from tests.server.core_rig import OPERATOR, Core

ROLE = x509.ObjectIdentifier("1.3.6.1.4.1.50316.802.1")


def client_certificate(folder: Path, name: str, authority: Any, role: str | None) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )
    if role is not None:
        text = role.encode()
        builder = builder.add_extension(
            x509.UnrecognizedExtension(ROLE, b"\x0c" + bytes((len(text),)) + text), critical=False
        )
    files = folder / f"{name}.pem", folder / f"{name}.key"
    files[0].write_bytes(builder.sign(authority[1], hashes.SHA256()).public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


async def ask(port: int, ca: Path, files: tuple[Path, Path] | None, pdu: bytes) -> bytes:
    """Send one request over TLS and return the answer's PDU."""
    context = ssl.create_default_context(cafile=str(ca))
    context.check_hostname = False
    if files is not None:
        context.load_cert_chain(*files)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(struct.pack(">HHHB", 9, 0, 1 + len(pdu), 1) + pdu)
        async with asyncio.timeout(5):
            head = await reader.readexactly(7)
            return await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("shift", "good"),
        ("Operator", "good"),
        ("Observer", "refused"),
        ("visitor", "refused"),
        (None, "refused"),
        ("", "no certificate"),
    ],
)
async def test_the_role_in_the_certificate_decides(tmp_path: Path, role: str | None, expected: str) -> None:
    core = Core(tmp_path)
    authority = write_authority(tmp_path)
    own = write_certificate(tmp_path, "own", authority, ["127.0.0.1"])
    assert own == (tmp_path / "own.pem", tmp_path / "own.key")
    files = None if expected == "no certificate" else client_certificate(tmp_path, "client", authority, role)
    context = make_context(tmp_path, core.plant, core.store, core.commands, {"olga": OPERATOR})
    tls = TlsSettings(enabled=True, port=0, ca=tmp_path / "ca.pem", roles=["shift=olga"])
    async with running(context, tls=tls) as gateway:
        at = gateway.map.place(places.HOLDING, "Plant.Press1.Target").address
        write = struct.pack(">BHHB", 16, at, 4, 8) + struct.pack(">d", 42.0)
        asked = ask(gateway.gateway.ports[1], tmp_path / "ca.pem", files, write)
        if expected == "no certificate":
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await asked
        else:
            answer = await asked
            assert answer == (struct.pack(">BHH", 16, at, 4) if expected == "good" else b"\x90\x01")
        assert core.value("Press1.Target") == (42.0 if expected == "good" else 10.0)
    core.close()
