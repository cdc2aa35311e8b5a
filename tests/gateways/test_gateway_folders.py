"""What every gateway's folder has, and what every gateway's settings have."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from address_space.diagnostics import GATEWAYS
from server import composition
from server.settings import Section
from server.settings_load import is_secret, leaves, section_of, value_at
from server.supervision import StartPolicy

ROOT = Path(__file__).parents[2]
FOLDERS = {file.parent.name: file.parent for file in (ROOT / "gateways").glob("*/__init__.py")}
LIBRARIES = {"pymodbus", "paho", "amqtt", "influxdb_client", "aiohttp", "asyncua", "fastapi", "uvicorn"}
DEEPEST = 2
"""Names down to a setting within a gateway: mqtt.outbox.max_bytes."""


def models(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Return the model and every section in it."""
    below = [section for info in model.model_fields.values() if (section := section_of(info)) is not None]
    return [model, *(found for section in below for found in models(section))]


def test_every_folder_is_a_gateway_that_the_tree_shows() -> None:
    assert FOLDERS
    assert set(FOLDERS) == set(composition.available()) <= set(GATEWAYS)


@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_every_folder_has_the_same_files(name: str) -> None:
    files = {file.name for file in FOLDERS[name].iterdir()}
    assert {"settings.py", "mapping.py", "gateway.py", "observe.py"} <= files
    assert "def create(" in (FOLDERS[name] / "__init__.py").read_text(encoding="utf-8")
    assert "async def observe(" in (FOLDERS[name] / "observe.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_every_setting_says_what_it_is_and_has_a_default(name: str) -> None:
    model = composition.settings_model(name)
    settings = model()
    for path, info in leaves(model):
        assert info.description, f"{name}.{'.'.join(path)} has no description"
        assert len(path) <= DEEPEST, path
        if is_secret(info):
            assert not str(value_at(settings, path)), "a secret has no default"
    for section in models(model):
        assert issubclass(section, Section), section
        assert section.__doc__, section
        assert section.__doc__ != Section.__doc__, section
    fields = model.model_fields
    assert fields["enabled"].annotation is bool
    assert fields["startup"].annotation == StartPolicy
    assert settings.startup == "retry"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_settings_and_package_are_cheap_to_import(name: str) -> None:
    """Every subcommand reads them: none waits for a protocol's library."""
    code = (
        f"import sys, gateways.{name}, gateways.{name}.settings; print(*{{m.partition('.')[0] for m in sys.modules}})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert LIBRARIES.isdisjoint(done.stdout.split())


def test_the_server_s_settings_have_a_section_a_gateway() -> None:
    fields = composition.PlantreeSettings.model_fields
    for name in FOLDERS:
        assert section_of(fields[name]) is composition.settings_model(name)
