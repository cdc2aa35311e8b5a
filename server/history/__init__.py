"""The historian: every sample kept on the disk, read back raw or as aggregates (OPC 10000-11 and -13)."""

from server.history.ports import (
    Historian,
    HistoryError,
    ReadRequest,
    Retention,
    Rollup,
    Samples,
    Stats,
    UnreachableError,
    UnsupportedError,
)

__all__ = [
    "Historian", "HistoryError", "ReadRequest", "Retention", "Rollup", "Samples", "Stats", "UnreachableError",
    "UnsupportedError",
]  # fmt: skip
