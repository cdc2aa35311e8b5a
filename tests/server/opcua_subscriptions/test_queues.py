"""Filters and queues in columns against a model that looks at one item and one sample at a time."""

import math
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from asyncua import ua
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from address_space import Plant
from server.opcua.subscriptions.limits import Limits
from server.quality import BAD_SENSOR_FAILURE, UNCERTAIN_LAST_USABLE
from server.store.ticks import EPOCH
from tests.server.opcua_subscriptions.subscriptions_rig import (
    CODES,
    GOOD,
    REPORTING,
    SAMPLING,
    Rig,
    changes_of,
    deadband,
    item,
    same,
)

OVERFLOW = 0x480
NAMES = ["Press1.Speed", "Press1.Small", "Press2.Single", "Press3.Flag", "Press1.Label"]
RANGE = 200.0  # of Speed


@dataclass
class Model:
    """One item as OPC 10000-4 describes it: (value, status, source timestamp) in, the queue out."""

    name: str
    trigger: int
    kind: int
    width: float
    size: int
    oldest: bool
    last: Any = None
    queue: deque[Any] = field(default_factory=deque)

    def sample(self, value: Any, status: int, stamp: int) -> None:
        bad = bool(status & 0x80000000)
        shown = None if bad else value
        if self.last is not None and not self._passes(shown, status, stamp):
            return
        self.last = (shown, status, stamp)
        if len(self.queue) == self.size:
            if self.oldest:
                self.queue.popleft()
            else:
                self.queue.pop()
            self.queue.append((shown, status, stamp))
            if self.size > 1:
                at = 0 if self.oldest else -1
                value, flagged, stamp = self.queue[at]
                self.queue[at] = (value, flagged | OVERFLOW, stamp)
        else:
            self.queue.append((shown, status, stamp))

    def _passes(self, value: Any, status: int, stamp: int) -> bool:
        before, old_status, old_stamp = self.last
        if status != old_status:
            return True
        if self.trigger == 0:
            return False
        if self.trigger == 2 and not self.kind and stamp != old_stamp:
            return True
        if value is None or before is None or same(value, before):
            return False
        if not self.kind or not self.width:
            return True
        width = self.width if self.kind == 1 else self.width / 100 * RANGE
        return not abs(value - before) <= width


numbers = st.integers(-3, 3)
samples = st.tuples(
    st.sampled_from(NAMES), numbers, st.sampled_from([GOOD, GOOD, GOOD, BAD_SENSOR_FAILURE, UNCERTAIN_LAST_USABLE]),
    st.integers(0, 2), st.booleans(),
)  # fmt: skip
items = st.tuples(
    st.sampled_from(NAMES), st.integers(0, 2), st.integers(0, 2), st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    st.integers(1, 4), st.booleans(),
)  # fmt: skip
steps = st.lists(st.one_of(st.lists(samples, max_size=12), st.just("publish")), max_size=10)


def of_type(name: str, number: int, nan: bool) -> Any:
    """Return a value of the variable's type; halves where there are any, so that deadbands are met exactly."""
    if "Label" in name:
        return str(number)
    if "Flag" in name:
        return number > 0
    if "Small" in name:
        return number
    return math.nan if nan else number / 2


def made(wanted: tuple[Any, ...]) -> Model:
    name, trigger, kind, width, size, oldest = wanted
    if "Label" in name or "Flag" in name:
        kind = 0
    if kind == 2 and "Speed" not in name:
        kind = 1
    return Model(name, trigger, kind, width, size, oldest)


@pytest.mark.parametrize("most", [0, 2])
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.lists(items, min_size=1, max_size=8), happened=steps)
async def test_columns_do_what_the_model_does(
    limited: Callable[[Limits], Rig], most: int, wanted: list[Any], happened: list[Any]
) -> None:
    rig = limited(Limits())
    models = [made(it) for it in wanted]
    for name in NAMES:
        rig.write(name, of_type(name, 0, nan=False), stamp=1000)
    number = rig.subscribe(MaxNotificationsPerPublish=most)
    results = rig.create(number, *(
        item(it.name, handle, queue=it.size, discard_oldest=it.oldest, filter=deadband(it.width, it.kind, it.trigger))
        for handle, it in enumerate(models)
    ))  # fmt: skip
    assert [it.StatusCode.value for it in results] == [GOOD] * len(models)
    for model in models:
        model.sample(of_type(model.name, 0, nan=False), GOOD, 1000)
    for step in [*happened, "publish"]:
        if step == "publish":
            await check_published(rig, models, most)
            continue
        for name, value, status, stamp, nan in step:
            typed = of_type(name, value, nan)
            rig.write(name, typed, status, 1000 + 10 * stamp)
            for model in models:
                if model.name == name:
                    model.sample(typed, status, 1000 + 10 * stamp)


