"""X.509 certificates: reading files, naming, and the checks that need nothing but the certificate."""

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

CERTIFICATE_SUFFIXES = frozenset({".der", ".pem", ".crt", ".cer"})
CRL_SUFFIXES = CERTIFICATE_SUFFIXES | {".crl"}

SMALLEST_KEY, LARGEST_KEY = 2048, 4096  # RSA bits, of every policy from Basic256Sha256 on (OPC 10000-7)
_WEAK_HASHES = (hashes.SHA1, hashes.MD5)

# Critical extensions that the checks here know; RFC 5280 4.2: any other critical one refuses the certificate.
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    }
)


class CertificateFileError(Exception):
    """A file is no certificate; str() is one clear sentence."""


def certificate_files(folder: Path, suffixes: frozenset[str] = CERTIFICATE_SUFFIXES) -> list[Path]:
    """List the certificate files of a folder by name; none where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(
        file for file in folder.iterdir() if file.suffix.lower() in suffixes and not file.name.startswith(".")
    )


def read_certificate(file: Path) -> x509.Certificate:
    """Read the first certificate of a DER or PEM file, told by its content; CertificateFileError on failure."""
    try:
        return parse_certificate(file.read_bytes())
    except OSError as error:
        raise CertificateFileError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CertificateFileError(f"{file} is no X.509 certificate in DER or PEM form") from error


def read_crl(file: Path) -> x509.CertificateRevocationList:
    """Read the revocation list of a DER or PEM file; CertificateFileError where it is none."""
    try:
        data = file.read_bytes()
        return x509.load_pem_x509_crl(data) if b"-----BEGIN X509 CRL" in data else x509.load_der_x509_crl(data)
    except OSError as error:
        raise CertificateFileError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CertificateFileError(f"{file} is no X.509 revocation list in DER or PEM form") from error


def parse_certificate(data: bytes) -> x509.Certificate:
    """One certificate from DER or PEM bytes, with extensions that can be read; ValueError where it is none."""
    pem = b"-----BEGIN CERTIFICATE-----" in data
    certificate = x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)
    _ = certificate.extensions  # parsed lazily: a broken one must fail here
    return certificate


def split_chain(der: bytes) -> list[x509.Certificate]:
    """Take a chain apart as it goes over the wire: DER after DER, the leaf first (OPC 10000-6 6.2.6).

    ValueError when a part is no certificate or the chain has more than 10.
    """
    certificates: list[x509.Certificate] = []
    while der:
        if len(certificates) == 10:
            raise ValueError("more than 10 certificates")
        length = _der_length(der)
        certificates.append(parse_certificate(der[:length]))
        der = der[length:]
    return certificates


def _der_length(der: bytes) -> int:
    """Bytes of the ASN.1 SEQUENCE that starts here (X.690 8.1.3)."""
    if len(der) < 2 or der[0] != 0x30:
        raise ValueError("no ASN.1 SEQUENCE")
    if der[1] < 0x80:
        return 2 + der[1]
    octets = der[1] & 0x7F
    return 2 + octets + int.from_bytes(der[2 : 2 + octets], "big")


def thumbprint(certificate: x509.Certificate) -> str:
    """SHA-1 of the DER form in hex: how OPC UA names a certificate (OPC 10000-4 7.3), no proof of anything."""
    return certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303


def common_name(certificate: x509.Certificate) -> str:
    """Return the subject's common name, kept to what is safe in file names, log lines and terminals."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    text = str(names[0].value) if names else ""
    return re.sub(r"[^\w.@ -]", "_", text).strip(" .")[:80] or "unnamed"


def application_uris(certificate: x509.Certificate) -> list[str]:
    """List the URIs of the SubjectAlternativeName, where an application has its applicationUri."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def is_in_time(certificate: x509.Certificate) -> bool:
    """Whether now lies in the certificate's period of validity."""
    return certificate.not_valid_before_utc <= dt.datetime.now(dt.UTC) <= certificate.not_valid_after_utc


def key_fault(certificate: x509.Certificate) -> str | None:
    """Why the key meets no security policy of this server; None where it does."""
    try:
        key = certificate.public_key()
    except ValueError:
        return "its key cannot be read"
    if not isinstance(key, rsa.RSAPublicKey):
        return "its key is not RSA"
    if not SMALLEST_KEY <= key.key_size <= LARGEST_KEY:
        return f"its RSA key has {key.key_size} bits, not {SMALLEST_KEY} to {LARGEST_KEY}"
    return None


def policy_fault(certificate: x509.Certificate) -> str | None:
    """Why key or signature meet no security policy of this server (OPC 10000-4 6.1.3); None where they do."""
    fault = key_fault(certificate)
    if fault is None and isinstance(certificate.signature_hash_algorithm, _WEAK_HASHES):
        fault = f"it is signed with {certificate.signature_hash_algorithm.name.upper()}"
    return fault


def usage_fault(certificate: x509.Certificate) -> str | None:
    """Why the certificate is not for an OPC UA client (OPC 10000-6 6.2.2); None where it is.

    The standard wants four key usages and clientAuth. UaExpert, node-opcua and .NET have them all; certificates
    made by one openssl command, as asyncua's examples show, have neither extension. RFC 5280 4.2.1.3 reads
    a missing extension as "any use", and so does this. nonRepudiation is not asked for: nothing relies on it.
    """
    usage = key_usage(certificate)
    if usage is not None:
        if not usage.digital_signature:
            return "its KeyUsage lacks digitalSignature"
        if not (usage.key_encipherment or usage.data_encipherment):
            return "its KeyUsage lacks keyEncipherment and dataEncipherment"
    try:
        extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None
    if not {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(extended):
        return "its ExtendedKeyUsage lacks clientAuth"
    return None


def key_usage(certificate: x509.Certificate) -> x509.KeyUsage | None:
    """Return the KeyUsage extension, where there is one."""
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None


def basic_constraints(certificate: x509.Certificate) -> x509.BasicConstraints:
    """Return the BasicConstraints extension; where there is none, that of a certificate which is no CA."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return x509.BasicConstraints(ca=False, path_length=None)


def unknown_critical(certificate: x509.Certificate) -> Iterator[str]:
    """Yield the critical extensions that nothing here understands."""
    for extension in certificate.extensions:
        if extension.critical and extension.oid not in _UNDERSTOOD:
            yield extension.oid.dotted_string


def is_issuer(certificate: x509.Certificate) -> bool:
    """Whether the certificate may issue others: a CA for signing certificates, and no application's own.

    Self-signed application certificates of several clients say CA:TRUE and keyCertSign. Trusting such a client
    must not trust what it signs, so a certificate with an applicationUri is never an issuer.
    """
    usage = key_usage(certificate)
    return (
        basic_constraints(certificate).ca
        and (usage is None or usage.key_cert_sign)
        and not application_uris(certificate)
        and not any(unknown_critical(certificate))
    )


def is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether names match and the signature of `certificate` is by the key of `issuer`."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001 - whatever is wrong with name, key or signature: not signed by it
        return False
    return True
