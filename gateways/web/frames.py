"""WebSocket frames that are made once and written to many: uvicorn's protocol, with a way past its queue."""

import struct
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

EXTENSION = "plantree.socket"
_TEXT = 0x81
_SHORT, _LONG = 126, 0x10000


def text_frame(payload: bytes) -> bytes:
    """Return one unfragmented text frame as a server sends it, unmasked (RFC 6455 5.2)."""
    size = len(payload)
    if size < _SHORT:
        return struct.pack("!BB", _TEXT, size) + payload
    if size < _LONG:
        return struct.pack("!BBH", _TEXT, 126, size) + payload
    return struct.pack("!BBQ", _TEXT, 127, size) + payload


class Protocol(WebSocketsSansIOProtocol):
    """A WebSocket that a broadcaster may write whole frames to, and see how much of them still waits.

    What an application sends is written at once as a whole, too, so that frames of both never mix.
    """

    scope: Any

    def handle_connect(self, event: Any) -> None:
        """Hand ourselves to the application, whose task begins with the loop's next turn."""
        super().handle_connect(event)
        if getattr(self, "scope", None) is not None:
            self.scope["extensions"][EXTENSION] = self

    @property
    def is_open(self) -> bool:
        """Whether frames may still be written."""
        return self.handshake_complete and not (self.close_sent or self.disconnected or self.transport.is_closing())

    @property
    def waiting(self) -> int:
        """Bytes that the network has not taken yet."""
        return self.transport.get_write_buffer_size()

    def write(self, frame: bytes) -> None:
        """Write a frame without waiting."""
        self.transport.write(frame)

    def cut_off(self) -> None:
        """Close at once; what waits is lost."""
        self.transport.abort()
