"""Settings of the time-series gateway."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from gateways.influx import create
from gateways.influx.settings import InfluxSettings
from server.composition import PlantreeSettings
from server.settings import SettingsError
from server.settings_load import load
from tests.gateways.influx.influx_rig import Rig


def test_a_url_turns_it_on() -> None:
    assert not InfluxSettings().enabled
    assert InfluxSettings(url="http://127.0.0.1:8428/").enabled
    assert InfluxSettings(url="http://127.0.0.1:8428/").url == "http://127.0.0.1:8428"
    assert not InfluxSettings(url="http://127.0.0.1:8428", enabled=False).enabled


@pytest.mark.parametrize("url", ["localhost:8086", "ftp://x", "http://", "http://u:p@x", "http://x?db=1", "http://x:y"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ValidationError, match="must"):
        InfluxSettings(url=url)


def test_mistakes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"PLANTREE_INFLUX__ENABLED.*needs influx\.url"):
        load(environ={"PLANTREE_INFLUX__ENABLED": "true"}, model=PlantreeSettings)
    with pytest.raises(SettingsError, match=r"PLANTREE_INFLUX__DATABASE: influx\.database"):
        load(environ={"PLANTREE_INFLUX__DATABASE": "oracle"}, model=PlantreeSettings)
    with pytest.raises(SettingsError, match=r"influx\.ca: .*nowhere\.pem cannot be read"):
        Rig(tmp_path, "https://127.0.0.1:1", ca=tmp_path / "nowhere.pem")


def test_without_a_url_there_is_no_gateway(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "http://127.0.0.1:1")
    with pytest.raises(SettingsError, match=r"influx\.url is not set"):
        create(rig.context, InfluxSettings())