async def check_published(rig: Rig, models: list[Model], most: int) -> None:
    found: dict[int, list[Any]] = {}
    total = sum(len(model.queue) for model in models)
    seen = 0
    while True:
        messages = [changes_of(message) for message in await rig.messages()]
        assert not most or all(len(message) <= most for message in messages)
        changes = [change for message in messages for change in message]
        for change in changes:
            ticks = round((change.data.SourceTimestamp - EPOCH).total_seconds() * 1e7)
            found.setdefault(change.handle, []).append((change.value, change.status, ticks))
        seen += len(changes)
        if not changes or not most:
            break
    assert seen == total
    for handle, model in enumerate(models):
        got = found.get(handle, [])
        assert len(got) == len(model.queue), (model, got)
        for (value, status, stamp), (shown, flagged, when) in zip(model.queue, got, strict=True):
            assert same(value, shown), (model, got)
            assert (status, stamp) == (flagged, when)
        model.queue.clear()


async def test_a_queue_of_one_never_says_overflow(rig: Rig) -> None:
    number = rig.subscribe()
    rig.create(number, item(), item("Press1.Label", 2))
    for value in range(5):
        rig.write("Press1.Speed", float(value))
        rig.write("Press1.Label", str(value))
    found = [(change.value, change.status) for change in await rig.changes()]
    assert found == [(4.0, GOOD), ("4", GOOD)]


async def test_a_long_queue_is_cut_before_it_is_read(limited: Callable[[Limits], Rig]) -> None:
    rig = limited(Limits())
    number = rig.subscribe()
    rig.create(number, item(queue=3), item("Press2.Speed", 2, queue=2, discard_oldest=False))
    log = rig.service.subscriptions[number].log
    log._cut_at = 0
    for value in range(1, 40):
        rig.write("Press1.Speed", float(value))
        rig.write("Press2.Speed", float(value))
        rig.service.feed.drain(0.0)
        log._cut_at = 0
        assert len(log) <= 5
    changes = await rig.changes()
    assert [(it.value, it.status) for it in changes if it.handle == 1] == [(37.0, OVERFLOW), (38.0, 0), (39.0, 0)]
    first, last = (it for it in changes if it.handle == 2)
    assert (first.status & OVERFLOW, last.value, last.status) == (0, 39.0, OVERFLOW)


