"""The bench's raw client counts right: answers that are short, bad or forged are refused."""

import os
import struct

import pytest
import yaml
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from bench import flame, report, wire
from bench.channel import Encrypted
from bench.deliveries import _rate
from bench.opcua_rows import MEASURES, Measure, Results
from bench.opcua_secure import MEASURES as SECURE
from bench.report import LIMITS, Samples, percentile
from bench.wire import WireError


def read_response(*values: ua.DataValue) -> bytes:
    response = ua.ReadResponse()
    response.Results = list(values)
    return struct_to_binary(response)


def double(value: float, status: int = 0) -> ua.DataValue:
    return ua.DataValue(ua.Variant(value, ua.VariantType.Double), ua.StatusCode(status))


def test_a_complete_and_good_read_is_taken() -> None:
    wire.check_read(read_response(double(1), double(2)), 2)


@pytest.mark.parametrize(
    "answer", [read_response(double(1)), read_response(double(1), double(2, 0x80000000))], ids=["short", "bad"]
)
def test_a_short_or_bad_read_is_refused(answer: bytes) -> None:
    with pytest.raises(WireError):
        wire.check_read(answer, 2)


@pytest.mark.parametrize("statuses", [[0], [0, 0x80740000]])
def test_a_short_or_bad_write_is_refused(statuses: list[int]) -> None:
    response = ua.WriteResponse()
    response.Results = [ua.StatusCode(status) for status in statuses]
    with pytest.raises(WireError):
        wire.check_write(struct_to_binary(response), 2)


def test_notifications_are_counted_with_handle_status_and_source() -> None:
    changes = ua.DataChangeNotification()
    stamp = ua.win_epoch_to_datetime(133_000_000_000_000_000)
    for handle in range(3):
        value = ua.DataValue(ua.Variant(float(handle), ua.VariantType.Double), ua.StatusCode(0), stamp, stamp)
        changes.MonitoredItems.append(ua.MonitoredItemNotification(ClientHandle=handle, Value=value))
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = 7
    response.Parameters.NotificationMessage.SequenceNumber = 4
    response.Parameters.NotificationMessage.NotificationData = [changes]
    body = struct_to_binary(response)
    assert wire.publish_sequence(body) == (7, 4, 1)
    (found,) = wire.data_changes(body)
    assert (list(found.handles), list(found.statuses)) == ([0, 1, 2], [0, 0, 0])
    assert set(found.sources) == {133_000_000_000_000_000}


@pytest.fixture
def channels() -> tuple[Encrypted, Encrypted]:
    """Return both ends of an encrypted channel."""
    client, server = os.urandom(32), os.urandom(32)
    return Encrypted(1, 2, client, server), Encrypted(1, 2, server, client)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 100, Encrypted.room])
def test_what_is_sealed_is_opened_at_the_other_end(channels: tuple[Encrypted, Encrypted], size: int) -> None:
    near, far = channels
    payload = os.urandom(size)
    chunk = near.seal(b"MSGF", 5, 9, payload)
    assert struct.unpack_from("<I", chunk, 4)[0] == len(chunk) <= 65_535
    assert far.open(chunk) == struct.pack("<II", 5, 9) + payload


def test_a_forged_chunk_is_refused(channels: tuple[Encrypted, Encrypted]) -> None:
    near, far = channels
    chunk = bytearray(near.seal(b"MSGF", 5, 9, b"payload"))
    chunk[20] ^= 1
    with pytest.raises(WireError):
        far.open(bytes(chunk))


def test_ratios_are_taken_round_by_round() -> None:
    results = Results(("plantree", "asyncua"))
    for ours, theirs in ((10.0, 5.0), (30.0, 10.0), (12.0, 3.0)):
        results.add("a", "plantree", ours)
        results.add("a", "asyncua", theirs)
    assert results.ratio(Measure("a", "", "", True), "asyncua").values == [2.0, 3.0, 4.0]
    assert results.ratio(Measure("a", "", "", False), "asyncua").values == [0.5, 1 / 3, 0.25]
    assert Samples([10.0, 20.0]).over(Samples([5.0])).values == [2.0, 4.0]
    assert str(Samples([1.0, 3.0, 2.0])) == "2.00 (1.00..3.00)"


def test_percentiles_are_values_that_occur() -> None:
    assert [percentile([4, 1, 3, 2], share) for share in (0.5, 0.75, 0.99)] == [2, 3, 4]


@pytest.mark.parametrize(("section", "measures"), [("opcua", MEASURES), ("opcua_secure", SECURE)])
def test_every_row_says_what_limits_it(section: str, measures: tuple[Measure, ...]) -> None:
    written = yaml.safe_load(LIMITS.read_text(encoding="utf-8"))[section]
    assert set(written) == {measure.key for measure in measures}
    text = report.limits(section, {measure.key: measure.title for measure in measures})
    assert text.count("\n- **") == len(measures)


def test_waiting_is_not_in_a_profile() -> None:
    raw = """\
run (uvloop/__init__.py:38);f (server/a.py:1);write (libc.so.6) 3
run (uvloop/__init__.py:38);f (server/a.py:1) 1
run (uvloop/__init__.py:38);epoll_pwait (libc.so.6) 9
_bootstrap (threading.py:1);get (queue.py:2);PyThread_acquire_lock_timed (libpython.so);0x12 (libc.so.6) 8
"""
    profile = flame.parse(raw)
    assert (profile.total, profile.waiting) == (4, 17)
    assert profile.functions() == [("[write]", 0.75, 0.75), ("f (server/a:1)", 0.25, 1.0)]
    assert "<title>f (server/a:1): 100.0 %</title>" in flame.draw(profile, "it")


def test_the_rate_of_bursts_does_not_depend_on_where_the_window_is_cut() -> None:
    arrivals = [burst / 10 + part for burst in range(20) for part in (0.0, 0.004)]
    assert _rate(arrivals, [500] * 40, 1.99) == pytest.approx(10_000)
    assert _rate([at / 100 for at in range(100)], [10] * 100, 1.0) == 1000
