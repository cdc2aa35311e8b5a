"""Broker and time-series database are gone for a minute, both at once, while 1,000 variables change at 10 Hz."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gateways.settings import OutboxSettings
from server.store import now_ticks
from server.store.ticks import TICKS_PER_SECOND
from tests.gateways.influx.victoria_rig import needs_victoria
from tests.gateways.mqtt.mosquitto_rig import needs_mosquitto
from tests.process_rig import wait_until
from tests.system.outage_rig import GATEWAYS, LONG_S, PERIOD_S, Rig
from tests.system.stored import exported

pytestmark = [needs_mosquitto, needs_victoria]

OUTAGE_S = 60.0
LIVE_DELAY_S = OutboxSettings().live_delay
MARGIN_S = 1.0  # for a machine that does other things, too
LOOK_ROWS = DRAINING_ROWS = 20_000  # more than what is live at any moment


def newest_delay(rig: Rig) -> float:
    """Return how old the newest measured sample is that VictoriaMetrics has (s)."""
    recent = exported(rig.victoria, rig.plant, 'opcua_value{name="Value1"}', last=20.0)
    return (now_ticks() - int(recent.times.max())) / TICKS_PER_SECOND if len(recent) else np.inf


@pytest.mark.timeout(400)
def test_nothing_is_lost_when_the_peers_are_gone_for_a_minute(tmp_path: Path, measured: Callable[[str], None]) -> None:
    with Rig(tmp_path, {"PLANTREE_MQTT__OUTBOX__BACKLOG_RATE": "60000"}) as rig:
        rig.stop_peers()
        gone = now_ticks()
        rig.let_pass(OUTAGE_S)
        assert all(rig.delivery(gateway).queue_depth > 0.9 * OUTAGE_S * 10_000 for gateway in GATEWAYS)
        back = now_ticks()
        rig.start_peers()
        delays = watch_draining(rig)
        until = rig.finish()
        sent = rig.sent(until)
        counts = rig.count(sent, until)
        rig.show(measured, "gone for a minute", counts)
        measured(
            f"gone for a minute, influx: {len(delays)} looks while it drains, live at most {max(delays):.2f} s old"
        )
        assert len(sent.of(rig.measured)) >= 0.99 * (until - rig.began) / TICKS_PER_SECOND * 1000 / PERIOD_S
        assert [found.lost for found in counts.values()] == [0, 0]
        assert [found.unsent + found.wrong for found in counts.values()] == [0, 0]
        assert [rig.dropped(gateway) for gateway in GATEWAYS] == [0, 0]
        assert max(delays) <= LIVE_DELAY_S + MARGIN_S
        measured(check_lanes(rig, gone, back, until))


def watch_draining(rig: Rig) -> list[float]:
    """Wait until Influx has drained its backlog; returns how old its newest sample was at each look meanwhile (s)."""
    delays: list[float] = []
    waited = rig.delivery("influx").queue_depth

    def has_drained() -> bool:
        nonlocal waited
        now = rig.delivery("influx")
        if now.connected and now.queue_depth < waited - LOOK_ROWS:
            waited = now.queue_depth
            delays.append(newest_delay(rig))
        return now.connected and now.queue_depth < DRAINING_ROWS

    wait_until(has_drained, "influx has drained", LONG_S)
    return delays


def check_lanes(rig: Rig, gone: int, back: int, until: int) -> str:
    """Check the order of the backlog at the subscriber, and that live samples did not wait for it; says how it was."""
    samples, arrived = rig.subscriber.arrivals(rig.plant)
    # What the broker had taken before it went comes again by itself: it says nothing of the gateway.
    connected = int(arrived[(arrived > back) & (samples.times > gone)].min())
    waited = (samples.times > gone) & (samples.times <= back) & (arrived > back)
    order = np.argsort(samples.ids[waited], kind="stable")
    ids, times = samples.ids[waited][order], samples.times[waited][order]
    assert (np.diff(times)[np.diff(ids) == 0] > 0).all()
    drained = int(arrived[waited].max())
    live = (samples.times > connected) & (samples.times <= until)
    meanwhile = live & (arrived <= drained)
    assert meanwhile.any()
    delays = (arrived - samples.times)[live] / TICKS_PER_SECOND
    took = (drained - connected) / TICKS_PER_SECOND
    assert delays.max() <= LIVE_DELAY_S + MARGIN_S
    return (
        f"gone for a minute, mqtt: {waited.sum():,} of the backlog in {took:.1f} s and in order; "
        f"{meanwhile.sum():,} live ones meanwhile, delayed by {np.median(delays):.3f} s, at most {delays.max():.2f} s"
    )
