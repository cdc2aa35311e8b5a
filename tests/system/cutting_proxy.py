"""A TCP proxy that cuts connections in the middle of what they carry."""

import contextlib
import random
import select
import socket
import struct
import threading
from types import TracebackType
from typing import Self

_MOST = 16_384
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: what is not sent yet is gone, and the peer gets a reset


class CuttingProxy:
    """Forwards a port of 127.0.0.1 to `target`; a context manager.

    While `cutting` is set, each connection carries some bytes, another number each time, and is cut then.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.port = int(self._listener.getsockname()[1])
        self.cutting = threading.Event()
        self.cuts = 0
        """Connections cut; so many bytes of each had passed."""
        self.passed: list[int] = []
        self._random = random.Random(7)  # noqa: S311  no secret
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._accept, name="proxy")]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._forward, args=(client,), name="proxied")
                self._threads.append(thread)
                thread.start()

    def _forward(self, client: socket.socket) -> None:
        with client:
            try:
                peer = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                return
            for end in (client, peer):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with peer, contextlib.suppress(ConnectionError):
                self._carry({client: peer, peer: client})

    def _carry(self, other: dict[socket.socket, socket.socket]) -> None:
        """Carry bytes both ways until one side ends, or the lot of this connection is used up."""
        left = passed = 0
        while not self._ending.is_set():
            for one in select.select(list(other), [], [], 0.1)[0]:
                data = one.recv(_MOST)
                # mosquitto leaves Nagle's algorithm on: without this each PUBACK would take 40 ms to come through.
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                if not data:
                    return
                if not self.cutting.is_set():
                    left = 0
                elif left == 0:
                    left = int(10 ** self._random.uniform(2, 6))  # from the handshake to a second's messages
                cut = 0 < left <= len(data)
                other[one].sendall(data[:left] if cut else data)
                passed += len(data)
                if cut:
                    self.cuts += 1
                    self.passed.append(passed)
                    for end in other:
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    return
                left -= len(data) if left else 0
