"""The server's own certificate and private key: made at the first start, checked at every other."""

import contextlib
import datetime as dt
import socket
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from server import logs
from server.security.files import (
    PRIVATE,
    PUBLIC,
    is_readable_by_others,
    locked,
    make_certificate_folders,
    write_atomic,
)
from server.security.pki import (
    LARGEST_KEY,
    SMALLEST_KEY,
    CertificateFileError,
    application_uris,
    read_certificate,
    thumbprint,
)
from server.security.self_signed import host_general_names, self_signed

_log = logs.get(__name__)

CERTIFICATE_FILE = Path("own", "certificate.der")
PRIVATE_KEY_FILE = Path("own", "private_key.pem")
RENEW = "python -m server certs renew"
WARN_DAYS = 30


VALIDITY_DAYS = 1825
LONGEST_DAYS = 18250


class CertificateError(Exception):
    """The server's own certificate or key cannot be used; str() is one sentence that says what to do."""


@dataclass(frozen=True)
class OwnCertificate:
    """The server's certificate with its key; `application_uri` is what the server must call itself."""

    certificate: x509.Certificate
    private_key: rsa.RSAPrivateKey
    certificate_file: Path
    private_key_file: Path

    @property
    def application_uri(self) -> str:
        """The applicationUri in the certificate, which clients compare (OPC 10000-4 7.2)."""
        return application_uris(self.certificate)[0]

    @property
    def thumbprint(self) -> str:
        """SHA-1 of the DER form, in hex."""
        return thumbprint(self.certificate)

    @property
    def days_left(self) -> int:
        """Whole days until it expires; negative when it has."""
        return (self.certificate.not_valid_after_utc - dt.datetime.now(dt.UTC)).days


def default_application_uri() -> str:
    """urn:HOSTNAME:plantree; kept in the certificate afterwards, so a new host name does not change it."""
    return f"urn:{socket.gethostname()}:plantree"


def load_or_create(
    certs_dir: Path,
    application_uri: str | None = None,
    *,
    host_names: Iterable[str] = (),
    key_size: int = SMALLEST_KEY,
    days: int = VALIDITY_DAYS,
) -> OwnCertificate:
    """Read the server's certificate; the first start makes it, self-signed, and the folders of certs/README.md.

    Without `application_uri` an existing certificate's is kept. `host_names` (names or IP addresses) come on top
    of the host's own. Raises CertificateError: see `load`.
    """
    with _errors_of(certs_dir):
        make_certificate_folders(certs_dir)
        with locked(certs_dir / "own"):
            if not (certs_dir / CERTIFICATE_FILE).exists() and not (certs_dir / PRIVATE_KEY_FILE).exists():
                uri = application_uri or default_application_uri()
                _make(certs_dir, uri, host_names, key_size, days)
            own = load(certs_dir, application_uri)
    if own.days_left < WARN_DAYS:
        _log.warning("the server's certificate expires soon", days=own.days_left, renew_with=RENEW)
    return own


def renew(
    certs_dir: Path,
    application_uri: str | None = None,
    *,
    host_names: Iterable[str] = (),
    key_size: int = SMALLEST_KEY,
    days: int = VALIDITY_DAYS,
) -> OwnCertificate:
    """Make a new key and certificate in place of the old, which stay beside it as `*.old`.

    Keeps the applicationUri of the old certificate unless another is given. A running server takes the new
    certificate at its next start, and clients have to trust it. Raises CertificateError.
    """
    with _errors_of(certs_dir):
        make_certificate_folders(certs_dir)
        with locked(certs_dir / "own"):
            uri = application_uri or _previous_uri(certs_dir) or default_application_uri()
            _make(certs_dir, uri, host_names, key_size, days)
            return load(certs_dir, uri)


