"""Minutes and hours: the Flux of InfluxDB's tasks in Flux's own parser, the rules in a real vmalert."""

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from gateways.influx.cli import generate
from gateways.influx.rollups import FUNCTIONS, ROLLUPS, RULES_FILE, buckets, rules, tasks
from gateways.influx.settings import InfluxSettings, RetentionSettings
from tests.gateways.influx.victoria_rig import Victoria, needs_victoria

ROOT = Path(__file__).parents[3]
HOUR = 1_767_225_600  # 2026-01-01T00:00:00Z
CHECK_FLUX = """
const { Flux } = require("@influxdata/flux-lsp-node");
const script = require("fs").readFileSync(0, "utf8");
let valid = false;
try { valid = new Flux(script).is_valid(); } catch (error) { console.error(String(error)); }
console.log(valid);
"""


def is_flux(script: str) -> bool:
    """Ask InfluxData's own parser, which checks types and functions, too."""
    if shutil.which("node") is None or not (ROOT / "node_modules" / "@influxdata" / "flux-lsp-node").exists():
        pytest.skip("Flux's parser is not installed (npm package @influxdata/flux-lsp-node)")
    done = subprocess.run(
        ["node", "-e", CHECK_FLUX], cwd=ROOT, input=script, capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip() == "true"


@pytest.mark.parametrize("bucket", ["plantree", 'with "quotes", ${x} and \\ more'])
def test_the_tasks_are_flux(bucket: str) -> None:
    for task in tasks(InfluxSettings(bucket=bucket)):
        assert is_flux(task.flux), task.flux


def test_the_parser_of_flux_finds_mistakes() -> None:
    good = tasks(InfluxSettings())[0].flux
    wrong = {"range(": "rang(", "fn: min": "fn: minimum", 'bucket: "plantree")': "bucket: 1)", "1m, fn": "1m fn"}
    for old, new in wrong.items():
        assert old in good
        assert not is_flux(good.replace(old, new)), new


def test_buckets_keep_what_the_settings_say() -> None:
    settings = InfluxSettings(bucket="hall", retention=RetentionSettings(raw_days=3, minute_days=30, hour_days=0))
    assert [(bucket.name, bucket.seconds) for bucket in buckets(settings)] == [
        ("hall", 3 * 86_400), ("hall_1m", 30 * 86_400), ("hall_1h", 0),
    ]  # fmt: skip
    assert buckets(InfluxSettings())[0].seconds == 7 * 86_400


def test_the_committed_rules_are_fresh() -> None:
    assert generate() == {RULES_FILE: rules()}
    assert RULES_FILE.read_text(encoding="utf-8") == rules()
    groups = yaml.safe_load(rules())["groups"]
    assert [group["interval"] for group in groups] == [rollup.suffix for rollup in ROLLUPS]
    names = [rule["record"] for group in groups for rule in group["rules"]]
    assert len(set(names)) == len(ROLLUPS) * len(FUNCTIONS)
    assert all(name.replace("_", "").isalnum() for name in names)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victoria]:
    """Two hours of one variable, a sample every 10 s, counting up; its minutes and hours by vmalert."""
    if shutil.which("vmalert") is None:
        pytest.skip("vmalert is not installed (Debian package victoria-metrics)")
    with Victoria(tmp_path_factory.mktemp("rollups")) as server:
        series = "opcua,name=Speed,node=Plant.M.Speed,site=Plant,type=MachineType"
        body = "\n".join(f"{series} value={n},good=1i {HOUR + 10 * n}000000000" for n in range(720))
        server.post("/api/v2/write?precision=ns", body.encode())
        server.get("/internal/force_flush")
        start, end = (datetime.fromtimestamp(moment, UTC).isoformat() for moment in (HOUR, HOUR + 7200))
        command = [
            "vmalert", f"-rule={RULES_FILE}", f"-datasource.url={server.url}", f"-remoteWrite.url={server.url}",
            f"-replay.timeFrom={start.replace('+00:00', 'Z')}", f"-replay.timeTo={end.replace('+00:00', 'Z')}",
            "-replay.rulesDelay=0s", "-remoteWrite.flushInterval=100ms", "-loggerLevel=ERROR",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
        assert done.returncode == 0, done.stderr
        yield server


@needs_victoria
@pytest.mark.parametrize(
    ("name", "at", "expected"),
    [
        ("min_1m", HOUR + 600, 55), ("max_1m", HOUR + 600, 60), ("mean_1m", HOUR + 600, 57.5),
        ("count_1m", HOUR + 600, 6), ("min_1h", HOUR + 3600, 1), ("max_1h", HOUR + 3600, 360),
        ("mean_1h", HOUR + 3600, 180.5), ("count_1h", HOUR + 3600, 360), ("max_1h", HOUR + 7200, 719),
    ],
)  # fmt: skip
def test_a_window_ends_at_its_time(measured: Victoria, name: str, at: int, expected: float) -> None:
    ((labels, found),) = measured.export(f"opcua_value_{name}")
    assert labels.pop("__name__") == f"opcua_value_{name}"
    assert labels == {"name": "Speed", "node": "Plant.M.Speed", "site": "Plant", "type": "MachineType"}
    assert dict(found)[at * 1000] == pytest.approx(expected, rel=1e-9)
