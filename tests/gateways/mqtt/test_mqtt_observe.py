"""What `verify` reads back of MQTT agrees with the store, while it changes."""

import asyncio
from pathlib import Path

from gateways.mqtt import MqttSettings
from gateways.mqtt.observe import observe
from gateways.observing import Observation
from server.store import Store
from tests.gateways.mqtt.mosquitto_rig import Mosquitto, needs_mosquitto
from tests.gateways.mqtt.mqtt_rig import default_context, fill, running

pytestmark = needs_mosquitto


async def test_every_observation_is_a_sample_of_the_store(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker, default_context(tmp_path) as context:
        settings = MqttSettings.model_validate({"url": broker.url(), "ca": broker.ca, "layouts": ["factory", "uns"]})
        plant, store = context.plant, context.store
        truths: list[list[Observation]] = [[] for _ in plant.variables]

        def note(store: Store) -> None:
            for variable in plant.variables:
                value, status, source, _ = store.read(variable.id)
                truths[variable.id].append(Observation(variable.path, value, status, source))

        async def change() -> None:
            for offset in range(100):
                fill(store, offset, 0 if offset % 3 else 0x808A0000 if offset % 2 else 0x40900000)
                note(store)
                await asyncio.sleep(0.02)

        fill(store, 500)
        note(store)
        async with running(context, settings):
            changing = asyncio.create_task(change())
            planes = await observe(plant, settings, 1.0)
            changing.cancel()
        assert [plane.name for plane in planes] == ["mqtt factory", "mqtt uns"]
        for plane in planes:
            assert {observation.path for observation in plane.observations} == {v.path for v in plant.variables}
            for seen in plane.observations:
                variable = plant.variable(seen.path)
                assert any(plane.same(variable, truth, seen) for truth in truths[variable.id]), (plane.name, seen)
            wrong = Observation("Plant.Line1.LineSpeed", -1.0, 0, None)
            speed = plant.variable("Plant.Line1.LineSpeed")
            assert not any(plane.same(speed, truth, wrong) for truth in truths[speed.id])
