"""Line protocol against a parser that is not ours."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from line_protocol_parser import parse_line

from gateways.influx.protocol import Lines, quoted, tag, untag

anything = st.text(st.characters(exclude_categories=["Cs"]))


def of(*lines: bytes) -> Lines:
    array = pa.array([b"\n" + line for line in lines], pa.binary())
    return Lines.of([array], [np.arange(len(lines))])


@given(anything, anything)
def test_tags_come_through_a_parser(first: str, second: str) -> None:
    line = b"m,a=" + tag(first) + b",b=" + tag(second) + b" f=1i 7"
    parsed = parse_line(line.decode())
    assert parsed["fields"] == {"f": 1}
    assert parsed["time"] == 7
    tags = {name: untag(text) for name, text in parsed["tags"].items()}
    nothing = ("␀", "\x00")  # which is how an empty text is shown
    assert tags == {"a": "" if first in nothing else untag(first), "b": "" if second in nothing else untag(second)}


@given(anything)
def test_a_tag_is_one_word_of_one_line(text: str) -> None:
    written = tag(text).decode()
    assert written
    assert not any(ord(character) < 0x20 for character in written)
    assert not written.endswith("\\")


@given(st.text(st.characters(exclude_characters="\\⧵␀", exclude_categories=["Cc", "Cs"]), min_size=1))
def test_what_can_be_read_in_a_tag_is_told_as_it_is(text: str) -> None:
    pictures = [character for character in text if 0x2400 <= ord(character) <= 0x2421]
    assert pictures or untag(text) == text
    assert parse_line(f"m,t={tag(text).decode()} f=1i")["tags"] == {"t": text}


@given(anything)
def test_texts_come_through_a_parser_as_they_are(text: str) -> None:
    text = text.replace("\0", "")  # the parser is in C, where a text ends there
    parsed = parse_line(f"m f={quoted(text).decode()},g=2i 9")
    assert parsed["fields"] == {"f": text, "g": 2}
    assert parsed["time"] == 9


def test_a_lone_surrogate_is_no_reason_to_fail() -> None:
    assert tag("a\ud800") == b"a?"
    assert quoted("a\ud800") == b'"a?"'


def test_lines_are_cut_between_lines_only() -> None:
    lines = of(b"a 1", b'b "x\ny"', b"c 3", b"d 4")
    assert lines.body == b'a 1\nb "x\ny"\nc 3\nd 4'
    assert [part.body for part in lines.parts(2, 1000)] == [b'a 1\nb "x\ny"', b"c 3\nd 4"]
    assert lines.cut(1, 3).body == b'b "x\ny"\nc 3'
    assert lines.cut(1, 3).rows.tolist() == [1, 2]
    assert lines.without({0, 2}).body == b'b "x\ny"\nd 4'
    assert lines.without({0, 2}).rows.tolist() == [1, 3]
    assert [lines.line(number) for number in range(4)] == [b"a 1", b'b "x\ny"', b"c 3", b"d 4"]


@pytest.mark.parametrize(("most", "sizes"), [(1, [1, 1, 1]), (9, [2, 1]), (8, [2, 1]), (7, [1, 1, 1]), (100, [3])])
def test_parts_hold_so_many_bytes_at_most(most: int, sizes: list[int]) -> None:
    lines = of(b"a 1", b"b 2", b"c 3")  # four bytes each, with their newline
    assert [len(part) for part in lines.parts(10, most)] == sizes


def test_no_lines_are_no_parts() -> None:
    assert list(of().parts(5, 5)) == []
