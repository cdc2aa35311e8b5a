"""Address spaces for the tests of the View services: the default plant, and presses with a NodeSet beside them."""

from pathlib import Path

import pytest

from address_space import DEFAULT_PLANT
from server.opcua.space import PlantAddressSpace
from tests.server.opcua.opcua_rig import plant_file
from tests.server.opcua_view.view_rig import EXTRA, Client, build_space

PRESSES = """\
  Press[1..12]: {type: PressType}
  Pressing: {type: PressType, nameplate: {Manufacturer: "100 % Presses", SerialNumber: "5"}}
  Other: {type: PressType, nameplate: {Manufacturer: Presses, Model: X}}
"""


@pytest.fixture(scope="session")
def default_space(tmp_path_factory: pytest.TempPathFactory) -> PlantAddressSpace:
    return build_space(tmp_path_factory.mktemp("default"), DEFAULT_PLANT)


@pytest.fixture(scope="session")
def extra_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("nodeset") / "extra.xml"
    file.write_text(EXTRA, encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def presses_space(tmp_path_factory: pytest.TempPathFactory, extra_file: Path) -> PlantAddressSpace:
    folder = tmp_path_factory.mktemp("presses")
    return build_space(folder, plant_file(folder, PRESSES), [extra_file])


@pytest.fixture
def client(default_space: PlantAddressSpace) -> Client:
    return Client(default_space)


@pytest.fixture
def presses(presses_space: PlantAddressSpace) -> Client:
    return Client(presses_space)
