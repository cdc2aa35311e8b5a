"""What `influx setup` makes in InfluxDB 2: buckets, an InfluxQL database and tasks; each only if it differs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.domain.bucket import Bucket as ServerBucket
from influxdb_client.domain.bucket_retention_rules import BucketRetentionRules
from influxdb_client.domain.dbrp_create import DBRPCreate
from influxdb_client.domain.task import Task as ServerTask
from influxdb_client.domain.task_create_request import TaskCreateRequest
from influxdb_client.domain.task_update_request import TaskUpdateRequest
from influxdb_client.rest import ApiException
from influxdb_client.service.dbr_ps_service import DBRPsService

from gateways.influx.answers import refusal
from gateways.influx.rollups import Bucket, Task, buckets, tasks
from gateways.influx.settings import InfluxSettings

_DAY_S = 86_400


class SetupError(Exception):
    """The database could not be set up; str() is one clear sentence."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at: what it is, and what has to change there (empty: nothing)."""

    what: str
    change: str
    apply: Callable[[], Any] | None = None


def steps(client: InfluxDBClient, settings: InfluxSettings) -> Iterator[Step]:
    """Look at one thing after the other; each is to be applied before the next is asked for. Raises SetupError.

    Idempotent: a second run finds nothing to change.
    """
    org_id = _call(lambda: _organization(client, settings.org))
    for bucket in buckets(settings):
        yield _call(lambda bucket=bucket: _bucket_step(client, org_id, bucket))
    yield _call(lambda: _mapping_step(client, org_id, settings.bucket))
    for task in tasks(settings):
        yield _call(lambda task=task: _task_step(client, org_id, task))


def apply(step: Step) -> None:
    """Do what a step found to be done; raises SetupError."""
    if step.apply is not None:
        _call(step.apply)


def bucket_change(wanted: Bucket, found: Any) -> str:
    """Say what has to change in a bucket that is there, or is not (None)."""
    if found is None:
        return f"create, keep {_span(wanted.seconds)}"
    rules: list[Any] = found.retention_rules or []
    kept = next((int(rule.every_seconds or 0) for rule in rules), 0)
    return "" if kept == wanted.seconds else f"keep {_span(wanted.seconds)}, not {_span(kept)}"


def task_change(wanted: Task, found: Any) -> str:
    """Say what has to change in a task that is there, or is not (None)."""
    if found is None:
        return "create"
    changes = ["new Flux"] if str(found.flux).strip() != wanted.flux.strip() else []
    changes += ["activate"] if found.status != "active" else []
    return ", ".join(changes)


def _bucket_step(client: InfluxDBClient, org_id: str, wanted: Bucket) -> Step:
    api: Any = client.buckets_api()
    found: Any = api.find_bucket_by_name(wanted.name)
    rules = [BucketRetentionRules(type="expire", every_seconds=wanted.seconds)]

    def create() -> None:
        api.create_bucket(bucket_name=wanted.name, org_id=org_id, retention_rules=rules, description=wanted.description)

    def change() -> None:
        api.update_bucket(ServerBucket(id=found.id, name=wanted.name, org_id=org_id, retention_rules=rules))

    return Step(f"bucket {wanted.name}", bucket_change(wanted, found), create if found is None else change)


def _task_step(client: InfluxDBClient, org_id: str, wanted: Task) -> Step:
    api: Any = client.tasks_api()
    all_found: list[ServerTask] = api.find_tasks(name=wanted.name, org_id=org_id)
    found: Any = next((task for task in all_found if task.name == wanted.name), None)

    def create() -> None:
        api.create_task(task_create_request=TaskCreateRequest(org_id=org_id, flux=wanted.flux, status="active"))

    def change() -> None:
        api.update_task_request(found.id, TaskUpdateRequest(flux=wanted.flux, status="active"))

    return Step(f"task {wanted.name}", task_change(wanted, found), create if found is None else change)


def _mapping_step(client: InfluxDBClient, org_id: str, bucket: str) -> Step:
    """Let InfluxQL find the bucket as a database: Grafana's InfluxQL and `python -m server verify` ask that way."""
    service: Any = DBRPsService(client.api_client)
    found: list[Any] = service.get_dbr_ps(org_id=org_id, db=bucket).content or []

    def create() -> None:
        id_ = cast("Any", client.buckets_api()).find_bucket_by_name(bucket).id
        wanted = DBRPCreate(org_id=org_id, bucket_id=id_, database=bucket, retention_policy="autogen", default=True)
        service.post_dbrp(wanted)

    return Step(f"InfluxQL database {bucket}", "" if found else "create", create)


def _organization(client: InfluxDBClient, name: str) -> str:
    if not name:
        raise SetupError("influx.org is not set: which organization of InfluxDB do the buckets belong to?")
    found: list[Any] = cast("Any", client.organizations_api()).find_organizations(org=name)
    if not found:
        raise SetupError(f"influx.org: InfluxDB knows no organization {name!r}, or the token may not see it")
    return str(found[0].id)


def _call(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except ApiException as error:
        body: Any = error.body or error.reason or ""
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
        raise SetupError(f"InfluxDB refuses: {refusal(error.status or 0, text, {}).reason}") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise SetupError(f"InfluxDB cannot be reached: {' '.join(str(error).split())}") from error


def _span(seconds: int) -> str:
    return f"{seconds / _DAY_S:g} days" if seconds else "for ever"
