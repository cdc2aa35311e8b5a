"""The configurations that docker-compose.yml mounts, in the programs that they are for."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.compose.compose_rig import Container, make_secrets
from tests.conftest import StartPlantree
from tests.gateways.influx.victoria_rig import needs_victoria
from tests.process_rig import free_port, wait_until

needs_mosquitto = pytest.mark.skipif(
    shutil.which("mosquitto") is None or shutil.which("mosquitto_sub") is None,
    reason="mosquitto is not installed (Debian packages mosquitto, mosquitto-clients)",
)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_secrets(tmp_path_factory.mktemp("programs") / "secrets")


class Broker:
    """A service's mosquitto, on loopback on a port of its own."""

    def __init__(self, name: str, secrets: Path, folder: Path) -> None:
        self.container, self.secrets, self.port = Container(name, secrets), secrets, free_port()
        written = self.container.paths["/mosquitto/config/mosquitto.conf"].read_text(encoding="utf-8")
        data = folder / name
        data.mkdir()
        # Debian's mosquitto gives up root for a user that may not enter pytest's folders.
        text = self.container.outside(written.replace("/mosquitto/data/", f"{data}/")) + "user root\n"
        assert "listener 8883\n" in text
        self.file = data / "mosquitto.conf"
        self.file.write_text(text.replace("listener 8883\n", f"listener {self.port} 127.0.0.1\n"), encoding="utf-8")

    @contextmanager
    def running(self) -> Iterator["Broker"]:
        with (self.file.parent / "log").open("wb") as log:
            process = subprocess.Popen(["mosquitto", "-c", str(self.file)], stdout=log, stderr=log)
        try:
            wait_until(lambda: self.healthy() or process.poll() is not None, f"{self.container.name} is healthy", 15)
            assert process.poll() is None, (self.file.parent / "log").read_text()
            yield self
        finally:
            process.terminate()
            process.wait(10)

    def healthy(self) -> bool:
        """Run the service's own health check."""
        kind, command = self.container.service["healthcheck"]["test"]
        assert kind == "CMD-SHELL"
        here = self.container.outside(command.replace("$$", "$")).replace("-p 8883", f"-p {self.port}")
        return subprocess.run(["sh", "-c", here], capture_output=True, timeout=10, check=False).returncode == 0

    def password(self, user: str) -> str:
        return (self.secrets / f"{self.container.name}_{user}_password").read_text(encoding="utf-8")

    def client(self, program: str, user: str, password: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        ca = str(self.container.paths["/run/secrets/ca"])
        command = [
            program,
            "-h",
            "localhost",
            "-p",
            str(self.port),
            "--cafile",
            ca,
            "-V",
            "5",
            "-u",
            user,
            "-P",
            password,
        ]
        return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=40, check=False)

    def url(self, user: str) -> str:
        return f"mqtts://{user}:{quote(self.password(user), safe='')}@localhost:{self.port}"


@needs_mosquitto
def test_both_brokers_and_plantree_between_them(secrets: Path, tmp_path: Path, plantree_process: StartPlantree) -> None:
    broker, cloud = Broker("mosquitto", secrets, tmp_path), Broker("cloud", secrets, tmp_path)
    ca = str(secrets / "ca.pem")
    with broker.running(), cloud.running():
        env = {
            "PLANTREE_MQTT__ENABLED": "true", "PLANTREE_MQTT__URL": broker.url("plantree"), "PLANTREE_MQTT__CA": ca,
            "PLANTREE_MQTT__BRIDGE__URL": cloud.url("plantree"), "PLANTREE_MQTT__BRIDGE__CA": ca,
            "PLANTREE_MQTT__BRIDGE__PERIOD": "1",
        }  # fmt: skip
        with plantree_process(env=env):
            wanted = ("-t", "factory/generator", "-C", "1", "-W", "15")
            found = broker.client("mosquitto_sub", "operator", broker.password("operator"), *wanted)
            assert '"generator_id"' in found.stdout, found.stderr
            wanted = ("-t", "cloud/factory/analytics", "-C", "1", "-W", "15")
            found = cloud.client("mosquitto_sub", "analyst", cloud.password("analyst"), *wanted)
            assert '"bridge_id"' in found.stdout, found.stderr
        # Who may what.
        sent = ("-t", "factory/generator", "-m", "{}", "-q", "1")
        refused = broker.client("mosquitto_pub", "operator", broker.password("operator"), *sent)
        assert "Not authorized" in refused.stderr + refused.stdout
        taken = broker.client(
            "mosquitto_pub", "operator", broker.password("operator"), "-t", "cmd/x", "-m", "{}", "-q", "1"
        )
        assert (taken.returncode, taken.stderr, taken.stdout) == (0, "", "")
        assert broker.client("mosquitto_pub", "operator", "wrong", *sent).returncode != 0
        assert cloud.client("mosquitto_pub", "operator", broker.password("operator"), *sent).returncode != 0


@needs_victoria
def test_victoriametrics_takes_its_flags_and_its_scrape_configuration(secrets: Path, tmp_path: Path) -> None:
    container = Container("victoria", secrets)
    flags = [container.outside(flag) for flag in container.service["command"]]

    def checked(*flags: str) -> subprocess.CompletedProcess[str]:
        command = ["victoria-metrics", "-dryRun", *flags]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    done = checked(*flags)
    assert done.returncode == 0, done.stderr
    wrong = tmp_path / "scrape.yml"
    written = container.paths["/etc/victoria/scrape.yml"].read_text(encoding="utf-8")
    wrong.write_text(written.replace("scrape_interval", "scrape_intervall"), encoding="utf-8")
    assert checked(f"-promscrape.config={wrong}").returncode != 0
    assert checked(*flags, "-retention=1d").returncode != 0
