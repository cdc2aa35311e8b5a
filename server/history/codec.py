"""Samples as bytes: columns are turned into small differences, put byte beside like byte, and compressed.

A block holds samples of one variable, a record rows of many as they came in. Layouts begin with a version.
"""

import struct
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from address_space.model import BuiltinType
from server.history.ports import HistoryError, Samples

_VERSION = 1
_BLOCK = struct.Struct("<BBBIIq")
"""Version, built-in type, exponent of decimals (255: none), samples, bytes before compression, first timestamp."""
_RECORD = struct.Struct("<BIII")
"""Version, rows, bytes before compression, bytes of texts among them."""
_INTS = struct.Struct("<Bq")
"""Bytes an integer, and what was subtracted from each."""
_EXPONENTS = (0, 1, 2, 3, 4, 6)
_NOT_DECIMAL = 255
_PROBE = 32
_WIDTHS = ((0x100, 1), (0x1_0000, 2), (0x1_0000_0000, 4))


@cache
def _codec(name: str) -> Any:
    import pyarrow as pa  # noqa: PLC0415  in the historian's thread: a start of the server does not wait for it

    return pa.Codec(name, compression_level=1) if name == "zstd" else pa.Codec(name)


def encode_block(samples: Samples, builtin: BuiltinType) -> bytes:
    """Return samples of one variable, at least one, as bytes."""
    exponent, values = _NOT_DECIMAL, b""
    if samples.texts is not None:
        values = _pack_texts(samples.texts)
    elif builtin is BuiltinType.Double:
        exponent, scaled = _decimals(samples.bits.view(np.float64))
        values = _pack_differences(scaled) if scaled is not None else _pack_bits(samples.bits)
    elif builtin is BuiltinType.Float:
        values = _pack_bits(samples.bits)
    else:
        values = _pack_differences(samples.bits.view(np.int64))
    plain = b"".join((_pack(np.diff(samples.stamps)), _pack(samples.statuses.astype(np.int64)), values))
    head = _BLOCK.pack(_VERSION, int(builtin), exponent, len(samples), len(plain), int(samples.stamps[0]))
    return head + _codec("zstd").compress(plain, asbytes=True)


def decode_block(data: bytes) -> Samples:
    """Return what `encode_block` was given; raises HistoryError when it is of another version."""
    version, builtin, exponent, count, size, first = _BLOCK.unpack_from(data)
    if version != _VERSION:
        raise HistoryError(f"a block of history has version {version}, this server knows {_VERSION}")
    plain = _codec("zstd").decompress(memoryview(data)[_BLOCK.size :], size, asbytes=True)
    steps, at = _unpack(plain, 0, count - 1)
    statuses, at = _unpack(plain, at, count)
    stamps = np.empty(count, np.int64)
    stamps[0] = first
    np.cumsum(steps, out=stamps[1:])
    stamps[1:] += first
    texts: tuple[str | None, ...] | None = None
    if builtin == BuiltinType.String:
        texts, bits = _unpack_texts(plain, at, count), np.zeros(count, np.uint64)
    elif exponent != _NOT_DECIMAL:
        bits = (_unpack_differences(plain, at, count) / 10.0**exponent).view(np.uint64)
    elif builtin in (BuiltinType.Double, BuiltinType.Float):
        bits = _unpack_bits(plain, at, count)
    else:
        bits = _unpack_differences(plain, at, count).view(np.uint64)
    return Samples(stamps, bits, statuses.astype(np.uint32), texts)


def encode_record(numbers: NDArray[np.int32], samples: Samples, texts: dict[int, str | None]) -> bytes:
    """Return rows of many variables as bytes; `texts` are the values of String rows by row."""
    spoken = b""
    if texts:
        rows = np.fromiter(texts, np.int64, len(texts))
        spoken = _pack(rows) + _pack_texts(tuple(texts.values()))
        spoken = struct.pack("<I", len(texts)) + spoken
    columns = (numbers.astype("<i4"), samples.bits, samples.statuses, samples.stamps)
    plain = b"".join((*(column.tobytes() for column in columns), spoken))
    head = _RECORD.pack(_VERSION, len(numbers), len(plain), len(spoken))
    return head + _codec("lz4_raw").compress(plain, asbytes=True)


def decode_record(data: bytes) -> tuple[NDArray[np.int32], Samples, dict[int, str | None]]:
    """Return what `encode_record` was given."""
    version, count, size, spoken = _RECORD.unpack_from(data)
    if version != _VERSION:
        raise HistoryError(f"a record of history has version {version}, this server knows {_VERSION}")
    plain = _codec("lz4_raw").decompress(memoryview(data)[_RECORD.size :], size, asbytes=True)
    numbers = np.frombuffer(plain, "<i4", count)
    bits = np.frombuffer(plain, "<u8", count, 4 * count)
    statuses = np.frombuffer(plain, "<u4", count, 12 * count)
    stamps = np.frombuffer(plain, "<i8", count, 16 * count)
    texts: dict[int, str | None] = {}
    if spoken:
        at = size - spoken
        (known,) = struct.unpack_from("<I", plain, at)
        rows, at = _unpack(plain, at + 4, known)
        texts = dict(zip(rows.tolist(), _unpack_texts(plain, at, known), strict=True))
    return numbers, Samples(stamps, bits, statuses), texts


