import datetime as dt
import ipaddress
import multiprocessing
import socket
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from server.security import certificates, files
from server.security.certificates import CertificateError, load, load_or_create, renew

from . import pki_builder as pki

URI = "urn:test:plantree"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> certificates.OwnCertificate:
    return load_or_create(
        tmp_path_factory.mktemp("certs"), URI, host_names=["plant.example", "10.1.2.3", "münchen.example"]
    )


def test_the_first_start_makes_a_certificate_and_the_folders(made: certificates.OwnCertificate) -> None:
    folder = made.certificate_file.parent.parent
    assert {entry.name for entry in folder.iterdir()} == set(files.CERTIFICATE_FOLDERS)
    assert {entry.name for entry in (folder / "own").iterdir()} == {"certificate.der", "private_key.pem"}
    assert stat.S_IMODE(made.private_key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "own").stat().st_mode) == 0o700
    assert made.application_uri == URI
    assert 5 * 365 - 2 <= made.days_left <= 5 * 366
    assert made.private_key.key_size == 2048


def test_the_certificate_is_as_the_standard_wants_it(made: certificates.OwnCertificate) -> None:
    """OPC 10000-6 6.2.2."""
    certificate = x509.load_der_x509_certificate(made.certificate_file.read_bytes())
    certificate.verify_directly_issued_by(certificate)
    assert isinstance(certificate.signature_hash_algorithm, hashes.SHA256)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert usage.content_commitment
    assert usage.key_encipherment
    assert usage.data_encipherment
    assert usage.key_cert_sign
    assert not usage.crl_sign
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH} == set(extended)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [URI]
    hosts = names.get_values_for_type(x509.DNSName)
    assert {socket.gethostname(), "localhost", "plant.example", "xn--mnchen-3ya.example"} <= set(hosts)
    addresses = names.get_values_for_type(x509.IPAddress)
    assert {ipaddress.ip_address(text) for text in ("127.0.0.1", "::1", "10.1.2.3")} <= set(addresses)


def test_the_next_start_keeps_it(made: certificates.OwnCertificate) -> None:
    again = load_or_create(made.certificate_file.parent.parent)
    assert again.certificate == made.certificate
    assert again.application_uri == URI


def _start(folder: str, results: "multiprocessing.Queue[str]") -> None:
    results.put(load_or_create(Path(folder), URI).thumbprint)


def test_two_first_starts_at_once_make_one_certificate(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[str] = context.Queue()
    processes = [context.Process(target=_start, args=(str(tmp_path), results)) for _ in range(2)]
    for process in processes:
        process.start()
    thumbprints = {results.get(timeout=50) for _ in processes}
    for process in processes:
        process.join(timeout=50)
    assert len(thumbprints) == 1


def test_the_key_is_never_readable_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    real = files.os.fsync

    def look(descriptor: int) -> None:
        modes.append(stat.S_IMODE(files.os.fstat(descriptor).st_mode))
        real(descriptor)

    monkeypatch.setattr(files.os, "fsync", look)
    monkeypatch.setattr(files, "sync_folder", lambda _folder: None)
    old = files.os.umask(0)
    try:
        files.write_atomic(tmp_path / "key", b"secret", files.PRIVATE)
    finally:
        files.os.umask(old)
    assert modes == [0o600]
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        files.write_atomic(tmp_path / "key", b"new", files.PRIVATE)
    assert (tmp_path / "key").read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


def put(folder: Path, certificate: x509.Certificate, key: rsa.RSAPrivateKey | None = None) -> None:
    files.make_certificate_folders(folder)
    (folder / "own" / "certificate.der").write_bytes(pki.der(certificate))
    pem = (key or pki.key()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, certificates.NoEncryption())
    files.write_atomic(folder / "own" / "private_key.pem", pem, files.PRIVATE)


def test_a_certificate_of_the_users_own_ca_is_taken(tmp_path: Path) -> None:
    put(tmp_path, pki.make("Plant", uri=URI, issuer=pki.make_ca()))
    assert load_or_create(tmp_path).application_uri == URI


def test_expired(tmp_path: Path) -> None:
    put(tmp_path, pki.make(uri=URI, start=pki.NOW - 3 * pki.DAY, end=pki.NOW - pki.DAY))
    with pytest.raises(
        CertificateError, match=r"expired on 20\d\d-\d\d-\d\d: renew it with `python -m server certs renew`"
    ):
        load_or_create(tmp_path)
    renewed = renew(tmp_path)
    assert renewed.application_uri == URI
    assert load_or_create(tmp_path).thumbprint == renewed.thumbprint


def test_not_yet_valid(tmp_path: Path) -> None:
    put(tmp_path, pki.make(uri=URI, start=pki.NOW + pki.DAY))
    with pytest.raises(CertificateError, match="set this machine's clock"):
        load_or_create(tmp_path)


def test_expires_soon_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path, pki.make(uri=URI, end=pki.NOW + dt.timedelta(days=20)))
    load_or_create(tmp_path)
    assert "expires soon" in caplog.text
    assert "certs renew" in caplog.text


