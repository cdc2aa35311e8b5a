"""The settings of the whole: the server's, and those of every gateway that the checkout has."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from pydantic import BaseModel, create_model

from address_space.diagnostics import GATEWAYS
from server.gateway_part import GatewayPackage
from server.settings import Settings


def settings_model(name: str) -> type[BaseModel]:
    """Return the settings class of a gateway: gateways.mqtt.settings.MqttSettings."""
    model: type[BaseModel] = getattr(import_module(f"gateways.{name}.settings"), f"{name.capitalize()}Settings")
    return model


def package(name: str) -> GatewayPackage:
    """Import the package of a gateway; its protocol's library comes only with `create`."""
    return import_module(f"gateways.{name}")  # type: ignore[return-value]  # a module is what it has


def available() -> tuple[str, ...]:
    """Name the gateways that are there; a checkout may go without some."""
    return tuple(name for name in GATEWAYS if find_spec(f"gateways.{name}") is not None)


def command_lines() -> list[Any]:
    """Import what gateways add to the command line: `register` adds subcommands, `register_export` exports."""
    return [import_module(f"gateways.{name}.cli") for name in available() if find_spec(f"gateways.{name}.cli")]


_FIELDS: dict[str, Any] = {name: (settings_model(name), settings_model(name)()) for name in available()}

PlantreeSettings: type[Settings] = create_model(
    "PlantreeSettings", __base__=Settings, __module__=__name__, __doc__=Settings.__doc__, **_FIELDS
)
"""The server's settings with one section a gateway."""
