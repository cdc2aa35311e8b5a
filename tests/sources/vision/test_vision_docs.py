"""The page on cameras: its example is a configuration that is taken as it stands, and what it names is there."""

import re
from pathlib import Path

import yaml

from address_space import load_plant
from address_space.load import DEFAULT_PLANT
from server.ports import SourceContext
from server.store import Store
from sources.vision.settings import BlindSettings, Settings
from sources.vision.source import VisionSource

PAGE = Path(__file__).resolve().parents[3] / "docs" / "vision.md"


def test_the_example_is_taken(tmp_path: Path) -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    default = yaml.safe_load(DEFAULT_PLANT.read_text(encoding="utf-8"))
    types = {"PlantType": {"description": "A plant"}, "CameraType": default["types"]["CameraType"]}
    rest = yaml.safe_dump({"plant": {"name": "Plant", "type": "PlantType"}, "types": types}, sort_keys=False)
    file = tmp_path / "plant.yaml"
    file.write_text(rest + example, encoding="utf-8")
    (tmp_path / "models").mkdir()
    for name in ("person", "helmet"):
        (tmp_path / "models" / f"{name}.onnx").touch()
    plant = load_plant(file)
    machines = tuple(machine for machine in plant.machines if machine.source == "vision")
    context = SourceContext("vision", plant, machines, Store(plant), plant.sources["vision"].options)
    cameras = VisionSource(context).settings.cameras
    assert cameras["Camera1"].input.live
    assert list(cameras["Camera1"].rules) == ["ForbiddenZone", "NoHelmet"]
    assert len(cameras["Camera2"].rules["ForbiddenZone"].schedule) == 2


def test_the_defaults_that_it_names_are_those() -> None:
    text, blind = PAGE.read_text(encoding="utf-8"), BlindSettings()
    for said in (
        f"`late` seconds ({blind.late:g})",
        f"`frozen` seconds ({blind.frozen:g})",
        f"`dark` ({blind.dark:g})",
        f"`bright` ({blind.bright:g})",
        f"`sharpness`, {blind.sharpness:g}",
        f"`raise_after` seconds ({blind.raise_after:g})",
        f"`clear_after` seconds ({blind.clear_after:g})",
        f"`nice` ({Settings.model_fields['nice'].default})",
    ):
        assert said in text, said
