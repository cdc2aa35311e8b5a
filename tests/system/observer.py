"""What was sent: an OPC UA subscription that sees every change of every variable, decoded when the test has ended."""

import threading
from types import TracebackType
from typing import Any, Self

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from address_space.model import Plant
from bench import wire
from bench.raw_client import RawClient
from bench.subscription import Subscription
from bench.wire import WireError
from server.store import to_ticks
from tests.system.samples import Samples

QUEUE = 100  # values that an item holds between two publishes: ten times what there are at 10 Hz in a second
INTERVAL_MS = 100.0
OVERFLOW = 0x480  # DataValue InfoBits with Overflow (OPC 10000-4 7.39.1)


class Observer:
    """A session in a thread of its own that keeps the PublishResponses as they are; a context manager.

    It ends by itself when the server dies: what it has then is what a client saw of it.
    """

    def __init__(self, port: int, plant: Plant) -> None:
        self._plant = plant
        self._client = RawClient(port, "/plantree")
        self._subscription = Subscription(self._client, INTERVAL_MS)
        self._subscription.monitor([variable.path for variable in plant.variables], QUEUE)
        self._bodies: list[bytes] = []
        self._latest = (0, 0)
        """How many bodies were looked at, and the newest source timestamp in the last of them."""
        self._ending = threading.Event()
        self._seen = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer")

    def __enter__(self) -> Self:
        """Start; returns once the present values have come: from now on every change is seen."""
        self._thread.start()
        assert self._seen.wait(60), "the observer has seen nothing"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it; what it has stays."""
        self._ending.set()
        self._thread.join(60)
        self._client.close()

    def wait_dead(self) -> None:
        """Wait until it has taken the last byte of a server that is dead."""
        self._thread.join(60)
        assert not self._thread.is_alive()

    def latest(self) -> int:
        """Return the newest source timestamp of the last notification (ticks)."""
        if (count := len(self._bodies)) != self._latest[0]:
            self._latest = count, int(self._decode(self._bodies[-1]).times.max(initial=0))
        return self._latest[1]

    def samples(self) -> Samples:
        """Return all that it saw, in order; an overflow of an item's queue raises AssertionError."""
        return Samples.joined([self._decode(body) for body in list(self._bodies)])

    def _run(self) -> None:
        try:
            for _, body in self._subscription.answers(self._ending.is_set, 0.1):
                self._bodies.append(body)
                self._seen.set()
        except ConnectionError:
            self._seen.set()  # the server is gone

    def _decode(self, body: bytes) -> Samples:
        try:
            columns = wire.data_changes(body)
        except WireError:  # a String among them
            return self._decode_slowly(body)
        parts: list[Samples] = []
        for found in columns:
            assert ((found.statuses & OVERFLOW) != OVERFLOW).all(), "a queue of the observer has overflowed"
            values = np.ascontiguousarray(found.raw).view(np.float64)
            parts.append(Samples(found.handles.astype(np.int64), found.sources, values))
        return Samples.joined(parts)

    def _decode_slowly(self, body: bytes) -> Samples:
        response: Any = struct_from_binary(ua.PublishResponse, Buffer(body))
        ids: list[int] = []
        times: list[int] = []
        values: list[float] = []
        for notification in response.Parameters.NotificationMessage.NotificationData:
            for item in notification.MonitoredItems:
                value = item.Value.Value.Value
                ids.append(item.ClientHandle)
                times.append(to_ticks(item.Value.SourceTimestamp) if item.Value.SourceTimestamp else 0)
                values.append(value if isinstance(value, float) else np.nan)
        return Samples(np.array(ids, np.int64), np.array(times, np.int64), np.array(values, np.float64))
