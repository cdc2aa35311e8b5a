"""Makes certificates and revocation lists as the clients and CAs of the tests have them."""

import datetime as dt
import functools
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

URI = "urn:test:client"
NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


@functools.cache
def key(name: str = "client", bits: int = 2048) -> rsa.RSAPrivateKey:
    """One key a name: making them is what takes time."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def name_of(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def usage(**bits: bool) -> x509.KeyUsage:
    every = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(**(every | bits))


APPLICATION = usage(digital_signature=True, content_commitment=True, key_encipherment=True, data_encipherment=True)
UAEXPERT = usage(
    digital_signature=True,
    content_commitment=True,
    key_encipherment=True,
    data_encipherment=True,
    key_cert_sign=True,
)
CA = usage(digital_signature=True, key_cert_sign=True, crl_sign=True)


@dataclass(frozen=True)
class Issuer:
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey


def make(
    common_name: str = "client",
    *,
    uri: str | None = URI,
    issuer: Issuer | None = None,
    private_key: rsa.RSAPrivateKey | None = None,
    start: dt.datetime = NOW - DAY,
    end: dt.datetime = NOW + 30 * DAY,
    constraints: x509.BasicConstraints | None = None,
    key_usage: x509.KeyUsage | None = UAEXPERT,
    extended: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.CLIENT_AUTH,),
    extra: tuple[tuple[x509.ExtensionType, bool], ...] = (),
) -> x509.Certificate:
    private_key = private_key or key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name_of(common_name))
        .issuer_name(issuer.certificate.subject if issuer else name_of(common_name))
        .public_key(private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    if uri is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), False)
    if constraints is not None:
        builder = builder.add_extension(constraints, True)
    if key_usage is not None:
        builder = builder.add_extension(key_usage, True)
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), False)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer.key if issuer else private_key, hashes.SHA256())


def make_ca(
    common_name: str = "Test CA",
    *,
    issuer: Issuer | None = None,
    path_length: int | None = None,
    end: dt.datetime = NOW + 365 * DAY,
    key_usage: x509.KeyUsage | None = CA,
    is_ca: bool = True,
) -> Issuer:
    own = key(common_name)
    certificate = make(
        common_name,
        uri=None,
        issuer=issuer,
        private_key=own,
        end=end,
        constraints=x509.BasicConstraints(ca=is_ca, path_length=path_length if is_ca else None),
        key_usage=key_usage,
        extended=(),
    )
    return Issuer(certificate, own)


def make_crl(issuer: Issuer, *revoked: x509.Certificate, signed_by: rsa.RSAPrivateKey | None = None) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(NOW - DAY)
        .next_update(NOW + DAY)
    )
    for certificate in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(NOW).build()
        )
    return builder.sign(signed_by or issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)
