"""Every variable of the default plant on every topic, as mosquitto_sub sees it."""

import json
from pathlib import Path

import numpy as np

from gateways.mqtt import MqttSettings, uns
from gateways.mqtt.mapping import object_topics, read_back
from server.quality import BAD_NO_COMMUNICATION, UNCERTAIN_LAST_USABLE
from server.store import now_ticks
from tests.gateways.mqtt.mosquitto_rig import Mosquitto, needs_mosquitto
from tests.gateways.mqtt.mqtt_rig import default_context, eventually, fill, running

pytestmark = needs_mosquitto

LINE = {"timestamp", "plc_id", "production_count", "line_speed", "temperature", "pressure", "vibration", "quality_rate",
        "alarm", "status"}  # fmt: skip
ENERGY = {"timestamp", "plc_id", "power_consumption", "voltages", "currents", "power_factor", "frequency",
          "energy_total", "grid_status", "efficiency"}  # fmt: skip
ENVIRONMENT = {"timestamp", "plc_id", "temperature", "humidity", "co2_level", "air_quality", "noise_level",
               "comfort_index"}  # fmt: skip


def settings(broker: Mosquitto, *layouts: str, **more: object) -> MqttSettings:
    given = {"url": broker.url(), "ca": broker.ca, "layouts": list(layouts), **more}
    return MqttSettings.model_validate(given)


async def test_factory_objects_have_exactly_the_agreed_keys(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, default_context(tmp_path) as context:  # noqa: SIM117
        with broker.subscriber("factory/#", "status/#") as seen:
            async with running(context, settings(broker, "factory")):
                await eventually(lambda: seen.of("factory/camera2"), "the births")
                stamp = fill(context.store, 1)
                topics = object_topics(context.plant, settings(broker).factory)

                def newest(topic: str) -> dict:
                    return json.loads(seen.of(topic)[-1].payload)

                def arrived() -> bool:
                    return all(
                        any(
                            read_back(topic, message.payload)[id_] == context.store.value(id_)
                            for message in seen.of(topic.topic)
                        )
                        for topic in topics
                        for id_ in topic.home
                    )

                await eventually(arrived, "every variable on the topic where it is at home")
                for line in ("line1", "line2", "line3"):
                    assert newest(f"factory/{line}").keys() == LINE
                assert newest("factory/line1")["plc_id"] == "PLC1"
                energy, environment = newest("factory/energy"), newest("factory/environment")
                assert energy.keys() == ENERGY
                assert energy["voltages"].keys() == energy["currents"].keys() == {"L1", "L2", "L3"}
                assert environment.keys() == ENVIRONMENT
                assert environment["air_quality"].keys() == {"index", "status"}
                generator = newest("factory/generator")
                assert {"timestamp", "generator_id", "status", "alarm", "speed", "voltage_l1"} < generator.keys()
                assert len(generator) == 4 + len(context.plant.machine("Plant.Generator1").variables)
                assert generator["timestamp"] == uns.iso(stamp)
                homes = [id_ for topic in topics for id_ in topic.home]
                assert sorted(homes) == list(range(len(context.plant.variables)))
            names = ("Plantree", "PLC1", "PLC2", "PLC3", "Generator1", "Camera1", "Camera2")
            told = {message.topic for message in seen.seen if message.topic.startswith("status/")}
            assert told == {f"status/{name}" for name in names}
            await eventually(
                lambda: json.loads(seen.of("status/Plantree")[-1].payload)["state"] == "offline", "the goodbye"
            )


async def test_alarm_follows_state_and_latch(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, default_context(tmp_path) as context:
        line = context.plant.machine("Plant.Line2").variables
        states = list(line["State"].declaration.enumeration.values)

        def set_(name: str, value: object) -> None:
            context.store.write(np.array([line[name].id]), np.array([value]), now_ticks())

        set_("State", states.index("Running"))
        set_("EmergencyStopActive", False)
        with broker.subscriber("factory/line2") as seen:
            async with running(context, settings(broker, "factory")):

                def shows(alarm: bool, status: str) -> bool:
                    newest = json.loads(seen.seen[-1].payload) if seen.seen else {}
                    return (newest.get("alarm"), newest.get("status")) == (alarm, status)

                await eventually(lambda: shows(False, "running"), "no alarm")
                set_("EmergencyStopActive", True)
                await eventually(lambda: shows(True, "running"), "the latch")
                set_("EmergencyStopActive", False)
                set_("State", states.index("EmergencyStopped"))
                await eventually(lambda: shows(True, "emergency_stopped"), "the state")
                context.store.set_status(np.array([line["LineSpeed"].id]), BAD_NO_COMMUNICATION)
                await eventually(lambda: json.loads(seen.seen[-1].payload)["line_speed"] is None, "null for Bad")


async def test_uns_shows_every_variable_retained(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, default_context(tmp_path) as context:
        plant, store = context.plant, context.store
        names = {"uns": {"enterprise": "acme", "site": "bern", "area": "hall"}}
        wanted = settings(broker, "uns", **names)
        async with running(context, wanted):
            fill(store, 7)
            store.set_status(np.array([3]), UNCERTAIN_LAST_USABLE)
            store.set_status(np.array([4]), BAD_NO_COMMUNICATION)
            await eventually(lambda: context.status.queue_depth == 0 and context.status.delivered > 290, "delivery")
            with broker.subscriber("acme/bern/hall/#") as seen:
                await eventually(lambda: len(seen.seen) > len(plant.variables), "all retained topics")
        for variable in plant.variables:
            (message,) = seen.of(uns.variable_topic(variable, plant, wanted.uns))
            value, status, source, _ = store.read(variable.id)
            assert message.retained
            stamp = source // 10 * 10
            shown_value, shown_status, shown_source = uns.read_back(variable, message.payload)
            assert (shown_status, shown_source) == (status, stamp)
            assert shown_value == value or abs(shown_value - value) < 10
        speed = json.loads(seen.of("acme/bern/hall/Generator1/Speed")[0].payload)
        assert list(speed) == ["value", "unit", "quality", "timestamp"]
        assert speed["unit"] == "r/min"
        assert json.loads(seen.of("acme/bern/hall/_state")[0].payload)["state"] == "online"
