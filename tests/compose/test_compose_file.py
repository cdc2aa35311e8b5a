"""docker-compose.yml: the compose specification takes it, nothing in it is loose, and its names and ports fit."""

import ipaddress
import json
import re
import stat
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml

from grafana.settings import GrafanaSettings
from server.composition import PlantreeSettings
from server.settings_load import load
from tests.compose.compose_rig import ROOT, Container, compose, make_secrets

SERVICES = {"plantree", "mosquitto", "cloud", "victoria-volume", "victoria", "influxdb", "grafana"}
ONCE = {"victoria-volume"}
"""Services that do one thing and end."""


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_secrets(tmp_path_factory.mktemp("compose") / "secrets")


def services() -> dict[str, Any]:
    return compose()["services"]


def settings_of(secrets: Path) -> Any:
    """Load the settings that the container has."""
    container = Container("plantree", secrets)
    environ = {name: container.outside(value) for name, value in container.service["environment"].items()}
    return load(None, environ, model=PlantreeSettings)


def test_the_compose_specification_takes_it() -> None:
    schema = json.loads(files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(compose())] == []
    wrong = compose()
    wrong["services"]["plantree"]["port"] = ["1:1"]
    assert not validator.is_valid(wrong)


def test_every_service_is_sealed() -> None:
    assert set(services()) == SERVICES
    for name, service in services().items():
        assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+\.\d+(-alpine)?", service["image"]), name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["mem_limit"], name
        if name not in ONCE:
            assert int(service["user"].split(":")[0]) > 0, name
            assert {"cpus", "pids_limit", "healthcheck", "restart", "logging"} <= set(service), name
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert f"USER {services()['plantree']['user']}" in dockerfile
    check = services()["plantree"]["healthcheck"]["test"]
    assert f"CMD {json.dumps(check[1:])}" in dockerfile
    assert len(set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE))) == 1


def test_what_is_named_is_there(secrets: Path) -> None:
    whole = compose()
    mounted: dict[str, set[str]] = {}
    for name, service in whole["services"].items():
        assert set(service.get("networks", ())) <= set(whole["networks"]), name
        assert set(service.get("depends_on", ())) <= SERVICES, name
        for other, how in service.get("depends_on", {}).items():
            # What a profile may leave out is not required; what is waited for can tell.
            required = how.get("required", True)
            assert required or "profiles" in whole["services"][other], (name, other)
            assert not required or service.get("profiles") == whole["services"][other].get("profiles"), (name, other)
            if how["condition"] == "service_healthy":
                assert "healthcheck" in whole["services"][other], other
        for inside, path in Container(name, secrets).paths.items():
            assert path.exists(), (name, inside, path)
            mounted.setdefault(name, set()).add(inside)
        named = {volume.split(":")[0] for volume in service.get("volumes", ()) if not volume.startswith("./")}
        assert named <= set(whole["volumes"]), name
        # What configurations say of secrets is what the service is given.
        text = yaml.safe_dump(service) + "".join(
            file.read_text(encoding="utf-8")
            for language in ("promql", "flux")
            for path in Container(name, secrets, language).paths.values()
            for file in ([path] if path.is_file() else path.rglob("*.*"))
            if file.suffix in (".conf", ".yml", ".yaml")
        )
        used = set(re.findall(r"/run/secrets/(\w+)", text))
        assert used == {inside.rpartition("/")[2] for inside in mounted.get(name, ()) if "secrets" in inside}, name
    granted = {
        one["source"] if isinstance(one, dict) else one
        for s in whole["services"].values()
        for one in s.get("secrets", ())
    }
    assert granted == set(whole["secrets"])


@pytest.mark.parametrize("database", ["victoria", "influx"])
def test_names_and_ports_fit(tmp_path: Path, database: str) -> None:
    folder = make_secrets(tmp_path / "secrets", database)
    settings, known = settings_of(folder), services()
    ports = {str(port).rpartition(":")[2] for port in known["plantree"]["ports"]}
    own = (settings.opcua, settings.modbus, settings.http, settings.web)
    assert ports == {str(section.port) for section in own}
    # Grafana's pictures of alarms are fetched by the browser of whoever looks.
    assert settings.http.public_url == f"http://localhost:{settings.http.port}"
    exposed = re.search(r"^EXPOSE (.*)$", (ROOT / "docker" / "Dockerfile").read_text(), re.MULTILINE)
    assert exposed is not None
    assert set(exposed[1].split()) == ports
    assert known["mosquitto"]["ports"] == ["8883:8883"]
    for name in ("http", "modbus", "opcua", "web"):
        assert ipaddress.ip_address(getattr(settings, name).host).is_unspecified, name
    language = {"victoria": "promql", "influx": "flux"}[database]
    source = yaml.safe_load((ROOT / f"grafana/provisioning/{language}/datasources/plantree.yml").read_text())
    grafana_url = source["datasources"][0]["url"]
    assert grafana_url == settings.influx.url
    assert (folder / "compose.env").read_text() == f"COMPOSE_PROFILES={database}\nGRAFANA_LANGUAGE={language}\n"
    scrape = yaml.safe_load((ROOT / "docker/victoria/scrape.yml").read_text())
    (target,) = scrape["scrape_configs"][0]["static_configs"][0]["targets"]
    peers = [("plantree", settings.mqtt.url.get_secret_value()), ("plantree", settings.influx.url)]
    peers += [("plantree", settings.mqtt.bridge.url.get_secret_value()), ("grafana", grafana_url)]
    peers += [("victoria", f"http://{target}")]
    listens = {"mosquitto": 8883, "cloud": 8883, "victoria": 8428, "influxdb": 8086, "plantree": settings.http.port}
    for client, url in peers:
        parts = urlsplit(url)
        assert parts.port == listens[str(parts.hostname)], url
        assert set(known[client]["networks"]) & set(known[str(parts.hostname)]["networks"]), (client, parts.hostname)
    for broker in ("mosquitto", "cloud"):
        assert "listener 8883\n" in (ROOT / "docker" / broker / "mosquitto.conf").read_text()
    assert "-httpListenAddr=:8428" in known["victoria"]["command"]
    volumes = set(Container("grafana", folder, language).paths)
    provider = yaml.safe_load((ROOT / f"grafana/provisioning/{language}/dashboards/plantree.yml").read_text())
    assert provider["providers"][0]["options"]["path"] in volumes
    assert provider["providers"][0]["folder"] == GrafanaSettings().folder
    if database == "influx":
        environment = known["influxdb"]["environment"]
        assert settings.influx.org == environment["DOCKER_INFLUXDB_INIT_ORG"]
        assert settings.influx.bucket == environment["DOCKER_INFLUXDB_INIT_BUCKET"]
        assert settings.influx.token.get_secret_value() == (folder / "influx_token").read_text()
        options = source["datasources"][0]["jsonData"]
        assert (options["organization"], options["defaultBucket"]) == (settings.influx.org, settings.influx.bucket)


def test_making_secrets_again_keeps_them(secrets: Path) -> None:
    before = {file.name: file.read_bytes() for file in secrets.iterdir()}
    make_secrets(secrets)
    assert {file.name: file.read_bytes() for file in secrets.iterdir()} == before
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert stat.S_IMODE((secrets / "ca.key").stat().st_mode) == 0o600
    ignored = (ROOT / "docker" / ".gitignore").read_text(encoding="utf-8").split()
    assert ignored == ["secrets/"]
