import os
import time
from pathlib import Path

import pytest
from asyncua import Client, Server, ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from server.security import load_or_create
from server.security.trust import CertificateRefused, TrustError, TrustList

from . import pki_builder as pki
from .trust_rig import application, put, refusal, self_signed_ca_true

Code = ua.StatusCodes


@pytest.mark.parametrize(
    "certificate",
    [
        pki.make(key_usage=pki.UAEXPERT, constraints=x509.BasicConstraints(ca=False, path_length=None)),
        self_signed_ca_true(),
        pki.make(key_usage=None, extended=(), constraints=x509.BasicConstraints(ca=True, path_length=None)),
        pki.make(extended=(ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)),
    ],
    ids=["UaExpert", "asyncua and node-opcua", "one openssl command", "client and server"],
)
async def test_usual_clients_are_accepted_once_trusted(
    trust: TrustList, tmp_path: Path, certificate: x509.Certificate
) -> None:
    assert (await refusal(trust, certificate)).status == Code.BadCertificateUntrusted
    put(tmp_path, "trusted", certificate)
    await trust.validate(certificate, application())
    assert trust.refusals == 1


async def test_pem_counts_as_well(trust: TrustList, tmp_path: Path) -> None:
    certificate = pki.make()
    (tmp_path / "trusted" / "client.crt").write_bytes(pki.pem(certificate))
    await trust(certificate, application())


async def test_trust_taken_back_counts_at_once(trust: TrustList, tmp_path: Path) -> None:
    certificate = pki.make()
    file = put(tmp_path, "trusted", certificate)
    await trust.validate(certificate, application())
    file.unlink()
    assert (await refusal(trust, certificate)).status == Code.BadCertificateUntrusted


async def test_a_file_written_over_counts_at_once(trust: TrustList, tmp_path: Path) -> None:
    first, second = pki.make("first"), pki.make("second", private_key=pki.key("second"))
    file = put(tmp_path, "trusted", first)
    await trust.validate(first, application())
    file.write_bytes(pki.der(second))
    await trust.validate(second, application())
    await refusal(trust, first)


async def test_a_file_that_is_no_certificate_disturbs_nobody(trust: TrustList, tmp_path: Path) -> None:
    (tmp_path / "trusted" / "broken.der").write_bytes(b"nonsense")
    (tmp_path / "crl" / "broken.crl").write_bytes(b"nonsense")
    certificate = pki.make()
    put(tmp_path, "trusted", certificate)
    await trust.validate(certificate, application())


OLD = {"start": pki.NOW - 3 * pki.DAY, "end": pki.NOW - pki.DAY}


@pytest.mark.parametrize(
    ("certificate", "status", "told"),
    [
        (pki.make(**OLD), Code.BadCertificateTimeInvalid, Code.BadCertificateTimeInvalid),
        (pki.make(start=pki.NOW + pki.DAY), Code.BadCertificateTimeInvalid, Code.BadCertificateTimeInvalid),
        (pki.make(uri="urn:other"), Code.BadCertificateUriInvalid, Code.BadCertificateUriInvalid),
        (pki.make(uri=None), Code.BadCertificateUriInvalid, Code.BadCertificateUriInvalid),
        (
            pki.make(extended=(ExtendedKeyUsageOID.SERVER_AUTH,)),
            Code.BadCertificateUseNotAllowed,
            Code.BadCertificateUseNotAllowed,
        ),
        (
            pki.make(key_usage=pki.usage(key_cert_sign=True, crl_sign=True)),
            Code.BadCertificateUseNotAllowed,
            Code.BadCertificateUseNotAllowed,
        ),
        (
            pki.make(key_usage=pki.usage(digital_signature=True)),
            Code.BadCertificateUseNotAllowed,
            Code.BadCertificateUseNotAllowed,
        ),
        (
            pki.make(private_key=pki.key("short", 1024)),
            Code.BadCertificatePolicyCheckFailed,
            Code.BadSecurityChecksFailed,
        ),
        (
            pki.make(private_key=ec.generate_private_key(ec.SECP256R1())),  # type: ignore[arg-type]
            Code.BadCertificatePolicyCheckFailed,
            Code.BadSecurityChecksFailed,
        ),
        (
            pki.make(extra=((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True),)),
            Code.BadCertificateInvalid,
            Code.BadSecurityChecksFailed,
        ),
    ],
    ids=[
        "expired",
        "not yet valid",
        "other URI",
        "no URI",
        "for servers",
        "for CAs",
        "no encipherment",
        "short key",
        "no RSA",
        "unknown critical extension",
    ],
)
async def test_refused_although_trusted(
    trust: TrustList, tmp_path: Path, certificate: x509.Certificate, status: int, told: int
) -> None:
    put(tmp_path, "trusted", certificate)
    refused = await refusal(trust, certificate)
    assert refused.status == status
    assert refused.code == told
    assert list((tmp_path / "rejected").iterdir()) == []


