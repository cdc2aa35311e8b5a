"""One client for all servers: plain TCP, SecurityPolicy None, requests encoded once, answers checked by hand.

It does nothing a benchmark does not need, so that the server is what limits a measurement; each result carries the
share of a core that the client took, which shows whether that held.
"""

import itertools
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Self, TypeVar

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.crypto import security_policies, uacrypto
from asyncua.ua.ua_binary import Primitives, struct_from_binary, struct_to_binary

from bench import wire
from bench.wire import WireError

T = TypeVar("T")

_NONE_POLICY = b"http://opcfoundation.org/UA/SecurityPolicy#None"
_BUFFER = 65_535
_PAYLOAD = _BUFFER - 24
NAMESPACE = 2


class Prepared:
    """A request that is encoded: its chunks' payloads, to be sent any number of times."""

    __slots__ = ("chunks",)

    def __init__(self, body: bytes) -> None:
        self.chunks = [body[at : at + _PAYLOAD] for at in range(0, len(body), _PAYLOAD)]


class RawClient:
    """One session on one connection. Blocking; every wait ends after `timeout` seconds with TimeoutError."""

    def __init__(self, port: int, path: str = "", user: tuple[str, str] | None = None, timeout: float = 60.0) -> None:
        self.url = f"opc.tcp://127.0.0.1:{port}{path}"
        self.timeout = timeout
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._incoming = bytearray()
        self._parts: list[bytes] = []
        self._sequence = itertools.count(1)
        self._request_id = itertools.count(1)
        self._channel = self._token = 0
        self._authentication = ua.NodeId()
        try:
            self._open(user)
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Close the session and the connection; what still arrives is thrown away."""
        try:
            request = ua.CloseSessionRequest()
            request.DeleteSubscriptions = True
            self.send(self.prepare(request))
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server may have gone first
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prepare(self, request: Any) -> Prepared:
        """Encode a request once."""
        request.RequestHeader.AuthenticationToken = self._authentication
        request.RequestHeader.TimeoutHint = 0
        return Prepared(struct_to_binary(request))

    def send(self, prepared: Prepared) -> int:
        """Send a request; returns its id."""
        request_id = next(self._request_id)
        last = len(prepared.chunks) - 1
        parts: list[bytes] = []
        for index, payload in enumerate(prepared.chunks):
            kind = b"MSGF" if index == last else b"MSGC"
            header = (24 + len(payload), self._channel, self._token, next(self._sequence), request_id)
            parts += [kind, struct.pack("<5I", *header), payload]
        self._socket.sendall(b"".join(parts))
        return request_id

    def receive(self, deadline: float | None = None) -> tuple[int, bytes]:
        """Return the next answer's request id and body; TimeoutError when none has come by `deadline` (monotonic)."""
        deadline = time.monotonic() + self.timeout if deadline is None else deadline
        parts = self._parts  # kept from a wait that ended in the middle of a message
        while True:
            chunk = self._chunk(deadline)
            if chunk[:3] != b"MSG":
                raise WireError(f"the server answered {bytes(chunk[:3])!r}: {_error(chunk)}")
            (request_id,) = struct.unpack_from("<I", chunk, 20)
            parts.append(chunk[24:])
            if chunk[3] == 0x46:  # F: final
                self._parts = []
                return request_id, parts[0] if len(parts) == 1 else b"".join(parts)
            if chunk[3] != 0x43:  # C: more to come
                raise WireError("the server aborted a message")

    def ask(self, prepared: Prepared) -> bytes:
        """Send a request and return its answer's body."""
        request_id = self.send(prepared)
        found, body = self.receive()
        if found != request_id:
            raise WireError(f"answer to request {found}, expected {request_id}")
        return body

    def call_service(self, request: Any, answer: type[T]) -> T:
        """Send a request and return its answer decoded by asyncua; for what is not measured."""
        body = self.ask(self.prepare(request))
        (status,) = struct.unpack_from("<I", body, 16)
        if status:
            raise WireError(f"{type(request).__name__} failed with {ua.StatusCode(status).name}")
        return struct_from_binary(answer, Buffer(body))

    def pump(self, prepared: Prepared, check: Callable[[bytes], object], seconds: float, outstanding: int) -> int:
        """Keep `outstanding` requests under way for some seconds; returns how many answers came, all checked."""
        answers, waiting = 0, deque[int]()
        for _ in range(outstanding):
            waiting.append(self.send(prepared))
        end = time.perf_counter() + seconds
        while waiting:
            request_id, body = self.receive()
            if request_id != waiting.popleft():
                raise WireError("answers came out of order")
            check(body)
            answers += 1
            if time.perf_counter() < end:
                waiting.append(self.send(prepared))
        return answers

    def read_request(self, identifiers: Iterable[str]) -> Prepared:
        """Prepare a read of Values."""
        request = ua.ReadRequest()
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.NodesToRead = [value_of(identifier) for identifier in identifiers]
        return self.prepare(request)

    def write_request(self, identifiers: Iterable[str], value: float) -> Prepared:
        """Prepare a write of one Double to many Values."""
        request = ua.WriteRequest()
        for identifier in identifiers:
            data_value = ua.DataValue(ua.Variant(value, ua.VariantType.Double), StatusCode=None)
            request.Parameters.NodesToWrite.append(
                ua.WriteValue(ua.NodeId(identifier, NAMESPACE), ua.AttributeIds.Value, Value=data_value)
            )
        return self.prepare(request)

    def call_request(self, owner: str, method: str, *arguments: ua.Variant) -> Prepared:
        """Prepare a method call."""
        request = ua.CallRequest()
        call = ua.CallMethodRequest(ua.NodeId(owner, NAMESPACE), ua.NodeId(f"{owner}.{method}", NAMESPACE))
        call.InputArguments = list(arguments)
        request.Parameters.MethodsToCall = [call]
        return self.prepare(request)

    def call(self, owner: str, method: str, *arguments: ua.Variant) -> ua.CallMethodResult:
        """Call a method and return its result, whatever its status."""
        body = self.ask(self.call_request(owner, method, *arguments))
        wire.check_header(body, wire.CALL_RESPONSE)
        return struct_from_binary(ua.CallResponse, Buffer(body)).Results[0]

    def _open(self, user: tuple[str, str] | None) -> None:
        url = self.url.encode()
        hello = struct.pack("<5Ii", 0, _BUFFER, _BUFFER, 0, 0, len(url)) + url
        self._socket.sendall(b"HELF" + struct.pack("<I", 8 + len(hello)) + hello)
        deadline = time.monotonic() + self.timeout
        answer = self._chunk(deadline)
        if answer[:3] != b"ACK":
            raise WireError(f"no Acknowledge: {_error(answer)}")
        self._open_channel(deadline)
        self._open_session(user)

    def _open_channel(self, deadline: float) -> None:
        request = ua.OpenSecureChannelRequest()
        request.Parameters.ClientProtocolVersion = 0
        request.Parameters.RequestType = ua.SecurityTokenRequestType.Issue
        request.Parameters.SecurityMode = ua.MessageSecurityMode.None_
        request.Parameters.RequestedLifetime = 3_600_000
        request.Parameters.ClientNonce = b""
        security = struct.pack("<i", len(_NONE_POLICY)) + _NONE_POLICY + struct.pack("<ii", -1, -1)
        sequence = struct.pack("<II", next(self._sequence), next(self._request_id))
        body = security + sequence + struct_to_binary(request)
        self._socket.sendall(b"OPNF" + struct.pack("<II", 12 + len(body), 0) + body)
        answer = self._chunk(deadline)
        if answer[:3] != b"OPN":
            raise WireError(f"no secure channel: {_error(answer)}")
        at = 12
        for _ in range(3):
            (length,) = struct.unpack_from("<i", answer, at)
            at += 4 + max(length, 0)
        response = struct_from_binary(ua.OpenSecureChannelResponse, Buffer(bytes(answer[at + 8 :])))
        token = response.Parameters.SecurityToken
        self._channel, self._token = int(token.ChannelId), int(token.TokenId)

    def _open_session(self, user: tuple[str, str] | None) -> None:
        request = ua.CreateSessionRequest()
        parameters = request.Parameters
        parameters.ClientDescription.ApplicationUri = "urn:plantree:bench"
        parameters.ClientDescription.ApplicationName = ua.LocalizedText("bench")
        parameters.ClientDescription.ApplicationType = ua.ApplicationType.Client
        parameters.EndpointUrl = self.url
        parameters.SessionName = "bench"
        parameters.ClientNonce = bytes(32)
        parameters.RequestedSessionTimeout = 3_600_000.0
        parameters.MaxResponseMessageSize = 0
        created: Any = self.call_service(request, ua.CreateSessionResponse).Parameters
        self._authentication = created.AuthenticationToken
        activate = ua.ActivateSessionRequest()
        activate.Parameters.LocaleIds = ["en"]
        activate.Parameters.UserIdentityToken = _token(created, user)
        self.call_service(activate, ua.ActivateSessionResponse)

    def _chunk(self, deadline: float) -> bytes:
        self._fill(8, deadline)
        (size,) = struct.unpack_from("<I", self._incoming, 4)
        self._fill(size, deadline)
        chunk = bytes(self._incoming[:size])
        del self._incoming[:size]
        return chunk

    def _fill(self, size: int, deadline: float) -> None:
        while len(self._incoming) < size:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError("the server did not answer in time")
            self._socket.settimeout(remaining)
            data = self._socket.recv(1 << 20)
            self._socket.settimeout(self.timeout)
            if not data:
                raise ConnectionError("the server closed the connection")
            self._incoming += data


