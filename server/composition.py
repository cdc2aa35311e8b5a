"""The parts of the whole that depend on which gateways the checkout has: the settings, and where history is kept."""

from collections.abc import Awaitable, Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, create_model

from address_space.diagnostics import GATEWAYS
from address_space.model import Plant
from server.gateway_part import GatewayPackage
from server.settings import Settings, SettingsError

if TYPE_CHECKING:
    from server.alarms.ports import AlarmPort
    from server.historian import Backend


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
    modules = [f"gateways.{name}.cli" for name in available()]
    if find_spec("grafana") is not None:
        modules.append("grafana.cli")
    return [import_module(module) for module in modules if find_spec(module)]


def history_backend(plant: Plant, settings: Settings) -> "Backend":
    """Return where history is kept, as the settings say; raises SettingsError where there is no such place."""
    from server import historian  # noqa: PLC0415  the command line's other subcommands do without

    if settings.historian.backend == "embedded":
        return historian.embedded(plant, settings.historian, settings.data_dir)
    gateway: Any = getattr(settings, settings.historian.backend, None)
    if gateway is None or not gateway.enabled:
        raise SettingsError("historian.backend is influx, which needs influx.url: the database that is asked")
    created: Backend = import_module("gateways.influx.history").backend(plant, gateway, settings.historian)
    return created


def annotator(settings: Settings, alarms: "AlarmPort") -> Callable[[], Awaitable[None]] | None:
    """Return what writes conditions into Grafana as annotations while it runs; None where no Grafana is named."""
    grafana: Any = getattr(settings, "grafana", None)
    if grafana is None or not grafana.url or not grafana.token.get_secret_value():
        return None
    run: Callable[[], Awaitable[None]] = (
        import_module("grafana.annotator").Annotator(alarms, grafana, settings.data_dir / "grafana").run
    )
    return run


_FIELDS: dict[str, Any] = {name: (settings_model(name), settings_model(name)()) for name in available()}
if find_spec("grafana") is not None:
    _grafana: type[BaseModel] = import_module("grafana.settings").GrafanaSettings
    _FIELDS["grafana"] = (_grafana, _grafana())

PlantreeSettings: type[Settings] = create_model(
    "PlantreeSettings", __base__=Settings, __module__=__name__, __doc__=Settings.__doc__, **_FIELDS
)
"""The server's settings with one section a gateway."""
