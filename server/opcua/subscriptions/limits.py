"""How much subscriptions may take: every limit in one place."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Intervals in seconds. A request beyond a limit is revised where the standard lets it be, refused otherwise."""

    subscriptions_per_session: int = 100
    subscriptions: int = 10_000
    """Of all sessions together, those that outlived their session included."""
    items_per_subscription: int = 500_000
    items: int = 2_000_000
    items_per_call: int = 10_000
    """Of one request that makes, changes or deletes them."""
    polled_items: int = 1_000
    """Items of values that are computed when read: they are looked at every `poll` seconds."""
    poll: float = 1.0
    select_clauses: int = 250
    """Of an event filter."""
    where_elements: int = 100
    queue_size: int = 10_000
    """Of one item."""
    queued_rows: int = 4_000_000
    """Of all queues of a subscription that hold more than one value; QueueSize is revised so that they fit."""
    event_queue_size: int = 10_000
    """What an event item gets that asks for 0: the default (OPC 10000-4 5.12.1.5)."""
    least_events: int = 1_000
    """What an event item gets that asks for 1: the least that the server needs."""
    most_events: int = 100_000
    """Of one event item, however much it asks for."""
    retained_messages: int = 100
    """Notification messages that a subscription keeps for Republish."""
    retained_bytes: int = 32 * MIB
    publish_requests: int = 100
    """Of a session; one more than its subscriptions is always accepted."""
    message_bytes: int = 4 * MIB
    """Of a NotificationMessage, where the client does not ask for less."""
    write_buffer: int = 4 * MIB
    """Bytes that wait in a connection's write buffer before nothing more is published to it."""
    stalled: float = 30.0
    """How long a connection's write buffer may stay above that before the connection is closed."""
    min_publishing: float = 0.010
    max_publishing: float = 3600.0
    min_sampling: float = 0.010
    """For items that ask for a sampling interval; with 0, each change is a sample."""
    max_sampling: float = 3600.0
    max_keep_alive: float = 8 * 3600.0
    max_lifetime: float = 24 * 3600.0
    drain: float = 0.050
    """How often the journal is read while nothing is published."""

    def event_queue(self, asked: int) -> int:
        """Return the queue size for an event item that asks for one."""
        return {0: self.event_queue_size, 1: self.least_events}.get(asked, asked)
