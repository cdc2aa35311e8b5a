"""The bridge to a second broker, and the figures that it sends."""

import asyncio
import json
import random
from pathlib import Path

import numpy as np
import pytest

from gateways.mqtt import MqttSettings
from gateways.mqtt.analytics import Analytics, trend
from gateways.mqtt.bridge import Queue
from server.store import now_ticks
from tests.gateways.mqtt.mosquitto_rig import Mosquitto, needs_mosquitto
from tests.gateways.mqtt.mqtt_rig import default_context, eventually, running

SHAPE = {
    "timestamp": None, "bridge_id": None, "aggregation_period": None,
    "energy_analytics": {"power_consumption": {"average": None, "trend": None}, "efficiency": {"average": None}},
    "environment_analytics": {"temperature": {"average": None, "trend": None}, "air_quality": {"average_index": None}},
    "critical_alerts": None,
    "facility_status": {"energy_efficiency": None, "environmental_comfort": None, "overall_health": None},
}  # fmt: skip


def keys(document: object) -> object:
    return {key: keys(value) for key, value in document.items()} if isinstance(document, dict) else None


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ([1.0, 2.0, 3.0], "rising"),
        ([3.0, 2.0, 1.0], "falling"),
        ([1.0, 2.0], "stable"),
        ([5.0] * 10, "stable"),
        ([], "stable"),
        ([None, 1.0, None, 2.0, None, 3.1, None, 4.0], "rising"),
        ([0.0, 5.0, 1.0, 4.0, 2.0, 6.0, 0.5, 5.5, 1.5, 4.5], "stable"),
        ([10.0, 9.1, 8.3, 7.0, 6.2, 5.1, 3.9, 3.1, 2.0, 0.9], "falling"),
    ],
)
def test_trend(means: list[float | None], expected: str) -> None:
    assert trend(means) == expected


def test_noise_is_called_a_trend_one_time_in_twenty() -> None:
    """What significance at 95 % means."""
    chance = random.Random(1)  # noqa: S311
    told = sum(trend([chance.gauss(0, 1) for _ in range(10)]) != "stable" for _ in range(4000))
    assert 0.04 < told / 4000 < 0.06


def test_an_aggregate_is_the_mean_of_good_samples(tmp_path: Path) -> None:
    with default_context(tmp_path) as context:
        store, plant = context.store, context.plant
        analytics = Analytics(plant, store, "Bridge", 10)
        assert analytics.close_period() is None
        cursor = store.journal.cursor("test")

        def write(name: str, *values: float, status: int = 0) -> None:
            for value in values:
                store.write(np.array([plant.variable(f"Plant.{name}").id]), np.array([value]), 638_000_000_000, status)

        write("Energy.PowerConsumption", 100, 200, 600)
        write("Energy.PowerConsumption", 9e9, status=0x80310000)
        write("Energy.Efficiency", 80, 90)
        write("Environment.Temperature", 20)
        write("Environment.AirQualityIndex", 30)
        write("Environment.ComfortIndex", 75)
        for machine in plant.objects:  # nothing is wrong
            for name, quiet in {"State": 2, "EmergencyStopActive": 0, "GridStatus": 0, "AirQualityStatus": 0}.items():
                if name in machine.variables and machine.variables[name].declaration.type.name != "String":
                    write(machine.variables[name].path.removeprefix("Plant."), quiet)
        analytics.take(cursor.read())
        closed = analytics.close_period()
        assert closed is not None
        newest, document = closed
        assert newest == 638_000_000_000
        assert document["energy_analytics"] == {
            "power_consumption": {"average": 300.0, "trend": "stable"},
            "efficiency": {"average": 85.0},
        }
        assert document["facility_status"] == {
            "energy_efficiency": 85.0, "environmental_comfort": 75.0, "overall_health": True,
        }  # fmt: skip
        assert document["critical_alerts"] == []
        write("Generator1.State", 4)
        write("Line2.EmergencyStopActive", 1)
        write("Energy.GridStatus", 3)
        document = analytics.close_period()[1]
        assert document["critical_alerts"] == ["Generator1: tripped", "Line2: emergency stop active", "Energy: outage"]
        assert document["facility_status"]["overall_health"] is False
        assert document["energy_analytics"]["power_consumption"]["average"] is None  # a period without a sample


def test_the_queue_drops_the_oldest_and_survives(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "bridge.sqlite", most=3)
    assert [queue.append(b"%d" % number) for number in range(5)] == [0, 0, 0, 1, 1]
    queue.close()
    queue = Queue(tmp_path / "bridge.sqlite", most=3)
    (first, payload), *_ = queue.peek(10)
    assert (payload, len(queue)) == (b"2", 3)
    queue.acknowledge(first)
    assert [payload for _, payload in queue.peek(10)] == [b"3", b"4"]
    queue.close()


@needs_mosquitto
async def test_aggregates_reach_the_second_broker_those_of_an_outage_too(tmp_path: Path) -> None:
    with (
        Mosquitto(tmp_path / "one") as broker,
        Mosquitto(tmp_path / "two") as second,
        default_context(tmp_path) as context,
    ):
        settings = MqttSettings.model_validate(
            {
                "url": broker.url(), "ca": broker.ca, "layouts": ["uns"],
                "bridge": {"url": second.url(), "ca": second.ca, "period": 0.2},
            }
        )  # fmt: skip
        power = context.plant.variable("Plant.Energy.PowerConsumption")

        async def change() -> None:
            number = 0.0
            while True:
                number += 1
                context.store.write(np.array([power.id]), np.array([number]), now_ticks())
                await asyncio.sleep(0.02)

        def averages() -> list[float]:
            documents = [json.loads(message.payload) for message in seen.of("cloud/factory/analytics")]
            return [document["energy_analytics"]["power_consumption"]["average"] for document in documents]

        async with running(context, settings):
            changing = asyncio.create_task(change())
            with second.subscriber("cloud/#", "status/#") as seen:
                await eventually(lambda: len(averages()) > 2, "aggregates")
                assert keys(json.loads(seen.of("cloud/factory/analytics")[0].payload)) == SHAPE
                assert json.loads(seen.of("status/Bridge")[-1].payload)["state"] == "online"
            second.stop()
            before = averages()
            await eventually(lambda: context.status.queue_depth > 3, "aggregates wait")
            second.start()
            with second.subscriber("cloud/#") as seen:
                await eventually(lambda: len(averages()) > 3, "the aggregates of the outage")
                everything = [*before, *averages()]
            changing.cancel()
        assert everything == sorted(everything)
