"""The client's side of a secure channel: chunks sealed and opened by hand (OPC 10000-6 6.7).

Opening and sealing cost the client processor time that is not the server's: `Prepared` requests of an encrypted
channel can be sealed before the clock starts, and answers be opened when it has stopped (RawClient.burst).
"""

import hmac
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from asyncua.crypto import uacrypto
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bench.wire import WireError

BUFFER = 65_535
HEAD = struct.Struct("<4sIII")
"""Message type and chunk type, size, channel, token (OPC 10000-6 6.7.2.2)."""
SEQUENCE = struct.Struct("<II")
URI = "urn:plantree:bench"
BASIC256SHA256 = "http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256"
_SIGNATURE, _BLOCK = 32, 16


@dataclass(frozen=True)
class Identity:
    """A self-signed application certificate of the bench's client and of the peers: files in a folder, DER and PEM."""

    folder: Path

    @property
    def certificate(self) -> Path:
        """The certificate."""
        return self.folder / "certificate.der"

    @property
    def key(self) -> Path:
        """The private key (PKCS #8)."""
        return self.folder / "key.der"


class Plain:
    """SecurityPolicy None."""

    room = BUFFER - HEAD.size - SEQUENCE.size
    """Bytes of a message that fit a chunk."""

    def __init__(self, channel: int, token: int) -> None:
        self.channel, self.token = channel, token

    def seal(self, kind: bytes, sequence: int, request_id: int, payload: bytes) -> bytes:
        """Return a chunk."""
        head = HEAD.pack(kind, HEAD.size + SEQUENCE.size + len(payload), self.channel, self.token)
        return b"".join((head, SEQUENCE.pack(sequence, request_id), payload))

    def open(self, chunk: bytes) -> bytes:
        """Return sequence header and payload of a chunk; WireError when its signature is wrong."""
        return chunk[HEAD.size :]


class Encrypted(Plain):
    """Basic256Sha256, SignAndEncrypt: AES-256-CBC and HMAC-SHA256, keys of OPC 10000-6 6.7.5."""

    room = (BUFFER - HEAD.size) // _BLOCK * _BLOCK - SEQUENCE.size - _SIGNATURE - 1

    def __init__(self, channel: int, token: int, client_nonce: bytes, server_nonce: bytes) -> None:
        super().__init__(channel, token)
        self._key, self._cipher = _derived(server_nonce, client_nonce)
        self._peer_key, self._peer_cipher = _derived(client_nonce, server_nonce)

    def seal(self, kind: bytes, sequence: int, request_id: int, payload: bytes) -> bytes:
        """Return a chunk."""
        size = SEQUENCE.size + len(payload) + 1 + _SIGNATURE
        fill = -size % _BLOCK
        head = HEAD.pack(kind, HEAD.size + size + fill, self.channel, self.token)
        signed = b"".join((head, SEQUENCE.pack(sequence, request_id), payload, bytes((fill,)) * (fill + 1)))
        signature = hmac.digest(self._key, signed, "sha256")
        return head + self._cipher.encryptor().update(signed[HEAD.size :] + signature)

    def open(self, chunk: bytes) -> bytes:
        """Return sequence header and payload of a chunk; WireError when its signature is wrong."""
        plain = self._peer_cipher.decryptor().update(chunk[HEAD.size :])
        signed = plain[:-_SIGNATURE]
        if not hmac.compare_digest(hmac.digest(self._peer_key, chunk[: HEAD.size] + signed, "sha256"), plain[-32:]):
            raise WireError("the signature of an answer is wrong")
        return signed[: -1 - signed[-1]]


def _derived(secret: bytes, seed: bytes) -> "tuple[bytes, Cipher[modes.CBC]]":
    signing, key, vector = uacrypto.p_sha256(secret, seed, (32, 32, 16))
    return signing, Cipher(algorithms.AES(key), modes.CBC(vector))


def make_identity(folder: Path) -> Identity:
    """Make an application certificate (OPC 10000-6 6.2.2)."""
    folder.mkdir(parents=True, exist_ok=True)
    identity = Identity(folder)
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=True, key_encipherment=True, data_encipherment=True,
        key_agreement=False, key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
    names = [x509.UniformResourceIdentifier(URI), x509.DNSName("localhost")]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(usage, critical=True)
        .add_extension(purposes, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    for ending, form in (("der", serialization.Encoding.DER), ("pem", serialization.Encoding.PEM)):
        identity.certificate.with_suffix(f".{ending}").write_bytes(certificate.public_bytes(form))
        secret = key.private_bytes(form, serialization.PrivateFormat.PKCS8, plain)
        identity.key.with_suffix(f".{ending}").write_bytes(secret)
    return identity