def _decimals(values: NDArray[np.float64]) -> tuple[int, NDArray[np.int64] | None]:
    """Return the least exponent with which all values are whole when multiplied by its power of ten, bit for bit."""
    probe = values[:: max(1, len(values) // _PROBE)]
    for exponent in _EXPONENTS:
        if _whole(probe, exponent) is not None:
            scaled = _whole(values, exponent)
            if scaled is not None:
                return exponent, scaled
    return _NOT_DECIMAL, None


def _whole(values: NDArray[np.float64], exponent: int) -> NDArray[np.int64] | None:
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.rint(values * 10.0**exponent)
        if not bool((np.abs(scaled) < 2.0**52).all()):
            return None
        whole = scaled.astype(np.int64)
    same = (whole / 10.0**exponent).view(np.uint64) == values.view(np.uint64)
    return whole if bool(same.all()) else None


def _pack(column: NDArray[np.int64]) -> bytes:
    """Return integers less their least, in as few bytes each as hold them, byte beside like byte."""
    if len(column) == 0:
        return _INTS.pack(0, 0)
    least, most = int(column.min()), int(column.max())
    width = 0 if least == most else next((size for top, size in _WIDTHS if most - least < top), 8)
    head = _INTS.pack(width, least)
    if width == 0:
        return head
    rest = (column.view(np.uint64) - np.uint64(least & 0xFFFF_FFFF_FFFF_FFFF)).astype(f"<u{width}")
    return head + _shuffled(rest)


def _unpack(plain: bytes, at: int, count: int) -> tuple[NDArray[np.int64], int]:
    width, least = _INTS.unpack_from(plain, at)
    at += _INTS.size
    if width == 0:
        return np.full(count, least, np.int64), at
    rest = _unshuffled(plain, at, count, width).astype(np.uint64)
    rest += np.uint64(least & 0xFFFF_FFFF_FFFF_FFFF)
    return rest.view(np.int64), at + width * count


def _pack_differences(column: NDArray[np.int64]) -> bytes:
    with np.errstate(over="ignore"):
        return struct.pack("<q", int(column[0])) + _pack(np.diff(column))


def _unpack_differences(plain: bytes, at: int, count: int) -> NDArray[np.int64]:
    (first,) = struct.unpack_from("<q", plain, at)
    steps, _ = _unpack(plain, at + 8, count - 1)
    result = np.empty(count, np.int64)
    result[0] = first
    np.cumsum(steps, out=result[1:])
    result[1:] += first
    return result


def _pack_bits(bits: NDArray[np.uint64]) -> bytes:
    changed = bits.copy()
    changed[1:] ^= bits[:-1]
    return _shuffled(changed)


def _unpack_bits(plain: bytes, at: int, count: int) -> NDArray[np.uint64]:
    changed = _unshuffled(plain, at, count, 8)
    return np.bitwise_xor.accumulate(changed)


def _shuffled(column: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(column).view(np.uint8).reshape(len(column), -1).T.tobytes()


def _unshuffled(plain: bytes, at: int, count: int, width: int) -> NDArray[Any]:
    planes = np.frombuffer(plain, np.uint8, count * width, at).reshape(width, count)
    return np.ascontiguousarray(planes.T).view(f"<u{width}").ravel()


def _pack_texts(texts: tuple[str | None, ...]) -> bytes:
    """Return texts: the different ones once each, then which of them every row has."""
    known = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    encoded = [None if text is None else text.encode("utf-8", "surrogatepass") for text in known]
    lengths = np.array([-1 if part is None else len(part) for part in encoded], np.int64)
    places = np.fromiter((known[text] for text in texts), np.int64, len(texts))
    words = b"".join(part for part in encoded if part)
    return b"".join((struct.pack("<I", len(encoded)), _pack(lengths), _pack(places), words))


def _unpack_texts(plain: bytes, at: int, count: int) -> tuple[str | None, ...]:
    (different,) = struct.unpack_from("<I", plain, at)
    lengths, at = _unpack(plain, at + 4, different)
    places, at = _unpack(plain, at, count)
    words: list[str | None] = []
    for length in lengths.tolist():
        words.append(None if length < 0 else plain[at : at + length].decode("utf-8", "surrogatepass"))
        at += max(length, 0)
    return tuple(words[place] for place in places.tolist())
