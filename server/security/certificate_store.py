"""The folders of certs/README.md as a store of certificates: what lies there, moving between them, finding one."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from server import logs
from server.security.chain import TrustAnchors
from server.security.files import PUBLIC, write_atomic
from server.security.pki import (
    CRL_SUFFIXES,
    CertificateFileError,
    certificate_files,
    common_name,
    read_certificate,
    read_crl,
    thumbprint,
)

_log = logs.get(__name__)

LISTED = ("trusted", "rejected", "issuers", "users")
SHORTEST_THUMBPRINT = 8  # digits that are enough to name a certificate

_Read = TypeVar("_Read")
_Signature = tuple[tuple[str, int, int, int], ...]


class TrustError(Exception):
    """No certificate, or more than one, answers to a name, or it cannot be moved; str() is one clear sentence."""


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """A certificate and the folder (`trusted`, `rejected`, ...) and file where it lies."""

    folder: str
    file: Path
    certificate: x509.Certificate

    @property
    def name(self) -> str:
        """The subject's common name, safe to show."""
        return common_name(self.certificate)

    @property
    def thumbprint(self) -> str:
        """SHA-1 of the DER form, in hex."""
        return thumbprint(self.certificate)

    def answers_to(self, name: str) -> bool:
        """Whether `name` is the file's name, the common name, or at least 8 digits of the thumbprint."""
        digits = name.replace(":", "").upper()
        return name in (self.file.name, self.file.stem, self.name) or (
            len(digits) >= SHORTEST_THUMBPRINT and self.thumbprint.startswith(digits)
        )


class CertificateStore:
    """Reads each folder again when a file in it came, went or changed. Not for several threads at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._signature: _Signature | None = None
        self._anchors = TrustAnchors()

    def anchors(self) -> TrustAnchors:
        """Return the trusted certificates, issuers and revocation lists as they lie there now."""
        signature = self._look()
        if signature != self._signature:
            self._anchors = TrustAnchors(
                trusted=_read_all(certificate_files(self.folder / "trusted"), read_certificate),
                issuers=_read_all(certificate_files(self.folder / "issuers"), read_certificate),
                crls=_read_all(certificate_files(self.folder / "crl", CRL_SUFFIXES), read_crl),
            )
            self._signature = signature
        return self._anchors

    def all(self) -> list[StoredCertificate]:
        """Every certificate in the folders, by folder and name; what is none is logged and left out."""
        return [
            StoredCertificate(folder, file, certificate)
            for folder in LISTED
            for file in certificate_files(self.folder / folder)
            for certificate in _read_all([file], read_certificate)
        ]

    def find(self, name: str, folders: Sequence[str] = LISTED) -> StoredCertificate:
        """Return the one certificate in `folders` that answers to `name`; TrustError where there is not one."""
        found = [stored for stored in self.all() if stored.folder in folders and stored.answers_to(name)]
        if not found:
            raise TrustError(f"there is no certificate {name!r} among the {' or '.join(folders)} ones")
        if len({stored.thumbprint for stored in found}) > 1:
            choice = ", ".join(stored.thumbprint for stored in found)
            raise TrustError(f"several certificates are called {name!r}: name one by its thumbprint: {choice}")
        return found[0]

    def trust(self, name: str) -> StoredCertificate:
        """Move a rejected certificate to `trusted`; a path to a certificate file elsewhere is copied there."""
        file = Path(name)
        try:
            stored = self.find(name, ("rejected",))
        except TrustError as error:
            if not file.is_file():
                raise
            try:
                return self._copy(read_certificate(file))
            except CertificateFileError as unreadable:
                raise TrustError(str(unreadable)) from error
        return self._move(stored, "trusted")

    def reject(self, name: str) -> StoredCertificate:
        """Move a trusted certificate to `rejected`."""
        return self._move(self.find(name, ("trusted",)), "rejected")

    def forget_oldest_rejected(self, most: int) -> None:
        """Remove all but the newest `most` rejected certificates."""
        files = certificate_files(self.folder / "rejected")
        for file in sorted(files, key=_changed)[: max(0, len(files) - most)]:
            file.unlink(missing_ok=True)

    def _copy(self, certificate: x509.Certificate) -> StoredCertificate:
        target = self.folder / "trusted" / f"{common_name(certificate)} [{thumbprint(certificate)}].der"
        try:
            write_atomic(target, certificate.public_bytes(Encoding.DER), PUBLIC)
        except OSError as error:
            raise TrustError(f"{target} cannot be written: {error.strerror}") from error
        return StoredCertificate("trusted", target, certificate)

    def _move(self, stored: StoredCertificate, folder: str) -> StoredCertificate:
        target = self.folder / folder / stored.file.name
        if target.exists() and thumbprint(read_certificate(target)) != stored.thumbprint:
            target = target.with_name(f"{stored.name} [{stored.thumbprint}]{stored.file.suffix}")
        try:
            stored.file.replace(target)
        except OSError as error:
            raise TrustError(f"{stored.file} cannot be moved to {target}: {error.strerror}") from error
        return StoredCertificate(folder, target, stored.certificate)

    def _look(self) -> _Signature:
        """Name, inode, size and time of every file that decides about trust."""
        return tuple(
            (str(file), status.st_ino, status.st_size, status.st_mtime_ns)
            for folder in ("trusted", "issuers", "crl")
            for file in certificate_files(self.folder / folder, CRL_SUFFIXES)
            if (status := _status(file)) is not None
        )


def _read_all(files: Sequence[Path], read: Callable[[Path], _Read]) -> list[_Read]:
    found: list[_Read] = []
    for file in files:
        try:
            found.append(read(file))
        except CertificateFileError as error:
            _log.warning("file skipped", reason=str(error))
    return found


def _status(file: Path) -> os.stat_result | None:
    try:
        return file.stat()
    except OSError:
        return None  # it went while the folder was read


def _changed(file: Path) -> int:
    status = _status(file)
    return 0 if status is None else status.st_mtime_ns