SHA1_SIGNED = """
-----BEGIN CERTIFICATE-----
MIIDGzCCAgOgAwIBAgIUPBPkrJWuJqNe1x3Xxtex7rk9PC4wDQYJKoZIhvcNAQEF
BQAwDjEMMAoGA1UEAwwDb2xkMCAXDTI2MTEyMTAzNDE1N1oYDzIxMjYxMDI4MDM0
MTU3WjAOMQwwCgYDVQQDDANvbGQwggEiMA0GCSqGSIb3DQEBAQUAA4IBDwAwggEK
AoIBAQDVU6TAtOjlCSv/4AK+fgCdhYkb+6XSFwJimiwx9TluP+N8Wf7Y7F5PaLHB
0bOckONRdi5e8D1rMWwEudtnriAqfNEYu/r1yARv3fGuC3iTGzXaTiS5W7LcihCz
l6IC2fM0ZVfxaJvRdi5TBt1uofVHjDHxNbF/JWLPJDRuHBRbmnb4/FNhV+FKCdRi
/w414CSaQaUNgTnrizfgSFZJ4d/+8LT/IVd4sUgaffjQvwvFN/0SGTMmPtSuVDac
VYLDZt+xdRwgHli7KL5CEPTiiHgx7Eh+PEwiTQtlMeD7Xf+fhFOuMZDwx5zZ/QpW
K3GlcZ2f+At9K641xs5VAB+ZFx1JAgMBAAGjbzBtMB0GA1UdDgQWBBSRFOLTs5s/
e3ILIjQP7yhbsfAj8jAfBgNVHSMEGDAWgBSRFOLTs5s/e3ILIjQP7yhbsfAj8jAP
BgNVHRMBAf8EBTADAQH/MBoGA1UdEQQTMBGGD3Vybjp0ZXN0OmNsaWVudDANBgkq
hkiG9w0BAQUFAAOCAQEAhnSb/3g7aa3ANMoAG0FeKzbWHnmDrXo0PVkwzz3UEj9m
yt61i/R8jO98ORTxRjIqJ9RgBUSyFgAJ8JLTzTLA8zwXhNUbm4Mx/uz5ogiFZfIO
u01sa6uHcAWt28V4NjShNV+gcnVTAiGuH95juFJU/0QsaM9SUX5Lkbmqkf14/2rw
nqLOXzdRBCIKZLhF5TRcMYNZskY3yGDFxzcwDi+5fnm5LEk5+TY4Sufa24RghQ5h
6AsWvog7bVg7wZ7kRLahc7/bKPlaVRVnOR1Fv9xCzBjzD0RpIH4NnOx/KkuuAgAD
oCGyX0KVq68MVaeHKsNe0/1b1tlZfQ+KAV9sDuSxpA==
-----END CERTIFICATE-----
"""


async def test_signed_with_sha1(trust: TrustList, tmp_path: Path) -> None:
    certificate = x509.load_pem_x509_certificate(SHA1_SIGNED.encode())
    put(tmp_path, "trusted", certificate)
    refused = await refusal(trust, certificate)
    assert refused.status == Code.BadCertificatePolicyCheckFailed
    assert "SHA1" in refused.reason


async def test_a_forged_self_signature(trust: TrustList) -> None:
    data = bytearray(pki.der(pki.make()))
    data[-1] ^= 1
    refused = await refusal(trust, x509.load_der_x509_certificate(bytes(data)))
    assert refused.status == Code.BadCertificateInvalid
    assert refused.code == Code.BadSecurityChecksFailed


async def test_untrusted_is_told_as_the_standard_says(trust: TrustList) -> None:
    refused = await refusal(trust, pki.make())
    assert isinstance(refused, ServiceError)
    assert refused.code == Code.BadSecurityChecksFailed


async def test_without_a_description_the_uri_is_not_compared(trust: TrustList, tmp_path: Path) -> None:
    certificate = pki.make(uri="urn:other")
    put(tmp_path, "trusted", certificate)
    await trust.validate(certificate)


class TestSession:
    async def test_the_channels_certificate(self, trust: TrustList, tmp_path: Path) -> None:
        certificate = pki.make()
        put(tmp_path, "trusted", certificate)
        await trust.validate_session(pki.der(certificate), pki.der(certificate), application())

    async def test_the_certificate_of_somebody_else(self, trust: TrustList, tmp_path: Path) -> None:
        known, mine = pki.make("known"), pki.make("mine", private_key=pki.key("mine"))
        put(tmp_path, "trusted", known)
        with pytest.raises(CertificateRefused, match="not the secure channel's certificate") as caught:
            await trust.validate_session(pki.der(mine), pki.der(known), application())
        assert caught.value.code == Code.BadSecurityChecksFailed

    @pytest.mark.parametrize("sent", [None, b"", b"nonsense", b"\x30\x80", b"\x30"])
    async def test_no_certificate(self, trust: TrustList, tmp_path: Path, sent: bytes | None) -> None:
        certificate = pki.make()
        put(tmp_path, "trusted", certificate)
        with pytest.raises(CertificateRefused):
            await trust.validate_session(pki.der(certificate), sent, application())
        with pytest.raises(CertificateRefused):
            await trust.validate_session(sent, pki.der(certificate), application())