def test_of_another_key(tmp_path: Path) -> None:
    put(tmp_path, pki.make(uri=URI), pki.key("other"))
    with pytest.raises(CertificateError, match="do not belong together"):
        load_or_create(tmp_path)


def test_of_another_application(tmp_path: Path) -> None:
    put(tmp_path, pki.make(uri="urn:other"))
    with pytest.raises(
        CertificateError, match=r"urn:other, not urn:test:plantree.*--application-uri urn:test:plantree"
    ):
        load_or_create(tmp_path, URI)


def test_of_no_application(tmp_path: Path) -> None:
    put(tmp_path, pki.make(uri=None))
    with pytest.raises(CertificateError, match="has no applicationUri"):
        load_or_create(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_may_read(tmp_path: Path, mode: int) -> None:
    put(tmp_path, pki.make(uri=URI))
    (tmp_path / "own" / "private_key.pem").chmod(mode)
    with pytest.raises(CertificateError, match=r"run `chmod 600 .*private_key\.pem`"):
        load_or_create(tmp_path)


@pytest.mark.parametrize("file", ["certificate.der", "private_key.pem"])
def test_damaged(tmp_path: Path, file: str) -> None:
    put(tmp_path, pki.make(uri=URI))
    (tmp_path / "own" / file).write_bytes(b"nonsense")
    with pytest.raises(CertificateError, match=rf"{file} is no .*certs renew`"):
        load_or_create(tmp_path)


@pytest.mark.parametrize("file", ["certificate.der", "private_key.pem"])
def test_one_of_the_two_missing(tmp_path: Path, file: str) -> None:
    put(tmp_path, pki.make(uri=URI))
    (tmp_path / "own" / file).unlink()
    with pytest.raises(CertificateError, match=rf"{file} is missing beside .*certs renew`"):
        load_or_create(tmp_path)


def test_an_encrypted_key(tmp_path: Path) -> None:
    put(tmp_path, pki.make(uri=URI))
    pem = pki.key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    files.write_atomic(tmp_path / "own" / "private_key.pem", pem, files.PRIVATE)
    with pytest.raises(CertificateError, match="is encrypted with a password: store it without one"):
        load_or_create(tmp_path)


def test_a_short_key(tmp_path: Path) -> None:
    put(tmp_path, pki.make(uri=URI, private_key=pki.key("short", 1024)), pki.key("short", 1024))
    with pytest.raises(CertificateError, match="no RSA key of 2048 to 4096 bits"):
        load_or_create(tmp_path)


def test_renewing_keeps_the_old_and_the_name(made: certificates.OwnCertificate, tmp_path: Path) -> None:
    put(tmp_path, made.certificate, made.private_key)
    renewed = renew(tmp_path, key_size=3072, days=730)
    assert renewed.application_uri == URI
    assert renewed.certificate.public_key() != made.certificate.public_key()
    assert renewed.private_key.key_size == 3072
    assert 728 <= renewed.days_left <= 731
    assert (tmp_path / "own" / "certificate.der.old").read_bytes() == pki.der(made.certificate)
    assert stat.S_IMODE((tmp_path / "own" / "private_key.pem.old").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"key_size": 1024}, "1024 bits"),
        ({"days": 0}, "0 days"),
        ({"host_names": ["no host"]}, "'no host' is neither a host name nor an IP address"),
    ],
)
def test_a_renewal_that_cannot_be_leaves_everything(
    made: certificates.OwnCertificate, tmp_path: Path, options: dict[str, int], sentence: str
) -> None:
    put(tmp_path, made.certificate, made.private_key)
    with pytest.raises(CertificateError, match=sentence):
        renew(tmp_path, **options)  # type: ignore[arg-type]
    assert load(tmp_path).certificate == made.certificate


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "certs").write_bytes(b"a file")
    with pytest.raises(CertificateError, match=r"the folder of certificates .*certs cannot be used"):
        load_or_create(tmp_path / "certs")
