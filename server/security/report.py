"""What a person wants to know about a certificate, as rows of text."""

from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from server.security.pki import application_uris, basic_constraints, is_in_time, key_usage, thumbprint

_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)


def describe(certificate: x509.Certificate, file: Path) -> Iterator[tuple[str, str]]:
    """Names and values, from the file's path to the fingerprints."""
    yield "File", str(file)
    yield "Subject", _printable(certificate.subject.rfc4514_string())
    yield "Issuer", _printable(certificate.issuer.rfc4514_string())
    yield "Application", _printable(", ".join(application_uris(certificate)) or "none")
    yield "Hosts", _printable(", ".join(_hosts(certificate)) or "none")
    period = (
        f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} to {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    )
    yield "Valid", period if is_in_time(certificate) else f"{period} (not now)"
    yield "Key", _key(certificate)
    algorithm = certificate.signature_hash_algorithm
    yield "Signature", algorithm.name.upper() if algorithm else "unknown"
    yield "CA", "yes" if basic_constraints(certificate).ca else "no"
    usage = key_usage(certificate)
    yield "Key usage", ", ".join(name for name in _USAGES if getattr(usage, name)) if usage else "not restricted"
    yield "Thumbprint", thumbprint(certificate)
    yield "SHA-256", certificate.fingerprint(hashes.SHA256()).hex().upper()


def _hosts(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def _key(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    return f"RSA {key.key_size} bits" if isinstance(key, rsa.RSAPublicKey) else type(key).__name__


def _printable(text: str) -> str:
    """Without what a certificate could do to a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
