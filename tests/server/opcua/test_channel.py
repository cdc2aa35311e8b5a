"""The short way through a secure channel makes and takes the same bytes as asyncua's own."""

# asyncua types integers as classes of its own.
# pyright: reportArgumentType=false, reportPrivateUsage=false

import os
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.connection import MessageChunk, SecureConnection, TransportLimits
from asyncua.common.utils import Buffer
from asyncua.crypto.security_policies import (
    Cryptography,
    DecryptorAesCbc,
    EncryptorAesCbc,
    SecurityPolicyNone,
    SignerHMac256,
    VerifierHMac256,
)
from hypothesis import given
from hypothesis import strategies as st

from server.opcua.channel import PlantChannel

MODES = [None, ua.MessageSecurityMode.Sign, ua.MessageSecurityMode.SignAndEncrypt]
KEY_SIZES = [16, 32]
LIMITS = {"max_recv_buffer": 8192, "max_send_buffer": 8192}


def policy(mode: ua.MessageSecurityMode | None, size: int = 32) -> Any:
    """Return a policy whose two sides have the same keys, so that one can read what it wrote."""
    made: Any = SecurityPolicyNone()
    if mode is not None:
        crypto: Any = Cryptography(mode)
        signing, key, vector = os.urandom(32), os.urandom(size), os.urandom(16)
        crypto.Signer, crypto.Verifier = SignerHMac256(signing), VerifierHMac256(signing)
        crypto.Encryptor, crypto.Decryptor = EncryptorAesCbc(key, vector), DecryptorAesCbc(key, vector)
        made.symmetric_cryptography = crypto
    return made


def channel(kind: type, secured: Any) -> Any:
    made = kind(secured, TransportLimits(**LIMITS))
    made.security_token.ChannelId, made.security_token.TokenId = 5, 9
    return made


def chunks_of(data: bytes) -> list[bytes]:
    found: list[bytes] = []
    while data:
        size = int.from_bytes(data[4:8], "little")
        found.append(data[:size])
        data = data[size:]
    return found


SIZES = st.integers(1, 200) | st.integers(8000, 8200) | st.integers(16_000, 17_000)


@pytest.mark.parametrize("size", KEY_SIZES)
@pytest.mark.parametrize("mode", MODES)
@given(length=SIZES, request_id=st.integers(0, 2**32 - 1))
def test_messages_are_sealed_as_asyncua_does(mode: Any, size: int, length: int, request_id: int) -> None:
    secured, body = policy(mode, size), os.urandom(length)
    ours, theirs = channel(PlantChannel, secured), channel(SecureConnection, secured)
    for _ in range(2):
        assert ours.message_to_binary(body, request_id=request_id) == theirs.message_to_binary(
            body, request_id=request_id
        )
    assert ours._sequence_number == theirs._sequence_number


@pytest.mark.parametrize("size", KEY_SIZES)
@pytest.mark.parametrize("mode", MODES)
@given(length=SIZES)
def test_messages_of_asyncua_are_opened(mode: Any, size: int, length: int) -> None:
    secured, body = policy(mode, size), os.urandom(length)
    ours, theirs = channel(PlantChannel, secured), channel(SecureConnection, secured)
    for _ in range(2):  # the second follows the first one's sequence numbers
        message = ours.open_message(chunks_of(theirs.message_to_binary(body, request_id=77)))
        assert message is not None
        assert (message.body, message.request_id, message.sequence) == (body, 77, theirs._sequence_number)
        ours.took(message)


@pytest.mark.parametrize("mode", MODES[1:])
@given(length=st.integers(1, 300), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_changed_bit_is_not_opened(mode: Any, length: int, where: float, bit: int) -> None:
    secured = policy(mode)
    ours, theirs = channel(PlantChannel, secured), channel(SecureConnection, secured)
    chunk = bytearray(theirs.message_to_binary(os.urandom(length), request_id=1))
    chunk[int(where * len(chunk))] ^= 1 << bit
    assert ours.open_message([bytes(chunk)]) is None
    assert ours._peer_sequence_number is None


def test_wrong_order_wrong_token_and_unfinished_messages_are_left_to_asyncua() -> None:
    secured = policy(ua.MessageSecurityMode.SignAndEncrypt)
    ours, theirs = channel(PlantChannel, secured), channel(SecureConnection, secured)
    first = chunks_of(theirs.message_to_binary(bytes(100), request_id=1))
    second = chunks_of(theirs.message_to_binary(bytes(100), request_id=2))
    long = chunks_of(theirs.message_to_binary(bytes(10_000), request_id=3))
    opened = ours.open_message(first)
    assert opened is not None
    ours.took(opened)
    assert ours.open_message(first) is None, "a replay"
    assert ours.open_message(long) is None, "one is missing"
    opened = ours.open_message(second)
    assert opened is not None
    ours.took(opened)
    assert len(long) == 2
    assert ours.open_message(long[:1]) is None
    assert ours.open_message([long[1], long[0]]) is None
    ours.security_token.TokenId = 10
    assert ours.open_message(long) is None
    ours.security_token.TokenId = 9
    assert ours.open_message(long) is not None


def test_what_it_seals_asyncua_opens() -> None:
    secured = policy(ua.MessageSecurityMode.SignAndEncrypt)
    ours = channel(PlantChannel, secured)
    body = os.urandom(20_000)
    found = b""
    for chunk in chunks_of(ours.message_to_binary(body, request_id=3)):
        found += MessageChunk.from_binary(secured, Buffer(chunk)).Body
    assert found == body