def value_of(identifier: str) -> ua.ReadValueId:
    """Return the Value attribute of a variable of the plant."""
    return ua.ReadValueId(ua.NodeId(identifier, NAMESPACE), ua.AttributeIds.Value)


def _token(created: Any, user: tuple[str, str] | None) -> Any:
    kind = ua.UserTokenType.Anonymous if user is None else ua.UserTokenType.UserName
    for endpoint in created.ServerEndpoints:
        if endpoint.SecurityMode != ua.MessageSecurityMode.None_:
            continue
        for policy in endpoint.UserIdentityTokens:
            if policy.TokenType == kind:
                return _anonymous(policy) if user is None else _user_name(policy, created, user)
    raise WireError(f"the server has no endpoint without security that takes a {kind.name} token")


def _anonymous(policy: Any) -> Any:
    token = ua.AnonymousIdentityToken()
    token.PolicyId = policy.PolicyId
    return token


def _user_name(policy: Any, created: Any, user: tuple[str, str]) -> Any:
    token = ua.UserNameIdentityToken()
    token.PolicyId, token.UserName = policy.PolicyId, user[0]
    if policy.SecurityPolicyUri and policy.SecurityPolicyUri.encode() != _NONE_POLICY:
        key = uacrypto.x509_from_der(created.ServerCertificate).public_key()
        secret = Primitives.Bytes.pack(user[1].encode() + created.ServerNonce)
        token.Password, token.EncryptionAlgorithm = security_policies.encrypt_asymmetric(
            key, secret, policy.SecurityPolicyUri
        )
    else:
        token.Password = user[1].encode()
    return token


def _error(chunk: bytes) -> str:
    if chunk[:3] != b"ERR":
        return "an unexpected message"
    code, length = struct.unpack_from("<Ii", chunk, 8)
    return f"0x{code:08X} {bytes(chunk[16 : 16 + max(length, 0)]).decode(errors='replace')}"
