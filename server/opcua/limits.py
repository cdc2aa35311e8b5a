"""How much clients may ask for, and how long they may take: what is published in ServerCapabilities, and enforced."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Sizes in bytes, times in seconds. Those of subscriptions are in `server.opcua.subscriptions.limits`."""

    sessions: int = 100
    connections: int = 0
    """TCP connections at a time; 0: twice the sessions and 100."""
    handshake: float = 10.0
    """How long a connection may take to open its secure channel."""
    activation: float = 30.0
    """How long a connection may be without an activated session."""
    nodes_per_read: int = 10_000
    nodes_per_write: int = 2_000
    paths_per_translation: int = 1_000
    calls: int = 1_000
    """Methods of one CallRequest."""
    nodes_per_history: int = 1_000
    """Of one HistoryRead or HistoryUpdate."""
    string_bytes: int = 64 * 1024
    """Of a String or ByteString that is written or given to a method."""
    array_length: int = 65_535
    request_bytes: int = 16 * MIB
    """Of one message, either way."""
    stranger_bytes: int = MIB // 4
    """Of one message of who has no session yet."""
    waiting: int = 16
    """Chunks that wait behind one that is being answered; more are not read from the network."""
    read_ahead: int = 128 * 1024
    """Bytes of requests that are taken from the network while others are answered, and at most one read more."""
    turn: float = 0.0001
    """How long one connection's requests are answered before others have their turn; one request is never cut."""
    write_buffer: int = MIB
    """Bytes that a client may leave unread before its requests are left unanswered, and unread, too."""
    stalled: float = 30.0
    """How long it may go on reading nothing before it is cut off."""

    @property
    def most_connections(self) -> int:
        """TCP connections at a time."""
        return self.connections or 2 * self.sessions + 100
