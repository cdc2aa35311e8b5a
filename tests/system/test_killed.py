"""The server is killed in an outage of its peers and started again."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from server.store import now_ticks
from server.store.ticks import TICKS_PER_SECOND
from tests.gateways.influx.victoria_rig import needs_victoria
from tests.gateways.mqtt.mosquitto_rig import needs_mosquitto
from tests.system.outage_rig import GATEWAYS, Rig
from tests.system.samples import Samples

pytestmark = [needs_mosquitto, needs_victoria]

BEFORE_S = 5.0
DURABLE_S = 1.0
"""A sample is on the disk within some 50 ms, by an SSD; what is younger when the process dies may die with it."""


@pytest.mark.timeout(300)
def test_nothing_that_was_seen_is_lost_when_the_server_is_killed_in_an_outage(
    tmp_path: Path, measured: Callable[[str], None]
) -> None:
    with Rig(tmp_path) as rig:
        rig.stop_peers()
        rig.let_pass(BEFORE_S)
        rig.server.stop(signal.SIGKILL)
        killed = now_ticks()
        rig.observers[0].wait_dead()
        seen = rig.observers[0].samples()
        rig.server.start()
        rig.observe()
        rig.start_peers()
        until = rig.finish()
        everything = rig.sent(until)
        young = (everything.times > killed - DURABLE_S * TICKS_PER_SECOND) & (everything.times <= killed)
        old = rig.count(everything.where(~young), until)
        counts = rig.count(everything, until)
        rig.show(measured, "killed in an outage", counts)
        youngest = (killed - int(seen.times.max())) / TICKS_PER_SECOND
        before = Samples.joined([seen]).within(rig.began, killed)
        measured(
            f"killed in an outage: {len(before):,} seen before the kill, the youngest {1000 * youngest:.0f} ms old then"
        )
        assert len(before) > 0.9 * BEFORE_S * 10_000
        assert [found.lost for found in old.values()] == [0, 0]
        assert [found.wrong for found in counts.values()] == [0, 0]
        assert [rig.dropped(gateway) for gateway in GATEWAYS] == [0, 0]
