"""Which layouts there are, by the names that the setting `mqtt.layouts` knows."""

from importlib import import_module

from address_space.model import Plant
from gateways.mqtt.layout import Layout, LayoutState
from gateways.mqtt.settings import MqttSettings
from server.store import Store

CLASSES = {
    "factory": ("gateways.mqtt.factory", "FactoryLayout"),
    "uns": ("gateways.mqtt.uns", "UnsLayout"),
    "pubsub": ("gateways.mqtt.pubsub", "PubSubLayout"),
    "sparkplug": ("gateways.mqtt.sparkplug", "SparkplugLayout"),
}


def make(name: str, plant: Plant, store: Store, settings: MqttSettings, state: LayoutState) -> Layout:
    """Make a layout by its name."""
    module, cls = CLASSES[name]
    layout: Layout = getattr(import_module(module), cls)(plant, store, settings, state)
    return layout
