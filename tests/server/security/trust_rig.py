"""What the tests of trust share: certificates put into folders, and a refusal to look at."""

from pathlib import Path

import pytest
from asyncua import ua
from asyncua.crypto.cert_gen import generate_self_signed_app_certificate
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from server.security.trust import CertificateRefused, TrustList

from . import pki_builder as pki


def application(uri: str = pki.URI) -> ua.ApplicationDescription:
    return ua.ApplicationDescription(ApplicationUri=uri, ApplicationType=ua.ApplicationType.Client)


def put(tmp_path: Path, folder: str, certificate: x509.Certificate) -> Path:
    file = tmp_path / folder / f"{certificate.serial_number}.der"
    file.write_bytes(pki.der(certificate))
    return file


async def refusal(trust: TrustList, certificate: x509.Certificate, uri: str = pki.URI) -> CertificateRefused:
    with pytest.raises(CertificateRefused) as caught:
        await trust.validate(certificate, application(uri))
    return caught.value


def self_signed_ca_true() -> x509.Certificate:
    """Make what asyncua's generator does, and node-opcua: an application's certificate that says it is a CA."""
    return generate_self_signed_app_certificate(
        pki.key(), "asyncua", {}, [x509.UniformResourceIdentifier(pki.URI)], [ExtendedKeyUsageOID.CLIENT_AUTH]
    )