def load(certs_dir: Path, application_uri: str | None = None) -> OwnCertificate:
    """Read and check certificate and key.

    CertificateError when one is missing or unreadable, they do not belong together, others may read the key,
    the certificate is out of its validity period, or its applicationUri is another.
    """
    certificate_file, key_file = certs_dir / CERTIFICATE_FILE, certs_dir / PRIVATE_KEY_FILE
    for file, other in ((certificate_file, key_file), (key_file, certificate_file)):
        if not file.exists():
            raise CertificateError(f"{file} is missing beside {other}: restore it, or make both anew with `{RENEW}`")
    try:
        certificate = read_certificate(certificate_file)
    except CertificateFileError as error:
        raise CertificateError(f"{error}: restore it, or make it anew with `{RENEW}`") from error
    key = _load_key(key_file)
    if certificate.public_key() != key.public_key():
        raise CertificateError(
            f"{certificate_file} and {key_file} do not belong together: restore the pair, or make both anew with"
            f" `{RENEW}`"
        )
    _check_period(certificate, certificate_file)
    uris = application_uris(certificate)
    if not uris:
        raise CertificateError(f"{certificate_file} has no applicationUri: make another with `{RENEW}`")
    if application_uri is not None and application_uri != uris[0]:
        raise CertificateError(
            f"{certificate_file} is for the application {uris[0]}, not {application_uri}: correct the setting,"
            f" or make a certificate for it with `{RENEW} --application-uri {application_uri}`"
        )
    return OwnCertificate(certificate, key, certificate_file, key_file)


def _check_period(certificate: x509.Certificate, file: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    if certificate.not_valid_after_utc < now:
        raise CertificateError(f"{file} expired on {certificate.not_valid_after_utc:%Y-%m-%d}: renew it with `{RENEW}`")
    if certificate.not_valid_before_utc > now:
        raise CertificateError(
            f"{file} is valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC:"
            f" set this machine's clock, or make a new one with `{RENEW}`"
        )


def _load_key(file: Path) -> rsa.RSAPrivateKey:
    if is_readable_by_others(file):
        raise CertificateError(f"others than its owner may read {file}: run `chmod 600 {file}`")
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except OSError as error:
        raise CertificateError(f"{file} cannot be read: {error.strerror}") from error
    except TypeError as error:
        raise CertificateError(f"{file} is encrypted with a password: store it without one") from error
    except ValueError as error:
        raise CertificateError(f"{file} is no private key in PEM form: restore it, or run `{RENEW}`") from error
    if not isinstance(key, rsa.RSAPrivateKey) or not SMALLEST_KEY <= key.key_size <= LARGEST_KEY:
        raise CertificateError(f"{file} is no RSA key of {SMALLEST_KEY} to {LARGEST_KEY} bits: run `{RENEW}`")
    return key


def _previous_uri(certs_dir: Path) -> str | None:
    try:
        uris = application_uris(read_certificate(certs_dir / CERTIFICATE_FILE))
    except CertificateFileError:
        return None
    return uris[0] if uris else None


def _make(certs_dir: Path, uri: str, host_names: Iterable[str], key_size: int, days: int) -> None:
    if not SMALLEST_KEY <= key_size <= LARGEST_KEY or not 1 <= days <= LONGEST_DAYS:
        raise CertificateError(
            f"a certificate with {key_size} bits for {days} days cannot be made:"
            f" the key has {SMALLEST_KEY} to {LARGEST_KEY} bits, the validity 1 to {LONGEST_DAYS} days"
        )
    key = rsa.generate_private_key(public_exponent=65537, key_size=key_size)
    certificate = self_signed(key, uri, host_general_names(host_names), dt.timedelta(days=days))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    der = certificate.public_bytes(Encoding.DER)
    for file, data, mode in ((PRIVATE_KEY_FILE, pem, PRIVATE), (CERTIFICATE_FILE, der, PUBLIC)):
        path = certs_dir / file
        if path.exists():
            path.replace(path.with_name(path.name + ".old"))
        write_atomic(path, data, mode)
    _log.info("made the server's certificate", thumbprint=thumbprint(certificate), application_uri=uri)


@contextlib.contextmanager
def _errors_of(certs_dir: Path) -> Generator[None]:
    try:
        yield
    except ValueError as error:
        raise CertificateError(f"a certificate cannot be made: {error}") from error
    except OSError as error:
        raise CertificateError(
            f"the folder of certificates {certs_dir} cannot be used: {error.strerror or error}"
            f" ({error.filename or 'no file'}): give the server's user the right to write there"
        ) from error
