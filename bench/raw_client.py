"""One client for all servers: requests encoded once, answers checked by hand; plain TCP, or an encrypted channel.

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
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from bench import wire
from bench.channel import Identity, Plain
from bench.handshake import Handshake, certificate_of, error_of
from bench.wire import WireError

T = TypeVar("T")

NAMESPACE = 2
_AHEAD = 1 << 20
"""Bytes asked of the socket at once, at most."""
_FINAL, _INTERMEDIATE = b"MSGF", b"MSGC"
_F, _C = _FINAL[3], _INTERMEDIATE[3]


class Prepared:
    """A request that is encoded: its chunks' payloads, to be sent any number of times."""

    __slots__ = ("chunks",)

    def __init__(self, body: bytes, room: int) -> None:
        self.chunks = [body[at : at + room] for at in range(0, len(body), room)]


class RawClient:
    """One session on one connection. Blocking; every wait ends after `timeout` seconds with TimeoutError.

    With an `identity` the channel is Basic256Sha256, SignAndEncrypt. Without a session (`session=False`) only discovery
    services are answered.
    """

    def __init__(
        self,
        port: int,
        path: str = "",
        user: tuple[str, str] | None = None,
        timeout: float = 60.0,
        identity: Identity | None = None,
        *,
        session: bool = True,
    ) -> None:
        self.timeout = timeout
        certificate = b""
        if identity is not None:
            with RawClient(port, path, None, timeout, session=False) as plain:
                certificate = plain.server_certificate()
        self._handshake = Handshake(f"opc.tcp://127.0.0.1:{port}{path}", identity, certificate)
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._incoming = memoryview(bytearray(4 * _AHEAD))
        self._start = self._end = 0
        self._parts: list[bytes] = []
        self._sequence = itertools.count(1)
        self._request_id = itertools.count(1)
        self._channel = Plain(0, 0)
        self._authentication = ua.NodeId()
        self.sealing = self.opening = 0.0
        """What the last burst took to seal a request, and to open and check an answer (s)."""
        self._session = session
        try:
            self._open(user)
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Close the session and the connection; what still arrives is thrown away."""
        try:
            if self._session:
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
        return self.prepared(struct_to_binary(request))

    def prepared(self, body: bytes) -> Prepared:
        """Return an encoded request for this channel."""
        return Prepared(body, self._channel.room)

    def seal(self, prepared: Prepared) -> tuple[int, bytes]:
        """Return a request's id and its chunks, to be sent in the order in which they were sealed."""
        request_id = next(self._request_id)
        last = len(prepared.chunks) - 1
        seal, sequence = self._channel.seal, self._sequence
        if last == 0:
            return request_id, seal(_FINAL, next(sequence), request_id, prepared.chunks[0])
        return request_id, b"".join(
            seal(_FINAL if index == last else _INTERMEDIATE, next(sequence), request_id, payload)
            for index, payload in enumerate(prepared.chunks)
        )

    def send(self, prepared: Prepared) -> int:
        """Send a request; returns its id."""
        request_id, data = self.seal(prepared)
        self._socket.sendall(data)
        return request_id

    def receive(self, deadline: float | None = None) -> tuple[int, bytes]:
        """Return the next answer's request id and body; TimeoutError when none has come by `deadline` (monotonic)."""
        parts = self._parts  # kept from a wait that ended in the middle of a message
        while True:
            chunk = self._message_chunk(deadline)
            plain = self._channel.open(chunk)
            (request_id,) = struct.unpack_from("<I", plain, 4)
            parts.append(plain[8:])
            if chunk[3] == _F:
                self._parts = []
                return request_id, parts[0] if len(parts) == 1 else b"".join(parts)

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

    def burst(self, prepared: Prepared, check: Callable[[bytes], object], count: int, outstanding: int) -> float:
        """Have `count` answers with `outstanding` requests under way; returns the seconds.

        Requests are sealed before the clock starts, answers opened and checked when it has stopped.
        """
        sealing = time.perf_counter()
        requests = [self.seal(prepared) for _ in range(count)]
        self.sealing = (time.perf_counter() - sealing) / count
        chunks: list[bytes] = []
        began = time.perf_counter()
        for _, data in requests[:outstanding]:
            self._socket.sendall(data)
        finals = 0
        while finals < count:
            chunk = self._message_chunk(None)
            chunks.append(chunk)
            if chunk[3] == _F:
                finals += 1
                if outstanding + finals <= count:
                    self._socket.sendall(requests[outstanding + finals - 1][1])
        took = time.perf_counter() - began
        opening = time.perf_counter()
        self._check(chunks, [request_id for request_id, _ in requests], check)
        self.opening = (time.perf_counter() - opening) / count
        return took

    def _check(self, chunks: Iterable[bytes], expected: Iterable[int], check: Callable[[bytes], object]) -> None:
        ids = iter(expected)
        parts: list[bytes] = []
        for chunk in chunks:
            plain = self._channel.open(chunk)
            parts.append(plain[8:])
            if chunk[3] == _F:
                if struct.unpack_from("<I", plain, 4)[0] != next(ids):
                    raise WireError("answers came out of order")
                check(b"".join(parts))
                parts.clear()

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

    def server_certificate(self) -> bytes:
        """Return the certificate with which the server offers Basic256Sha256 SignAndEncrypt."""
        request = ua.GetEndpointsRequest()
        request.Parameters.EndpointUrl = self._handshake.url
        return certificate_of(self.call_service(request, ua.GetEndpointsResponse).Endpoints)

    def _open(self, user: tuple[str, str] | None) -> None:
        self._socket.sendall(self._handshake.hello())
        answer = self._chunk(None)
        if answer[:3] != b"ACK":
            raise WireError(f"no Acknowledge: {error_of(answer)}")
        self._socket.sendall(self._handshake.open_channel(next(self._sequence), next(self._request_id)))
        self._channel = self._handshake.channel(self._chunk(None))
        if not self._session:
            return
        created: Any = self.call_service(self._handshake.create_session(), ua.CreateSessionResponse).Parameters
        self._authentication = created.AuthenticationToken
        self.call_service(self._handshake.activate_session(created, user), ua.ActivateSessionResponse)

    def _message_chunk(self, deadline: float | None) -> bytes:
        chunk = self._chunk(deadline)
        if chunk[:3] != b"MSG":
            raise WireError(f"the server answered {bytes(chunk[:3])!r}: {error_of(chunk)}")
        if chunk[3] not in (_F, _C):
            raise WireError("the server aborted a message")
        return chunk

    def _chunk(self, deadline: float | None) -> bytes:
        self._fill(8, deadline)
        (size,) = struct.unpack_from("<I", self._incoming, self._start + 4)
        self._fill(size, deadline)
        start, self._start = self._start, self._start + size
        return bytes(self._incoming[start : self._start])

    def _fill(self, size: int, deadline: float | None) -> None:
        """Receive until `size` bytes are there."""
        if self._start == self._end:
            self._start = self._end = 0
        elif len(self._incoming) - self._start < size + _AHEAD:
            rest = bytes(self._incoming[self._start : self._end])
            self._incoming[: len(rest)] = rest
            self._start, self._end = 0, len(rest)
        while self._end - self._start < size:
            if deadline is not None:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise TimeoutError("the server did not answer in time")
                self._socket.settimeout(remaining)
            try:
                received = self._socket.recv_into(self._incoming[self._end :], _AHEAD)
            finally:
                if deadline is not None:
                    self._socket.settimeout(self.timeout)
            if not received:
                raise ConnectionError("the server closed the connection")
            self._end += received


def value_of(identifier: str) -> ua.ReadValueId:
    """Return the Value attribute of a variable of the plant."""
    return ua.ReadValueId(ua.NodeId(identifier, NAMESPACE), ua.AttributeIds.Value)
