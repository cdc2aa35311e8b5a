"""OPC UA DateTime: 100 ns ticks since 1601-01-01 UTC as int64 (OPC 10000-6 5.1.4)."""

import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
UNIX_EPOCH_TICKS = 116_444_736_000_000_000
TICKS_PER_SECOND = 10_000_000


def now_ticks() -> int:
    """Return the present time."""
    return time.time_ns() // 100 + UNIX_EPOCH_TICKS


def to_ticks(moment: datetime) -> int:
    """Return the ticks of `moment`; a naive one is taken as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - EPOCH) // timedelta(microseconds=1) * 10


def from_ticks(ticks: int) -> datetime:
    """Return the aware UTC datetime of `ticks`, to the microsecond."""
    return EPOCH + timedelta(microseconds=int(ticks) // 10)
