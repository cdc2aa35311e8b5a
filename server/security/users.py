"""Users: names, argon2id password hashes and roles, and the check of credentials (OPC 10000-4 7.40)."""

import asyncio
import base64
import contextlib
import hashlib
import re
import secrets
import sqlite3
import unicodedata
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from argon2.low_level import ARGON2_VERSION
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from address_space.model import Role
from server import logs
from server.security.database import Row, UserDatabase, UsersError
from server.security.pki import CertificateFileError, certificate_files, is_in_time, policy_fault, read_certificate
from server.security.principal import Principal, authenticated
from server.security.roles import ALL_ROLES, parse_roles
from server.security.throttle import Throttle, TooManyAttempts

_log = logs.get(__name__)

ADMINISTRATOR = "admin"
SHORTEST_PASSWORD = 8  # characters
LONGEST_PASSWORD = 1024  # characters
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HASHING_THREADS = 2  # a check takes some 0.1 s of a core and 64 MiB


@dataclass(frozen=True, slots=True)
class User:
    """A user as listed: never with the hash."""

    name: str
    roles: frozenset[Role]
    created: str


class Users:
    """The users of one server; `certificates` is the folder of user certificates (NAME.der or NAME.pem).

    All methods but `authenticate` block: hashing takes some 0.1 s. Raises UsersError when the database fails.
    """

    def __init__(
        self,
        database: Path,
        certificates: Path | None = None,
        *,
        hasher: PasswordHasher | None = None,
        throttle: Throttle | None = None,
    ) -> None:
        self.failures = 0
        self._database = UserDatabase(database)
        self._certificates = certificates
        self._hasher = hasher or PasswordHasher()
        self._nobody = _hash_of_nobody(self._hasher)
        self._throttle = Throttle() if throttle is None else throttle  # an empty one is falsy
        self._pool = ThreadPoolExecutor(_HASHING_THREADS, thread_name_prefix="password")

    def close(self) -> None:
        """Let go of the hashing threads; checks under way end first."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def add(self, name: str, password: str, roles: Iterable[Role | str], *, replace: bool = False) -> None:
        """Add a user, or with `replace` give an existing one this password and these roles.

        UsersError when the name or password breaks a rule, a role is unknown, or the name is taken.
        """
        _check_rules(name, password)
        row = (name, self._hasher.hash(_secret(password)), _role_text(roles))
        with self._database.connection() as connection:
            if replace:
                connection.execute(
                    "INSERT INTO users (name, password, roles) VALUES (?, ?, ?)"
                    " ON CONFLICT (name) DO UPDATE SET password = excluded.password, roles = excluded.roles",
                    row,
                )
                return
            try:
                connection.execute("INSERT INTO users (name, password, roles) VALUES (?, ?, ?)", row)
            except sqlite3.IntegrityError as error:
                raise UsersError(f"there is a user {name!r} already") from error

    def remove(self, name: str) -> None:
        """Remove a user; UsersError when there is none of that name."""
        with self._database.connection() as connection:
            if connection.execute("DELETE FROM users WHERE name = ?", (name,)).rowcount == 0:
                raise UsersError(f"there is no user {name!r}")

    def list(self) -> list[User]:
        """Every user, by name."""
        return [User(row.name, _roles(row), row.created) for row in self._database.all()]

    def ensure_administrator(self) -> str | None:
        """Where there is no user yet, add `admin` with all roles; returns its password, to be shown once."""
        if self._database.all():
            return None
        password = secrets.token_urlsafe(15)
        row = (ADMINISTRATOR, self._hasher.hash(_secret(password)), _role_text(ALL_ROLES - {Role.Anonymous}))
        with self._database.connection() as connection:
            added = connection.execute(
                "INSERT INTO users (name, password, roles) SELECT ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM users)", row
            )
            return password if added.rowcount == 1 else None

    def verify(self, name: str, password: str) -> Principal | None:
        """Check a password; an unknown name costs what a known one does. Blocks for the time of a hash."""
        row = self._database.find(name)
        try:
            self._hasher.verify(self._nobody if row is None else row.password, _secret(password))
        except VerifyMismatchError:
            return None
        except (InvalidHashError, VerificationError) as error:
            raise UsersError(f"the stored password of {name!r} cannot be read: set it again") from error
        if row is None:
            return None
        if self._hasher.check_needs_rehash(row.password):
            self._rehash(row, password)
        return authenticated(row.name, _roles(row))

    async def authenticate(self, name: str, password: str, peer: str) -> Principal | None:
        """Check a password off the event loop, later and later after failures of this name from this peer.

        `peer` is the address without the port, so that a new connection is no new peer. None: refused, and
        nothing tells why. UsersError when the database fails.
        """
        loop = asyncio.get_running_loop()
        try:
            principal = await self._throttle.run(
                name, peer, lambda: loop.run_in_executor(self._pool, self.verify, name, password)
            )
        except TooManyAttempts:
            self._refused(name, peer, "too many attempts are waiting")
            return None
        if principal is None:
            self._refused(name, peer, "wrong name or password")
        return principal

    def named(self, name: str) -> Principal | None:
        """Return a user without a check: for credentials that were checked elsewhere. Blocks for a small read."""
        row = self._database.find(name)
        return None if row is None else authenticated(row.name, _roles(row))

    def standing(self, name: str) -> tuple[Principal, str] | None:
        """Return a user without a check, and a text that is another once the password or the roles have changed.

        So it is, too, when a login has the password hashed anew after the hash's parameters went up.
        """
        row = self._database.find(name)
        if row is None:
            return None
        stamp = hashlib.sha256("\n".join((row.password, row.roles, row.created)).encode()).hexdigest()
        return authenticated(row.name, _roles(row)), stamp

    def authenticate_certificate(self, der: bytes) -> Principal | None:
        """Find the user whose certificate this is: byte for byte the file NAME.der or NAME.pem, NAME in the table.

        The caller has checked the token's signature, which proves the private key (OPC 10000-4 7.40.5).
        Blocks only for reading some small files.
        """
        for file in certificate_files(self._certificates) if self._certificates else ():
            try:
                certificate = read_certificate(file)
            except CertificateFileError as error:
                _log.warning("user certificate skipped", reason=str(error))
                continue
            if certificate.public_bytes(Encoding.DER) != der:
                continue
            row = self._database.find(file.stem)
            if row is not None and _lets_in(certificate):
                return authenticated(row.name, _roles(row))
            self._refused(file.stem, "certificate", "no such user, or the certificate is expired or too weak")
            return None
        self._refused("?", "certificate", "the certificate is no user's")
        return None

    def is_certificate_of(self, der: bytes, name: str) -> bool:
        """Whether a certificate still lets its user in: a file of that name holds it, and it is in time.

        Asked again and again while a session lasts, so only that user's files are read, and nothing is logged.
        """
        for file in certificate_files(self._certificates) if self._certificates else ():
            if file.stem != name:
                continue
            with contextlib.suppress(CertificateFileError):
                certificate = read_certificate(file)
                if certificate.public_bytes(Encoding.DER) == der and _lets_in(certificate):
                    return True
        return False

    def _refused(self, name: str, peer: str, why: str) -> None:
        self.failures += 1
        _log.warning("sign-in refused", user=name[:64], peer=peer, reason=why)

    def _rehash(self, row: Row, password: str) -> None:
        renewed = self._hasher.hash(_secret(password))
        with self._database.connection() as connection:
            # Only over the hash that was checked: a password set meanwhile stays.
            connection.execute(
                "UPDATE users SET password = ? WHERE name = ? AND password = ?", (renewed, row.name, row.password)
            )


def _lets_in(certificate: x509.Certificate) -> bool:
    return is_in_time(certificate) and policy_fault(certificate) is None


def _hash_of_nobody(hasher: PasswordHasher) -> str:
    """Make up a hash that no password has, to be checked at the cost of any other; to make a real one takes 0.1 s."""
    salt, tag = (
        base64.b64encode(secrets.token_bytes(size)).rstrip(b"=").decode() for size in (hasher.salt_len, hasher.hash_len)
    )
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v={ARGON2_VERSION}${cost}${salt}${tag}"


def _check_rules(name: str, password: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsersError(f"{name!r} is no user name: 1 to 64 of letters A-Z a-z, digits, '_', '.' and '-'")
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise UsersError(f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    if password.casefold() == name.casefold():
        raise UsersError("a password must not be the user's name")


def _secret(password: str) -> bytes:
    """One form for one password, however the keyboard composed its accents; never fails."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "backslashreplace")


def _role_text(roles: Iterable[Role | str]) -> str:
    try:
        return " ".join(sorted(parse_roles(roles)))
    except ValueError as error:
        raise UsersError(str(error)) from error


def _roles(row: Row) -> frozenset[Role]:
    try:
        return parse_roles(row.roles.split())
    except ValueError as error:
        raise UsersError(f"the roles of user {row.name!r} cannot be read: {error}") from error
