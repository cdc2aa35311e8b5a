"""The archive against a plain list: whatever is appended, changed, sealed and reopened, reads answer the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from address_space.model import BuiltinType
from server.history import edits, upkeep
from server.history.archive import Archive
from server.history.ports import ReadRequest, Update
from tests.server.history.history_rig import KEYS, NOON, SECOND, PlainHistory, archive, plain, rows_of, samples_of

STAMPS = st.integers(0, 60).map(lambda tick: NOON + tick * SECOND)
STATUSES = st.sampled_from([0, 0x40900000, 0x80310000])
VALUES = (
    st.one_of(st.floats(allow_nan=True), st.sampled_from([0.1, -0.0, 20.25, 1e300])),
    st.integers(-(2**31), 2**31 - 1),
    st.one_of(st.none(), st.text(max_size=5), st.sampled_from(["", "ok"])),
)
ROW = st.integers(0, 2).flatmap(lambda place: st.tuples(st.just(place), STAMPS, VALUES[place], STATUSES))
STEP = st.one_of(
    st.tuples(st.just("append"), st.lists(ROW, min_size=1, max_size=30)),
    st.tuples(st.just("seal"), st.booleans()),
    st.tuples(st.just("reopen"), st.none()),
    st.tuples(st.just("compact"), st.none()),
    st.tuples(st.just("delete"), st.tuples(st.integers(0, 2), STAMPS, STAMPS)),
    st.tuples(st.just("update"), st.tuples(st.lists(ROW, min_size=1, max_size=5), st.sampled_from(list(Update)))),
)
READ = st.builds(
    ReadRequest, variable=st.integers(0, 2), start=STAMPS, end=STAMPS, limit=st.sampled_from([0, 1, 2, 5]),
    reverse=st.booleans(), bounds=st.booleans(),
)  # fmt: skip


def step(history: Archive, model: PlainHistory, what: str, how: Any) -> None:
    if what == "append":
        history.append(rows_of(history, how))
        model.append(how)
    elif what == "seal":
        history.seal(all_=how)
    elif what == "compact":
        upkeep.compact(history)
    elif what == "delete":
        place, one, other = how
        inside = [stamp for stamp in model.kept[place] if one <= stamp < other]
        assert edits.delete(history, place, one, other, "emil") == len(inside)
        for stamp in inside:
            del model.kept[place][stamp]
    elif what == "update":
        rows, kind = how
        for place, stamp, value, status in rows:
            there = stamp in model.kept[place]
            samples = samples_of([(stamp, value, status)], KEYS[place][1])
            (result,) = edits.update(history, place, samples, kind, "emil")
            refused = (kind is Update.INSERT and there) or (kind is Update.REPLACE and not there)
            assert (result & 0x80000000 != 0) == refused
            if not refused:
                model.kept[place][stamp] = (value, status)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=12), reads=st.lists(READ, min_size=1, max_size=12))
def test_reads_answer_as_a_plain_list_does(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, steps: list[Any], reads: list[Any]
) -> None:
    monkeypatch.setattr("server.history.archive.MAX_BLOCK_ROWS", 7)
    monkeypatch.setattr("server.history.archive.MIN_BLOCK_ROWS", 3)
    monkeypatch.setattr("server.history.upkeep.MANY_SMALL", 2)
    folder = tmp_path_factory.mktemp("archive")
    history, model = archive(folder, head_rows=40), PlainHistory()
    for what, how in steps:
        if what == "reopen":
            history.close()
            history = archive(folder, head_rows=40)
        else:
            step(history, model, what, how)
    for request in reads:
        if request.start <= request.end:
            assert plain(history.read(request)) == model.read(request)
    history.close()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_values_of_every_kind_come_back_bit_for_bit(tmp_path: Path, place: int) -> None:
    values: list[Any] = [
        [0.1, float("nan"), -0.0, 1e-320, float("inf"), 12.345, 3.0],
        [-(2**31), 2**31 - 1, 0, -1, 7, 7, 7],
        ["", None, "Ölstand", "a" * 300, "x", "x", "x"],
    ][place]
    rows = [(place, NOON + at, value, 0x80000000 if at == 3 else 0) for at, value in enumerate(values)]
    history = archive(tmp_path)
    history.append(rows_of(history, rows))
    expected = plain(history.read(ReadRequest(place, NOON, NOON + 100)))
    model = PlainHistory()
    model.append(rows)
    assert expected == model.read(ReadRequest(place, NOON, NOON + 100))
    history.seal()
    assert plain(history.read(ReadRequest(place, NOON, NOON + 100))) == expected
    history.close()


def test_a_variable_that_left_the_plant_file_and_comes_back_has_its_history(tmp_path: Path) -> None:
    history = archive(tmp_path)
    history.append(rows_of(history, [(0, NOON, 1.5, 0), (1, NOON, 4, 0)]))
    history.close()
    fewer = Archive(tmp_path / "history.sqlite", KEYS[1:])
    assert plain(fewer.read(ReadRequest(0, NOON, NOON + 1)))[0][1] == 4
    fewer.append(rows_of(fewer, [(0, NOON + 5, 5, 0)]))
    fewer.seal()
    fewer.close()
    again = archive(tmp_path)
    assert [row[0] for row in plain(again.read(ReadRequest(1, NOON, NOON + 9)))] == [NOON, NOON + 5]
    again.close()


def test_a_changed_type_is_another_variable(tmp_path: Path) -> None:
    history = archive(tmp_path)
    history.append(rows_of(history, [(0, NOON, 1.5, 0)]))
    history.close()
    other = Archive(tmp_path / "history.sqlite", (("Plant.A", BuiltinType.Int32),))
    assert len(other.read(ReadRequest(0, NOON, NOON + 1))) == 0
    other.close()


def test_many_rows_become_blocks_of_bounded_size(tmp_path: Path) -> None:
    history = archive(tmp_path, head_rows=20_000)
    rng = np.random.default_rng(1)
    for first in range(0, 60_000, 1000):
        rows = [(0, NOON + (first + at) * SECOND, float(value), 0) for at, value in enumerate(rng.normal(size=1000))]
        history.append(rows_of(history, rows))
    assert len(history.head) < 20_000
    sizes = [size for (size,) in history.database.execute("SELECT rows FROM blocks")]
    assert sizes
    assert max(sizes) <= 4096
    found = history.read(ReadRequest(0, NOON, NOON + 60_000 * SECOND))
    assert len(found) == 60_000
    assert (np.diff(found.stamps) == SECOND).all()
    history.close()