class TestRejected:
    async def test_a_refused_certificate_is_kept_and_can_be_trusted(
        self, trust: TrustList, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        certificate = pki.make("UaExpert@desk")
        await refusal(trust, certificate)
        (stored,) = trust.list()
        assert stored.folder == "rejected"
        assert stored.file.name == f"UaExpert@desk [{stored.thumbprint}].der"
        assert stored.file.read_bytes() == pki.der(certificate)
        assert f"python -m server certs trust {stored.thumbprint}" in caplog.text
        trust.trust(stored.thumbprint[:8].lower())
        await trust.validate(certificate, application())
        trust.reject("UaExpert@desk")
        assert (await refusal(trust, certificate)).status == Code.BadCertificateUntrusted

    async def test_the_same_again_is_logged_once(self, trust: TrustList, caplog: pytest.LogCaptureFixture) -> None:
        certificate = pki.make()
        for _ in range(5):
            await refusal(trust, certificate)
        assert len([record for record in caplog.records if "refused" in str(record.msg)]) == 1
        assert trust.refusals == 5

    async def test_only_the_newest_are_kept(self, trust: TrustList, tmp_path: Path) -> None:
        for number in range(55):
            file = tmp_path / "rejected" / f"old{number}.der"
            file.write_bytes(b"x")
            os.utime(file, (time.time() - 1000 + number, time.time() - 1000 + number))
        await refusal(trust, pki.make("newest"))
        names = {file.name for file in (tmp_path / "rejected").iterdir()}
        assert len(names) == 50
        assert any(name.startswith("newest") for name in names)
        assert "old54.der" in names
        assert "old5.der" not in names

    async def test_a_name_meant_to_harm(
        self, trust: TrustList, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        await refusal(trust, pki.make("../../own/\x1b[31m\nx"))
        (file,) = (tmp_path / "rejected").iterdir()
        assert file.name.startswith("_.._own___31m_x [")
        assert "\x1b" not in caplog.text

    async def test_a_folder_that_cannot_be_written_refuses_all_the_same(self, trust: TrustList, tmp_path: Path) -> None:
        (tmp_path / "rejected").rmdir()
        assert (await refusal(trust, pki.make())).status == Code.BadCertificateUntrusted

    def test_names_that_mean_none_or_several(self, trust: TrustList, tmp_path: Path) -> None:
        with pytest.raises(TrustError, match="there is no certificate 'client' among the rejected ones"):
            trust.trust("client")
        put(tmp_path, "rejected", pki.make())
        put(tmp_path, "rejected", pki.make())
        with pytest.raises(
            TrustError, match=r"several certificates are called 'client': name one by its thumbprint: \w{40}"
        ):
            trust.trust("client")

    async def test_a_file_from_elsewhere_is_copied(self, trust: TrustList, tmp_path: Path) -> None:
        certificate = pki.make()
        given = tmp_path / "given.pem"
        given.write_bytes(pki.pem(certificate))
        trust.trust(str(given))
        assert given.exists()
        await trust.validate(certificate, application())
        given.write_bytes(b"nonsense")
        with pytest.raises(TrustError, match=r"given\.pem is no X\.509 certificate"):
            trust.trust(str(given))


async def test_a_real_client_against_a_real_server(tmp_path: Path) -> None:
    """A client of asyncua over Basic256Sha256: refused, kept, trusted without a restart, connected."""
    own = load_or_create(tmp_path, "urn:test:server")
    trust = TrustList(tmp_path)
    server = Server()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0")
    await server.set_application_uri(own.application_uri)
    server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    await server.load_certificate(str(own.certificate_file))
    await server.load_private_key(str(own.private_key_file))
    server.set_certificate_validator(trust.validate)

    (tmp_path / "client.der").write_bytes(pki.der(pki.make()))
    pem = pki.key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "client.pem").write_bytes(pem)

    async with server:
        assert server.bserver is not None
        port = server.bserver._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]

        async def connect() -> None:
            client = Client(f"opc.tcp://127.0.0.1:{port}")
            client.application_uri = pki.URI
            await client.set_security(
                SecurityPolicyBasic256Sha256,
                certificate=str(tmp_path / "client.der"),
                private_key=str(tmp_path / "client.pem"),
                server_certificate=str(own.certificate_file),
            )
            async with client:
                await client.get_namespace_array()

        with pytest.raises(ua.UaStatusCodeError) as caught:
            await connect()
        assert caught.value.code == Code.BadSecurityChecksFailed
        trust.trust("client")
        await connect()
