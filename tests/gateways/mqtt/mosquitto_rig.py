"""A real mosquitto with TLS, users and an ACL, and its own command line clients."""

import asyncio
import datetime as dt
import ipaddress
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.process_rig import free_port, wait_until

MISSING = shutil.which("mosquitto") is None or shutil.which("mosquitto_sub") is None
needs_mosquitto = pytest.mark.skipif(MISSING, reason="mosquitto and mosquitto-clients are not installed")
USERS = {"plantree": "plantree secret", "reader": "reader secret", "operator": "operator secret"}
ACL = """\
user plantree
topic readwrite #
topic readwrite $SYS/#
topic readwrite spBv1.0/#
user reader
topic read #
user operator
topic read #
topic write cmd/#
topic write set/#
topic write spBv1.0/#
"""


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def write_authority(folder: Path, name: str = "ca") -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Make a CA; its certificate is in `folder/NAME.pem`."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    return certificate, key


def write_certificate(
    folder: Path, name: str, authority: tuple[x509.Certificate, ec.EllipticCurvePrivateKey], hosts: Sequence[str] = ()
) -> tuple[Path, Path]:
    """Make a certificate for addresses; returns the files of it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(host)) for host in hosts]
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(authority[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(authority[1], hashes.SHA256())
    files = folder / f"{name}.pem", folder / f"{name}.key"
    files[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


@dataclass(frozen=True, slots=True)
class Seen:
    """A message as mosquitto_sub shows it."""

    topic: str
    payload: bytes
    retained: bool


class Mosquitto:
    """mosquitto on a free port of 127.0.0.1, in `folder`; a context manager that ends it by its pid.

    TLS with a CA of its own (`ca`), the users of USERS, anonymous refused, the rights of ACL. `tls=False` is plain.
    A second `start` is a restart on the same port and the same persistent sessions.
    """

    def __init__(
        self, folder: Path, *, tls: bool = True, users: Mapping[str, str] = USERS, acl: str = ACL, extra: str = "",
        client_certificates: bool = False, queued: int = 100_000,
    ) -> None:  # fmt: skip
        self.folder, self.tls, self.users = folder, tls, dict(users)
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self.authority = write_authority(folder)
        self.ca = folder / "ca.pem"
        self.log_file = folder / "mosquitto.log"
        self.process: subprocess.Popen[bytes] | None = None
        passwords = folder / "passwords"
        passwords.touch(mode=0o600)
        for user, password in users.items():
            subprocess.run(["mosquitto_passwd", "-b", passwords, user, password], check=True, capture_output=True)
        (folder / "acl").write_text(acl)
        (folder / "acl").chmod(0o600)
        lines = [
            f"listener {self.port} 127.0.0.1", "allow_anonymous false", f"password_file {passwords}",
            f"acl_file {folder / 'acl'}", "persistence true", f"persistence_location {folder}/",
            *(f"log_type {kind}" for kind in ("error", "warning", "notice", "information")),
            f"log_dest file {self.log_file}", "user root", "connection_messages true", f"max_queued_messages {queued}",
        ]  # fmt: skip
        if tls:
            certificate, key = write_certificate(folder, "broker", self.authority, ["127.0.0.1"])
            lines += [f"cafile {self.ca}", f"certfile {certificate}", f"keyfile {key}", "tls_version tlsv1.2"]
            lines += ["require_certificate true"] if client_certificates else []
        self.config = folder / "mosquitto.conf"
        self.config.write_text("\n".join([*lines, extra, ""]))

    def url(self, user: str = "plantree") -> str:
        """Return the URL with the credential of a user."""
        password = self.users[user].replace(" ", "%20")
        return f"{'mqtts' if self.tls else 'mqtt'}://{user}:{password}@127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start; returns once it listens."""
        before = self.log_text().count(" running")
        command = [shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(self.config)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: self.log_text().count(" running") > before, f"mosquitto runs ({self.log_text()[-300:]})")
        return self

    def log_text(self) -> str:
        """Return what it has logged."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it; with SIGKILL it has no time to say goodbye."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(10)

    def arguments(self, user: str, *, version: str = "5") -> list[str]:
        """Return what mosquitto_pub and mosquitto_sub need to connect."""
        name = {"5": "mqttv5", "3.1.1": "mqttv311"}[version]
        given = ["-h", "127.0.0.1", "-p", str(self.port), "-V", name, "-u", user, "-P", self.users[user]]
        return [*given, "--cafile", str(self.ca)] if self.tls else given

    def subscriber(self, *topics: str, user: str = "reader", **options: Any) -> "Subscriber":
        """Return a mosquitto_sub, which runs for the time of a `with` block."""
        return Subscriber(self.arguments(user), topics, **options)

    def publish(
        self, topic: str, payload: str, *more: str, user: str = "operator", version: str = "5"
    ) -> subprocess.CompletedProcess[str]:
        """Publish with mosquitto_pub, QoS 1; `more` are its options, like -D publish response-topic x."""
        return publish(self.arguments(user, version=version), topic, payload, *more)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def publish(arguments: Sequence[str], topic: str, payload: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Publish with mosquitto_pub, QoS 1."""
    command = ["mosquitto_pub", *arguments, "-q", "1", "-t", topic, *(["-m", payload] if payload else ["-n"]), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


class Subscriber:
    """mosquitto_sub with what it has seen so far in `seen`; a context manager, subscribed when it is entered."""

    def __init__(self, arguments: Sequence[str], topics: Sequence[str], *, session: str | None = None) -> None:
        filters = [word for topic in topics for word in ("-t", topic)]
        kept = ["-i", session, "-c"] if session is not None else []
        # -d says when it is subscribed; its lines have no tab in front. A pipe would hold them back but for stdbuf.
        self.command = ["stdbuf", "-oL", "mosquitto_sub", *arguments, "-q", "1", "-d", *kept, *filters]
        self.command += ["-F", "\t%r\t%t\t%x"]
        self.seen: list[Seen] = []
        self.said: list[str] = []
        self._subscribed = threading.Event()

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        if not self._subscribed.wait(10):
            self.__exit__(None, None, None)
            raise AssertionError(f"mosquitto_sub did not subscribe: {self.said}")
        return self

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("\t"):
                _, retained, topic, payload = line.rstrip("\n").split("\t")
                self.seen.append(Seen(topic, bytes.fromhex(payload), retained == "1"))
            else:
                self.said.append(line)
                if "SUBACK" in line:
                    self._subscribed.set()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()  # on SIGTERM right after its SUBACK it does not always end
        self.process.wait(10)
        self._thread.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()

    async def __aenter__(self) -> Self:
        """Start, where what it waits for needs this event loop: the embedded broker does."""
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    def of(self, topic: str) -> list[Seen]:
        """Return what was seen on one topic."""
        return [message for message in list(self.seen) if message.topic == topic]
