"""Connections are cut in the middle of a message, again and again."""

import time
from pathlib import Path

import pytest

from tests.gateways.influx.victoria_rig import needs_victoria
from tests.gateways.mqtt.mosquitto_rig import needs_mosquitto
from tests.system.outage_rig import GATEWAYS, Rig

pytestmark = [needs_mosquitto, needs_victoria]

CUTTING_S = 10.0
LEAST_CUTS = 3


@pytest.mark.timeout(120)
def test_nothing_is_lost_when_connections_are_cut_in_the_middle_of_messages(tmp_path: Path) -> None:
    with Rig(tmp_path, proxied=True) as rig:
        for proxy in rig.proxies.values():
            proxy.cutting.set()
        time.sleep(CUTTING_S)  # the outage itself
        for proxy in rig.proxies.values():
            proxy.cutting.clear()
        until = rig.finish(within=60)
        sent = rig.sent(until)
        counts = rig.count(sent, until)
        rig.show("cut in the middle", counts)
        print({gateway: f"{proxy.cuts} cuts, after bytes: {proxy.passed}" for gateway, proxy in rig.proxies.items()})
        assert all(proxy.cuts >= LEAST_CUTS for proxy in rig.proxies.values())
        assert [found.lost for found in counts.values()] == [0, 0]
        assert [found.unsent + found.wrong for found in counts.values()] == [0, 0]
        assert [rig.dropped(gateway) for gateway in GATEWAYS] == [0, 0]
