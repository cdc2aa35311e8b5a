"""How the raw client comes to its channel and session; none of it is measured, so asyncua encodes and decodes it."""

import secrets
import struct
from typing import Any

from asyncua import ua
from asyncua.common.connection import MessageChunk
from asyncua.common.utils import Buffer
from asyncua.crypto import security_policies, uacrypto
from asyncua.ua.ua_binary import Primitives, struct_from_binary, struct_to_binary
from cryptography.hazmat.primitives.serialization import load_der_private_key

from bench.channel import BASIC256SHA256, BUFFER, URI, Encrypted, Identity, Plain
from bench.wire import WireError

_NONE = ua.MessageSecurityMode.None_
_ENCRYPTED = ua.MessageSecurityMode.SignAndEncrypt


class Handshake:
    """Policy and messages of the way to a session; `identity` asks for Basic256Sha256 SignAndEncrypt."""

    def __init__(self, url: str, identity: Identity | None, server_certificate: bytes = b"") -> None:
        self.url = url
        self._identity = identity
        self._mode = _NONE if identity is None else _ENCRYPTED
        self._nonce = b"" if identity is None else secrets.token_bytes(32)
        self._policy: Any = security_policies.SecurityPolicyNone()
        if identity is not None:
            own = uacrypto.x509_from_der(identity.certificate.read_bytes())
            key = load_der_private_key(identity.key.read_bytes(), None)
            self._policy = security_policies.SecurityPolicyBasic256Sha256(server_certificate, own, key, self._mode)

    def hello(self) -> bytes:
        """Return a Hello (OPC 10000-6 7.1.2.3)."""
        url = self.url.encode()
        body = struct.pack("<5Ii", 0, BUFFER, BUFFER, 0, 0, len(url)) + url
        return b"HELF" + struct.pack("<I", 8 + len(body)) + body

    def open_channel(self, sequence: int, request_id: int) -> bytes:
        """Return an OpenSecureChannel request."""
        request = ua.OpenSecureChannelRequest()
        request.Parameters.ClientProtocolVersion = 0
        request.Parameters.RequestType = ua.SecurityTokenRequestType.Issue
        request.Parameters.SecurityMode = self._mode
        request.Parameters.RequestedLifetime = 3_600_000
        request.Parameters.ClientNonce = self._nonce
        kind = ua.MessageType.SecureOpen
        (chunk,) = MessageChunk.message_to_chunks(
            self._policy, struct_to_binary(request), BUFFER, kind, 0, request_id, 0
        )
        chunk.SequenceHeader.SequenceNumber = sequence
        return chunk.to_binary()

    def channel(self, answer: bytes) -> Plain:
        """Return the channel that an OpenSecureChannel response opens."""
        if answer[:3] != b"OPN":
            raise WireError(f"no secure channel: {error_of(answer)}")
        body = MessageChunk.from_binary(self._policy, Buffer(answer)).Body
        response: Any = struct_from_binary(ua.OpenSecureChannelResponse, Buffer(body)).Parameters
        channel, token = int(response.SecurityToken.ChannelId), int(response.SecurityToken.TokenId)
        if self._identity is None:
            return Plain(channel, token)
        return Encrypted(channel, token, self._nonce, response.ServerNonce)

    def create_session(self) -> Any:
        """Return a CreateSession request."""
        request = ua.CreateSessionRequest()
        parameters = request.Parameters
        parameters.ClientDescription.ApplicationUri = URI
        parameters.ClientDescription.ApplicationName = ua.LocalizedText("bench")
        parameters.ClientDescription.ApplicationType = ua.ApplicationType.Client
        parameters.EndpointUrl = self.url
        parameters.SessionName = "bench"
        parameters.ClientNonce = secrets.token_bytes(32)
        parameters.RequestedSessionTimeout = 3_600_000.0
        parameters.MaxResponseMessageSize = 0
        if self._identity is not None:
            parameters.ClientCertificate = self._identity.certificate.read_bytes()
        return request

    def activate_session(self, created: Any, user: tuple[str, str] | None) -> Any:
        """Return an ActivateSession request for what CreateSession answered."""
        request = ua.ActivateSessionRequest()
        request.Parameters.LocaleIds = ["en"]
        request.Parameters.UserIdentityToken = self._token(created, user)
        if self._identity is not None:
            challenge = self._policy.peer_certificate + created.ServerNonce
            request.Parameters.ClientSignature.Algorithm = self._policy.AsymmetricSignatureURI
            request.Parameters.ClientSignature.Signature = self._policy.asymmetric_cryptography.signature(challenge)
        return request

    def _token(self, created: Any, user: tuple[str, str] | None) -> Any:
        kind = ua.UserTokenType.Anonymous if user is None else ua.UserTokenType.UserName
        wanted = "" if self._identity is None else BASIC256SHA256
        for endpoint in created.ServerEndpoints:
            if endpoint.SecurityMode != self._mode or (wanted and endpoint.SecurityPolicyUri != wanted):
                continue
            for policy in endpoint.UserIdentityTokens:
                if policy.TokenType == kind:
                    return _anonymous(policy) if user is None else _user_name(policy, endpoint, created, user)
        raise WireError(f"the server has no endpoint with {self._mode.name} that takes a {kind.name} token")


def certificate_of(endpoints: Any) -> bytes:
    """Return the certificate of a server that offers Basic256Sha256 SignAndEncrypt."""
    for endpoint in endpoints:
        if endpoint.SecurityMode == _ENCRYPTED and endpoint.SecurityPolicyUri == BASIC256SHA256:
            return endpoint.ServerCertificate
    raise WireError("the server does not offer Basic256Sha256 SignAndEncrypt")


def error_of(chunk: bytes) -> str:
    """Return what an Error message says (OPC 10000-6 7.1.2.5)."""
    if chunk[:3] != b"ERR":
        return "an unexpected message"
    code, length = struct.unpack_from("<Ii", chunk, 8)
    return f"0x{code:08X} {bytes(chunk[16 : 16 + max(length, 0)]).decode(errors='replace')}"


def _anonymous(policy: Any) -> Any:
    token = ua.AnonymousIdentityToken()
    token.PolicyId = policy.PolicyId
    return token


def _user_name(policy: Any, endpoint: Any, created: Any, user: tuple[str, str]) -> Any:
    token = ua.UserNameIdentityToken()
    token.PolicyId, token.UserName = policy.PolicyId, user[0]
    uri = policy.SecurityPolicyUri or endpoint.SecurityPolicyUri
    token.Password = user[1].encode()
    if uri != security_policies.SecurityPolicyNone.URI:
        key = uacrypto.x509_from_der(created.ServerCertificate or endpoint.ServerCertificate).public_key()
        secret = Primitives.Bytes.pack(user[1].encode() + created.ServerNonce)
        token.Password, token.EncryptionAlgorithm = security_policies.encrypt_asymmetric(key, secret, uri)
    return token