async def test_ten_thousand_changes_run_no_python_per_item(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of Python calls is the same for 10 and for 10,000 items."""

    def calls(count: int) -> int:
        rig = Rig(plant)
        number = rig.subscribe()
        body = [item(handle=handle) for handle in range(count)]
        rig.create(number, *body)
        rig.publish()
        subscription = rig.service.subscriptions[number]
        subscription.next_message(1 << 24)
        rig.write("Press1.Speed", 5.0)
        seen = 0

        def count_calls(_frame: Any, _event: str, _what: Any) -> None:
            nonlocal seen
            seen += 1

        sys.setprofile(count_calls)
        try:
            rig.service.feed.drain(0.0)
            message, _ = subscription.next_message(1 << 24)
        finally:
            sys.setprofile(None)
        assert len(message) > count * 34
        return seen

    few, many = calls(10), calls(10_000)
    assert many < few + 20


async def test_several_layouts_in_one_message(rig: Rig) -> None:
    number = rig.subscribe()
    names = ["Speed", "Small", "Flag", "Single", "Label"]
    rig.create(number, *(item(f"Press1.{name}", handle, queue=3) for handle, name in enumerate(names)))
    await rig.changes()
    for step in range(2):
        for name, value in zip(names, [step + 0.5, step + 1, not step, step + 0.25, str(step)], strict=True):
            rig.write(f"Press1.{name}", value, BAD_SENSOR_FAILURE if name == "Small" and step else GOOD)
    found: dict[int, list[Any]] = {}
    for change in await rig.changes():
        found.setdefault(change.handle, []).append(change.value)
    assert found == {0: [0.5, 1.5], 1: [1, None], 2: [True, False], 3: [0.25, 1.25], 4: ["0", "1"]}


async def test_rows_that_the_journal_lost_leave_no_stale_value(plant: Plant) -> None:
    rig = Rig(plant, journal_rows=4)
    number = rig.subscribe()
    rig.create(number, item(), item("Press1.Label", 2))
    await rig.changes()
    rig.write("Press1.Speed", 1.0)
    rig.write("Press1.Label", "new")
    for value in range(10):
        rig.write("Press2.Speed", float(value))
    assert sorted((change.handle, change.value) for change in await rig.changes()) == [(1, 1.0), (2, "new")]


async def test_a_message_holds_no_more_than_the_connection_takes(rig: Rig) -> None:
    number = rig.subscribe()
    rig.create(number, *(item(handle=handle) for handle in range(100)))
    rig.session.sink.message_limit = 1024 + 34 * 30
    first = (await rig.messages())[0]
    assert first.MoreNotifications
    seen = [it.ClientHandle for it in first.NotificationMessage.NotificationData[0].MonitoredItems]
    assert len(seen) == 30
    for _ in range(3):
        rig.publish()  # with MoreNotifications the next request is answered at once
    for message in rig.answers():
        seen += [it.ClientHandle for it in message.NotificationMessage.NotificationData[0].MonitoredItems]
    assert sorted(seen) == list(range(100))
    assert not message.MoreNotifications


async def test_no_item_starves_behind_others(rig: Rig) -> None:
    number = rig.subscribe(MaxNotificationsPerPublish=3)
    columns = [item(handle=handle) for handle in range(6)]
    rig.create(number, *columns, item("Press1.Label", 6), item(handle=7, queue=5))
    seen: set[int] = set()
    for value in range(12):
        rig.write("Press1.Speed", float(value))
        rig.write("Press1.Label", str(value))
        seen |= {change.handle for change in await rig.changes()}
    assert seen == set(range(8))


async def test_refused_items_leave_nothing_behind(rig: Rig) -> None:
    number = rig.subscribe()
    (made_,) = rig.create(number, item("Press1.Nothing"))
    assert made_.StatusCode.value == CODES.BadNodeIdUnknown
    assert rig.store.journal.cursors == ()
    assert np.count_nonzero(rig.service.table.fed) == 0
    assert ua.StatusCodes.Good == GOOD


async def test_a_string_that_fits_no_message_says_so_instead(rig: Rig) -> None:
    rig.session.sink.message_limit = 10_000
    number = rig.subscribe()
    rig.create(number, item("Press1.Label", 1, queue=10), item("Press1.Speed", 2), item("Press2.Label", 3, queue=10))
    await rig.messages()
    rig.write("Press1.Speed", 1.0)
    for text in ("short", "x" * 20_000, "y" * 6_000, "z" * 6_000):
        rig.write("Press1.Label", text)
    rig.write("Press2.Label", "behind")
    for _ in range(4):
        rig.publish()
    await rig.cycle()
    assert max(len(body) for _, body in rig.session.sink.sent) <= 10_000
    found = [change for message in rig.answers() for change in changes_of(message)]
    assert [it.value and it.value[:5] for it in found if it.handle == 1] == ["short", None, "yyyyy", "zzzzz"]
    assert [it.status for it in found if it.handle == 1] == [0, ua.StatusCodes.BadEncodingLimitsExceeded, 0, 0]
    assert {it.value for it in found if it.handle in (2, 3)} == {1.0, "behind"}


@pytest.mark.parametrize("sampled_only", [False, True])
async def test_few_notifications_a_message_cost_the_same_however_many_wait(rig: Rig, sampled_only: bool) -> None:
    """What is taken is cut off the front of the queue: what stays is not looked at again with each message."""
    samples = 20_000
    number = rig.subscribe(MaxNotificationsPerPublish=10)
    other = SAMPLING if sampled_only else REPORTING
    rig.create(number, item("Press1.Speed", 1, queue=10_000), item("Press2.Speed", 2, queue=10_000, mode=other))
    target = np.array([rig.id("Press1.Speed"), rig.id("Press2.Speed")])[np.arange(samples) % 2]
    rig.store.write(target[2:], np.arange(2, samples, dtype=float), 1_000_000)
    rig.service.feed.drain(0.0)
    log, table = rig.service.subscriptions[number].log, rig.service.table
    looked_at = 0

    class Looking(np.ndarray):  # type: ignore[type-arg]
        def __getitem__(self, key: Any) -> Any:
            nonlocal looked_at
            looked_at += np.size(key)
            return np.asarray(super().__getitem__(key))

    chosen = table.reporting.view(Looking)
    taken: list[float] = []
    while log.has(chosen):
        found = log.take(chosen, 10)
        assert len(found) <= 10
        taken += found.bits.view("<f8").tolist()
    expected = [float(it) for it in range(2, samples) if not (sampled_only and it % 2)]
    assert taken[-len(expected) :] == expected
    assert len(log) == (samples // 2 if sampled_only else 0)
    assert table.queued.sum() == len(log)
    assert looked_at < 20 * samples
