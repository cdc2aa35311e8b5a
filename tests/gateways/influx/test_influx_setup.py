"""`python -m server influx setup`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from influxdb_client import Bucket as ServerBucket
from influxdb_client import (
    BucketRetentionRules,
    DBRPCreate,
    InfluxDBClient,
    PostBucketRequest,
    TaskCreateRequest,
    TaskUpdateRequest,
)
from influxdb_client import Task as ServerTask

from gateways.influx.rollups import Bucket, Task, rules
from gateways.influx.setup import bucket_change, task_change
from tests.gateways.influx.victoria_rig import Victoria, environment, needs_victoria
from tests.process_rig import wait_until

ROOT = Path(__file__).parents[3]


def run(tmp_path: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PLANTREE_")}
    command = [sys.executable, "-m", "server", "influx", "setup", *arguments]
    env = {**clean, "PYTHONPATH": str(ROOT), **env}
    return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=50)


@needs_victoria
def test_victoriametrics_takes_every_rule(tmp_path: Path) -> None:
    with Victoria(tmp_path / "victoria") as server:
        done = run(tmp_path, "--rules", "copy.yml", **environment(server, retention__raw_days="3"))
        assert (done.returncode, done.stderr) == (0, "")
        assert "8 recording rules are right" in done.stdout
        assert "-retentionPeriod=3d" in done.stdout
        assert (tmp_path / "copy.yml").read_text(encoding="utf-8") == rules()
        queries = 'vm_http_requests_total{path="/api/v1/query"}'
        wait_until(lambda: server.counter(queries) >= 8, "it shows that every rule was evaluated")


def test_the_help_teaches(tmp_path: Path) -> None:
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    for setting in ("influx.url", "influx.token", "influx.org", "influx.bucket", "influx.retention"):
        assert setting in done.stdout
    examples = done.stdout.partition("examples:")[2]
    for words in ("influx setup", "--dry-run", "--rules rules.yml", "PLANTREE_INFLUX__URL=http://"):
        assert words in examples
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_without_a_database(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 2
    assert "influx.url is not set" in done.stderr
    done = run(tmp_path, PLANTREE_INFLUX__URL="http://127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr.startswith("error: http://127.0.0.1:1: Cannot connect")
    done = run(tmp_path, PLANTREE_INFLUX__URL="http://127.0.0.1:1", PLANTREE_INFLUX__DATABASE="influxdb")
    assert done.returncode == 1
    assert "influx.org is not set" in done.stderr


def test_only_what_differs_is_changed_in_a_bucket() -> None:
    wanted = Bucket("plantree", 7 * 86_400, "")
    assert bucket_change(wanted, None) == "create, keep 7 days"

    def there(seconds: int | None) -> ServerBucket:
        rules_ = [] if seconds is None else [BucketRetentionRules(type="expire", every_seconds=seconds)]
        return ServerBucket(name="plantree", retention_rules=rules_)

    assert bucket_change(wanted, there(7 * 86_400)) == ""
    assert bucket_change(wanted, there(86_400)) == "keep 7 days, not 1 days"
    assert bucket_change(wanted, there(None)) == "keep 7 days, not for ever"
    assert bucket_change(Bucket("x", 0, ""), there(None)) == ""


def test_only_what_differs_is_changed_in_a_task() -> None:
    wanted = Task("plantree_1m", "option task = {}\n")
    assert task_change(wanted, None) == "create"
    assert task_change(wanted, ServerTask(id="1", org_id="2", name="x", flux="option task = {}", status="active")) == ""
    old = ServerTask(id="1", org_id="2", name="x", flux="other", status="inactive")
    assert task_change(wanted, old) == "new Flux, activate"


def test_requests_have_the_names_of_the_published_api() -> None:
    """The client's models are generated from InfluxDB's OpenAPI description."""
    with InfluxDBClient("http://127.0.0.1:1", "token") as client:
        plain = client.api_client.sanitize_for_serialization
        rule = BucketRetentionRules(type="expire", every_seconds=60)
        assert plain(PostBucketRequest(org_id="1", name="b", retention_rules=[rule])) == {
            "orgID": "1", "name": "b", "retentionRules": [{"type": "expire", "everySeconds": 60}], "rp": "0",
        }  # fmt: skip
        assert plain(TaskCreateRequest(org_id="1", flux="f", status="active")) == {
            "orgID": "1", "flux": "f", "status": "active",
        }  # fmt: skip
        assert plain(TaskUpdateRequest(flux="f", status="active")) == {"flux": "f", "status": "active"}
        mapping = DBRPCreate(org_id="1", bucket_id="2", database="d", retention_policy="autogen", default=True)
        assert plain(mapping) == {
            "orgID": "1", "bucketID": "2", "database": "d", "retention_policy": "autogen", "default": True,
        }  # fmt: skip


@pytest.mark.skipif(
    "PLANTREE_TEST_INFLUXDB2" not in os.environ, reason="no InfluxDB 2: PLANTREE_TEST_INFLUXDB2=URL,TOKEN,ORG"
)
def test_a_second_run_changes_nothing_in_a_real_influxdb_2(tmp_path: Path) -> None:
    url, token, org = os.environ["PLANTREE_TEST_INFLUXDB2"].split(",")
    env = {"URL": url, "TOKEN": token, "ORG": org, "BUCKET": f"plantree-test-{os.getpid()}"}
    settings = {f"PLANTREE_INFLUX__{name}": value for name, value in env.items()}
    first = run(tmp_path, **settings)
    assert (first.returncode, first.stderr) == (0, "")
    assert "6 of 6 changed" in first.stdout
    second = run(tmp_path, **settings)
    assert "0 of 6 changed" in second.stdout
