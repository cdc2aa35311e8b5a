"""DataValues in columns as they go on the wire: what reads and notifications share (OPC 10000-6 5.2.2.17)."""

from typing import Any

import numpy as np
from asyncua import ua
from numpy.typing import NDArray

VALUE, STATUS, SOURCE, SERVER = 0x01, 0x02, 0x04, 0x08
"""Bits of a DataValue's encoding mask."""

MASKS = {
    ua.TimestampsToReturn.Source: VALUE | STATUS | SOURCE,
    ua.TimestampsToReturn.Server: VALUE | STATUS | SERVER,
    ua.TimestampsToReturn.Both: VALUE | STATUS | SOURCE | SERVER,
    ua.TimestampsToReturn.Neither: VALUE | STATUS,
}
"""The encoding mask of a DataValue that carries the timestamps that were asked for."""


def as_bytes(records: NDArray[Any]) -> NDArray[np.uint8]:
    """Return packed records (n,) as bytes of shape (n, size)."""
    flat = np.frombuffer(records.tobytes(), np.uint8)
    return flat.reshape(len(records), records.dtype.itemsize)


def interleave(count: int, pieces: list[tuple[NDArray[np.int64], NDArray[np.uint8]]]) -> bytes:
    """Put records of different sizes in order: each piece has positions (n,) and bytes (n, size)."""
    lengths = np.zeros(count, np.int64)
    for positions, block in pieces:
        lengths[positions] = block.shape[1]
    starts = np.cumsum(lengths) - lengths
    result = np.empty(int(lengths.sum()), np.uint8)
    for positions, block in pieces:
        result[starts[positions][:, None] + np.arange(block.shape[1])] = block
    return result.tobytes()
