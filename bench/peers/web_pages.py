"""Pages that are open and only take what comes: sockets with no browser behind them. Steered by lines of JSON.

`{"open": 50}` opens pages or closes them, `{"count": true}` returns the frames and bytes that all have taken so far.
"""

import argparse
import json
import selectors
import socket
import struct
import sys
import threading

_UPGRADE = (
    "GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer {token}\r\n\r\n"
)


class Page:
    """One connection; `frames` counts whole text frames."""

    def __init__(self, port: int, token: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.sendall(_UPGRADE.format(token=token).encode())
        self.frames = self.bytes = 0
        self._rest = b""
        while b"\r\n\r\n" not in self._rest:
            self._rest += self.socket.recv(65_536)
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        if b" 101 " not in head:
            raise ConnectionError(head.decode("latin-1"))
        self.socket.setblocking(False)

    def take(self) -> bool:
        """Take what is there; False at the end."""
        data = self.socket.recv(1 << 20)
        self.bytes += len(data)
        self._rest += data
        while len(self._rest) >= 2:
            size, at = self._rest[1], 2
            if size >= 126:
                form = ">H" if size == 126 else ">Q"
                at = 2 + struct.calcsize(form)
                if len(self._rest) < at:
                    break
                (size,) = struct.unpack(form, self._rest[2:at])
            if len(self._rest) < at + size:
                break
            self.frames += self._rest[0] == 0x81
            self._rest = self._rest[at + size :]
        return bool(data)


def main() -> int:
    """Take frames until standard input is closed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token", required=True)
    args = parser.parse_args()
    pages: list[Page] = []
    waiting, turn = selectors.DefaultSelector(), threading.Lock()
    threading.Thread(target=_take, args=(waiting, turn), daemon=True).start()
    for line in sys.stdin:
        wanted = json.loads(line)
        with turn:
            while len(pages) < wanted.get("open", len(pages)):
                pages.append(Page(args.port, args.token))
                waiting.register(pages[-1].socket, selectors.EVENT_READ, pages[-1])
            while len(pages) > wanted.get("open", len(pages)):
                page = pages.pop()
                waiting.unregister(page.socket)
                page.socket.close()
            found = {"frames": sum(it.frames for it in pages), "bytes": sum(it.bytes for it in pages)}
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()
    return 0


def _take(waiting: selectors.BaseSelector, turn: threading.Lock) -> None:
    while True:
        ready = waiting.select(0.05)
        with turn:
            for key, _ in ready:
                if key.fileobj in waiting.get_map() and not key.data.take():
                    waiting.unregister(key.fileobj)


if __name__ == "__main__":
    sys.exit(main())
