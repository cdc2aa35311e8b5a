"""Certificates on the audit trail: accepted, or refused with the reason that the client is not told."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from server.assembly import Plantree
from server.audit_trail import AuditTrail
from tests.server.opcua.opcua_rig import PASSWORD, session, small_server
from tests.server.opcua_events.events_rig import OP, event_filter, literal, watch, where
from tests.server.security import pki_builder as pki

pytestmark = pytest.mark.asyncio(loop_scope="module")

_IDS = ua.ObjectIds
CERTIFICATES = where((OP.OfType, literal(ua.NodeId(_IDS.AuditCertificateEventType))))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plantree(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plantree]:
    async with small_server(tmp_path_factory.mktemp("audit_certificates")) as plantree:
        await asyncio.to_thread(plantree.users.add, "Operator", PASSWORD, ["Operator"])
        yield plantree


async def client_of(plantree: Plantree, folder: Path, certificate: Any, name: str, uri: str = pki.URI) -> Client:
    """Return a client that has not connected yet."""
    (folder / "client.der").write_bytes(pki.der(certificate))
    key = pki.key(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "client.pem").write_bytes(key)
    client = Client(f"opc.tcp://127.0.0.1:{plantree.opcua.port}/plantree", timeout=20)
    client.application_uri = uri
    await client.set_security(
        SecurityPolicyBasic256Sha256,
        certificate=str(folder / "client.der"),
        private_key=str(folder / "client.pem"),
        server_certificate=str(plantree.own.certificate_file),
        mode=ua.MessageSecurityMode.SignAndEncrypt,
    )
    client.set_user("Operator")
    client.set_password(PASSWORD)
    return client


@pytest.mark.parametrize(
    ("trusted", "days", "uri", "kind", "status"),
    [
        (False, 30, pki.URI, "AuditCertificateUntrustedEventType", "BadCertificateUntrusted"),
        (True, -1, pki.URI, "AuditCertificateExpiredEventType", "BadCertificateTimeInvalid"),
        (True, 30, "urn:other", "AuditCertificateDataMismatchEventType", "BadCertificateUriInvalid"),
    ],
)
async def test_a_refusal_says_why(
    plantree: Plantree, tmp_path: Path, trusted: bool, days: int, uri: str, kind: str, status: str
) -> None:
    name = f"client{days}{len(uri)}{trusted}"
    certificate = pki.make(name, private_key=pki.key(name), start=pki.NOW - 60 * pki.DAY, end=pki.NOW + days * pki.DAY)
    if trusted:
        (tmp_path / "given.der").write_bytes(pki.der(certificate))
        plantree.trust.trust(str(tmp_path / "given.der"))
    async with session(plantree, "SecurityAdmin") as auditor:
        fields = ["EventType", "StatusCodeId", "Status", "Certificate", "SourceName", "Message"]
        seen = await watch(auditor, event_filter(fields, CERTIFICATES))
        with pytest.raises(ua.UaStatusCodeError):
            await (await client_of(plantree, tmp_path, certificate, name, uri)).connect()
        await seen.until(lambda: len(seen.rows) >= 1)
        event_type, code, good, der, source, message = seen.rows[0]
        assert event_type == ua.NodeId(getattr(_IDS, kind))
        assert (ua.StatusCode(code.value).name, good, source) == (status, False, "Security/Certificate")
        assert der == pki.der(certificate)
        assert "refused" in message.Text


async def test_what_was_accepted_is_told_with_the_session(plantree: Plantree, tmp_path: Path) -> None:
    certificate = pki.make("good", private_key=pki.key("good"))
    (tmp_path / "given.der").write_bytes(pki.der(certificate))
    plantree.trust.trust(str(tmp_path / "given.der"))
    async with session(plantree, "SecurityAdmin") as auditor:
        seen = await watch(auditor, event_filter(["EventType", "Status", "Certificate"], CERTIFICATES))
        sessions = await watch(
            auditor,
            event_filter(
                ["ClientCertificateThumbprint", "Status"],
                where((OP.OfType, literal(ua.NodeId(_IDS.AuditCreateSessionEventType)))),
            ),
        )
        async with await client_of(plantree, tmp_path, certificate, "good"):
            await seen.until(lambda: len(seen.rows) == 1)
            await sessions.until(lambda: len(sessions.rows) == 1)
        der = pki.der(certificate)
        assert seen.rows == [[ua.NodeId(_IDS.AuditCertificateEventType), True, der]]
        assert sessions.rows == [[hashlib.sha1(der, usedforsecurity=False).hexdigest(), True]]
        kinds = [str(it.kind) for it in AuditTrail(plantree.state.path).read()]
        assert {"open channel", "create session", "activate session", "certificate"} <= set(kinds)
