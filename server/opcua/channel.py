"""The secure channel at speed: whole messages of its newest token are opened and sealed by hand.

asyncua builds some objects for every chunk; at 1,000 values a message they cost more than reading the values. What is
not of the usual form (another token, renewals, errors, a policy without HMAC-SHA256) is left to asyncua, untouched.
Layout: OPC 10000-6 6.7.2; symmetric security: 6.7.4 to 6.7.6.
"""

# pyright: reportPrivateUsage=false

import hmac
import struct
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.common.connection import SecureConnection
from asyncua.crypto.security_policies import (
    Cryptography,
    CryptographyNone,
    DecryptorAesCbc,
    EncryptorAesCbc,
    SignerHMac256,
    VerifierHMac256,
)

HEAD = struct.Struct("<4sIII")
"""Message type and chunk type, size, channel, token (OPC 10000-6 6.7.2.2, 6.7.2.3)."""
_SEQUENCE = struct.Struct("<II")
"""Sequence number and request id (6.7.2.4)."""
_HEAD_SIZE = HEAD.size
_FINAL, _INTERMEDIATE = b"MSGF", b"MSGC"
_LAST_SEQUENCE_NUMBER = 2**32 - 1024
_SIGNATURE_SIZE = 32


@dataclass(frozen=True, slots=True)
class Message:
    """A request as it was sent: the number of its last chunk, its id and its body."""

    sequence: int
    request_id: int
    body: bytes


class PlantChannel(SecureConnection):
    """asyncua's channel, whose ordinary messages take a short way."""

    def open_message(self, chunks: list[bytes]) -> Message | None:
        """Return what the chunks of one message hold; None, with nothing changed, when it is asyncua's to judge."""
        seal = self._seal()
        if seal is None or self._incoming_parts:
            return None
        expected = self._peer_sequence_number
        parts: list[bytes] = []
        sequence = request_id = 0
        for index, chunk in enumerate(chunks):
            kind, _, channel, token = HEAD.unpack_from(chunk)
            known = self.security_token
            if (channel, token) != (known.ChannelId, known.TokenId) or len(chunk) > self._limits.max_recv_buffer:
                return None
            plain = seal.open(chunk)
            if plain is None:
                return None
            sequence, of = _SEQUENCE.unpack_from(plain)
            if expected is not None and sequence != expected + 1:
                return None
            expected = sequence
            if index and of != request_id:
                return None
            request_id = of
            if kind != (_FINAL if index == len(chunks) - 1 else _INTERMEDIATE):
                return None
            parts.append(plain[8:])
        return Message(sequence, request_id, parts[0] if len(parts) == 1 else b"".join(parts))

    def took(self, message: Message) -> None:
        """Note that a message was answered: the next chunk follows its last one."""
        self._peer_sequence_number = message.sequence

    def message_to_binary(
        self, message: bytes, message_type: Any = ua.MessageType.SecureMessage, request_id: int = 0
    ) -> bytes:
        """Return a message's chunks as they go on the wire."""
        seal = self._seal() if message_type == ua.MessageType.SecureMessage else None
        if seal is None or self._sequence_number >= _LAST_SEQUENCE_NUMBER:
            return super().message_to_binary(message, message_type, request_id)
        token = self.security_token
        step = seal.room(self._limits.max_send_buffer)
        last = max(len(message) - 1, 0) // step * step
        chunks: list[bytes] = []
        for at in range(0, last + 1, step):
            self._sequence_number += 1
            sequence = _SEQUENCE.pack(self._sequence_number, request_id)
            kind = _FINAL if at == last else _INTERMEDIATE
            part = message if last == 0 else message[at : at + step]
            chunks.append(seal.close(kind, int(token.ChannelId), int(token.TokenId), sequence, part))
        return chunks[0] if last == 0 else b"".join(chunks)

    def _seal(self) -> "Seal | None":
        crypto: Any = self.security_policy.symmetric_cryptography
        known = self._known_seal
        if known is None or known.of is not crypto or known.signer is not getattr(crypto, "Signer", None):
            self._known_seal = known = _seal_of(crypto)
        return known

    _known_seal: "Seal | None" = None


