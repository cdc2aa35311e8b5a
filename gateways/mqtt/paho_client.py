"""paho's client with two things of paho 2.2 mended: a system call for each packet, and a leak.

paho writes each packet by itself and reads each in three parts. Behind a buffer many messages are one write and one TLS
record, and their PUBACKs one read.
"""

import contextlib
import socket
import ssl
from typing import Any

from paho.mqtt.client import Client

_MOST = 1 << 18
"""Bytes that may wait in the buffer."""
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


_QUICK: int | None = getattr(socket, "TCP_QUICKACK", None)


class BufferedSocket:
    """A non-blocking socket with buffers: what is sent goes out with `flush`; `close` flushes what it can."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._out = bytearray()
        self._in = b""
        self._at = 0

    @property
    def unsent(self) -> int:
        """Bytes that wait for `flush`."""
        return len(self._out)

    def recv(self, buffer_size: int) -> bytes:
        """Return some bytes; raises BlockingIOError when there are none, returns none at the end."""
        if self._at >= len(self._in):
            self._in, self._at = self._socket.recv(65_536), 0
            self.acknowledge_at_once()
        found = self._in[self._at : self._at + buffer_size]
        self._at += len(found)
        return found

    def acknowledge_at_once(self) -> None:
        """Have the kernel acknowledge what comes next without delay (Linux forgets it after each read).

        A broker that leaves Nagle's algorithm on, as mosquitto does, holds PUBACKs back until then: 40 ms each time.
        """
        if _QUICK is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK, 1)

    def pending(self) -> int:
        """Return how many bytes are here already, so that the file descriptor does not tell of them."""
        decrypted = self._socket.pending() if isinstance(self._socket, ssl.SSLSocket) else 0
        return len(self._in) - self._at + decrypted

    def send(self, buffer: bytes | bytearray) -> int:
        """Take all bytes, or raise BlockingIOError."""
        if len(self._out) >= _MOST:
            self.flush()
            if len(self._out) >= _MOST:
                raise BlockingIOError
        self._out += buffer
        return len(buffer)

    def flush(self) -> None:
        """Write as much as goes without waiting; raises OSError when the connection is gone."""
        while self._out:
            try:
                sent = self._socket.send(self._out)
            except _WOULD_BLOCK:
                return
            del self._out[:sent]

    def close(self) -> None:
        """Close the socket."""
        with contextlib.suppress(OSError):
            self.flush()
        self._socket.close()

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._socket.fileno()

    def setblocking(self, flag: bool) -> None:
        """Pass it on."""
        self._socket.setblocking(flag)


class PahoClient(Client):
    """A Client over a BufferedSocket."""

    @property
    def buffered(self) -> BufferedSocket | None:
        """The socket, None when there is no connection."""
        sock: Any = self.socket()
        return sock

    def _create_socket(self) -> BufferedSocket:
        sock: Any = super()._create_socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return BufferedSocket(sock)

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        context = self._ssl_context
        assert context is not None  # noqa: S101  set before connecting
        wrapped = context.wrap_socket(tcp_sock, server_hostname=self._host, do_handshake_on_connect=False)
        try:
            wrapped.settimeout(self.connect_timeout)
            wrapped.do_handshake()
        except BaseException:
            wrapped.close()  # paho leaves it open
            raise
        return wrapped
