"""Line protocol: how names, tags and texts are escaped, and many lines as one body that can be cut between any two."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_CONTROLS = {**{code: 0x2400 + code for code in range(0x20)}, 0x7F: 0x2421}
_PICTURES = {picture: code for code, picture in _CONTROLS.items()}
_TAG = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ "})
_TEXT = str.maketrans({"\\": "\\\\", '"': '\\"'})


def tag(text: str) -> bytes:
    r"""Escape a tag key, tag value or field key, never empty: `,` `=` and space take a backslash.

    What the protocol has no form for is shown, not lost: control characters as their Unicode pictures (␊ for a
    newline), a backslash before one that must be escaped or at the end as ⧵ (U+29F5), nothing at all as ␀.
    """
    shown = text.translate(_CONTROLS) or "\u2400"
    characters = [
        "\u29f5" if character == "\\" and following in ("", ",", "=", " ", "\\") else character
        for character, following in zip(shown, [*shown[1:], ""], strict=True)
    ]
    return "".join(characters).translate(_TAG).encode("utf-8", "replace")


def untag(text: str) -> str:
    """Undo what `tag` did besides escaping: pictures are control characters again."""
    return "" if text == "\u2400" else text.translate(_PICTURES).replace("\u29f5", "\\")


def quoted(text: str) -> bytes:
    r"""Write a string field value: in quotes, `"` and `\` take a backslash, anything else stays as it is."""
    return b'"' + text.translate(_TEXT).encode("utf-8", "replace") + b'"'


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines as one stretch of bytes, each begun by a newline; `rows[i]` is the sample that line i is of.

    A text may hold newlines itself, so that only `offsets` (n + 1) know where a line begins.
    """

    data: Any
    offsets: NDArray[np.int64]
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, arrays: list[Any], rows: list[NDArray[np.int64]]) -> "Lines":
        """Take the lines of binary arrays; the bytes are not copied when there is one."""
        array = arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)
        _, offsets, data = array.buffers()
        starts = np.frombuffer(offsets, np.int32, len(array) + 1, array.offset * 4).astype(np.int64)
        return cls(memoryview(data) if data is not None else memoryview(b""), starts, np.concatenate(rows))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def body(self) -> bytes:
        """All lines, as they go on the wire."""
        return bytes(self.data[int(self.offsets[0]) + 1 : int(self.offsets[-1])])

    def line(self, number: int) -> bytes:
        """Return one line."""
        return bytes(self.data[int(self.offsets[number]) + 1 : int(self.offsets[number + 1])])

    def cut(self, start: int, stop: int) -> "Lines":
        """Return some of the lines."""
        return Lines(self.data, self.offsets[start : stop + 1], self.rows[start:stop])

    def without(self, numbers: set[int]) -> "Lines":
        """Return the lines but for some."""
        kept = [number for number in range(len(self)) if number not in numbers]
        array = pa.array([b"\n" + self.line(number) for number in kept], pa.binary())
        return Lines.of([array], [self.rows[np.array(kept, np.int64)]])

    def parts(self, most_lines: int, most_bytes: int) -> Iterator["Lines"]:
        """Cut into parts of at most so many lines and bytes; a line that is longer stands alone."""
        start, count = 0, len(self)
        while start < count:
            limit = int(np.searchsorted(self.offsets, self.offsets[start] + most_bytes, "right")) - 1
            stop = min(max(limit, start + 1), start + most_lines, count)
            yield self.cut(start, stop)
            start = stop