class Seal:
    """No security: chunks are what they hold."""

    def __init__(self, of: Any) -> None:
        self.of = of
        self.signer: Any = None

    def open(self, chunk: bytes) -> bytes | None:
        """Return sequence header and body of a chunk; None when its signature is wrong."""
        return chunk[_HEAD_SIZE:]

    def room(self, size: int) -> int:
        """Return how many bytes of a message fit a chunk of `size` bytes."""
        return size - _HEAD_SIZE - _SEQUENCE.size

    def close(self, kind: bytes, channel: int, token: int, sequence: bytes, part: bytes) -> bytes:
        """Return a chunk."""
        head = HEAD.pack(kind, _HEAD_SIZE + len(sequence) + len(part), channel, token)
        return b"".join((head, sequence, part))


class _Signed(Seal):
    """Sign: HMAC-SHA256 behind what is signed."""

    def __init__(self, of: Any) -> None:
        super().__init__(of)
        self.signer = of.Signer
        self._key: bytes = of.Signer.key
        self._peer_key: bytes = of.Verifier.key

    def open(self, chunk: bytes) -> bytes | None:
        return self._checked(chunk[:_HEAD_SIZE], chunk[_HEAD_SIZE:])

    def room(self, size: int) -> int:
        return super().room(size) - _SIGNATURE_SIZE

    def close(self, kind: bytes, channel: int, token: int, sequence: bytes, part: bytes) -> bytes:
        size = _HEAD_SIZE + len(sequence) + len(part) + _SIGNATURE_SIZE
        signed = b"".join((HEAD.pack(kind, size, channel, token), sequence, part))
        return signed + hmac.digest(self._key, signed, "sha256")

    def _checked(self, head: bytes, plain: bytes) -> bytes | None:
        self.of.revolved_expired_key()
        signed, signature = plain[:-_SIGNATURE_SIZE], plain[-_SIGNATURE_SIZE:]
        if not hmac.compare_digest(hmac.digest(self._peer_key, head + signed, "sha256"), signature):
            return None
        return signed if len(signed) >= _SEQUENCE.size else None


class _Encrypted(_Signed):
    """SignAndEncrypt: AES-CBC around all but the headers."""

    def __init__(self, of: Any) -> None:
        super().__init__(of)
        self._encrypting = of.Encryptor.cipher
        self._decrypting = of.Decryptor.cipher
        self._block: int = of.Encryptor.plain_block_size()

    def open(self, chunk: bytes) -> bytes | None:
        if (len(chunk) - _HEAD_SIZE) % 16 or len(chunk) < _HEAD_SIZE + _SIGNATURE_SIZE + 16:
            return None
        plain = self._checked(chunk[:_HEAD_SIZE], self._decrypting.decryptor().update(chunk[_HEAD_SIZE:]))
        if plain is None or plain[-1] + 1 + _SEQUENCE.size > len(plain):
            return None
        return plain[: -plain[-1] - 1]

    def room(self, size: int) -> int:
        encrypted = (size - _HEAD_SIZE) // self._block * self._block
        return encrypted - _SEQUENCE.size - _SIGNATURE_SIZE - 1

    def close(self, kind: bytes, channel: int, token: int, sequence: bytes, part: bytes) -> bytes:
        size = len(sequence) + len(part) + 1 + _SIGNATURE_SIZE
        fill = -size % self._block
        head = HEAD.pack(kind, _HEAD_SIZE + size + fill, channel, token)
        signed = b"".join((head, sequence, part, bytes((fill,)) * (fill + 1)))
        signature = hmac.digest(self._key, signed, "sha256")
        return head + self._encrypting.encryptor().update(signed[_HEAD_SIZE:] + signature)


def _seal_of(crypto: Any) -> Seal | None:
    if type(crypto) is CryptographyNone:
        return Seal(crypto)
    if type(crypto) is not Cryptography:
        return None
    parts: Any = crypto  # asyncua fills them in after it has made one
    if type(parts.Signer) is not SignerHMac256 or type(parts.Verifier) is not VerifierHMac256:
        return None
    if not crypto.is_encrypted:
        return _Signed(parts)
    if type(parts.Encryptor) is EncryptorAesCbc and type(parts.Decryptor) is DecryptorAesCbc:
        return _Encrypted(parts)
    return None
