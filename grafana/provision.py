"""What `grafana provision` makes: each thing only if it differs from what is there."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import requests
from grafana_client import GrafanaApi
from grafana_client.client import GrafanaClientError, GrafanaException, TokenAuth

from grafana.alerting import FOLDER_UID, GROUP, contact_point, rule_group
from grafana.boards import DEFAULT_UID
from grafana.datasource import Database, data_source
from grafana.differences import differences
from grafana.settings import GrafanaSettings

_FIRST_VERSION = (10, 4)
"""The first Grafana that sends a rule's alerts to a contact point of the rule's own."""
_NO_GRAFANA = "what answers at grafana.url is no Grafana"


class ProvisionError(Exception):
    """Grafana could not be set up; str() is one clear sentence."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Everything that is to be in Grafana; `dashboards` by uid, `contact_url` empty for no contact point."""

    folder: str
    database: Database
    dashboards: Mapping[str, dict[str, Any]]
    contact_url: str = ""
    renew_secrets: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at; `changes` is what is not as wanted, a line each; none: all is well."""

    what: str
    changes: tuple[str, ...]
    apply: Callable[[], Any] | None = None


def connect(settings: GrafanaSettings) -> Any:
    """Return a client that has not asked anything yet."""
    api: Any = GrafanaApi.from_url(settings.url, TokenAuth(settings.token.get_secret_value()), settings.timeout)
    if settings.ca is not None:
        api.client.verify = str(settings.ca)
    return api


def total(wanted: Wanted) -> int:
    """Return how many steps there will be: folder, data source, contact point, rules, dashboards."""
    return 3 + bool(wanted.contact_url) + len(wanted.dashboards)


def check_health(api: Any) -> str:
    """Return Grafana's version once it says that its database is well; raises ProvisionError."""
    health = _call(lambda: api.client.GET("/health"))
    if not isinstance(health, dict) or "version" not in health:
        raise ProvisionError(_NO_GRAFANA)
    version = str(health["version"])
    if health.get("database") != "ok":
        raise ProvisionError(f"Grafana {version} is not well: its database is {health.get('database')!r}")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers and numbers < _FIRST_VERSION:
        raise ProvisionError(f"Grafana {version} is too old: Plantree needs {'.'.join(map(str, _FIRST_VERSION))}")
    return version


def check_data_source(api: Any) -> str:
    """Let Grafana ask the database; returns what it says of it. Raises ProvisionError."""
    answer = _call(lambda: api.client.GET(f"/datasources/uid/{DEFAULT_UID}/health"))
    return str(answer.get("message") or answer.get("status"))


def steps(api: Any, wanted: Wanted) -> Iterator[Step]:
    """Look at one thing after the other; each is to be applied before the next is asked for. Raises ProvisionError."""
    yield _folder(api, wanted.folder)
    yield _data_source(api, wanted)
    if wanted.contact_url:
        yield _contact_point(api, contact_point(wanted.contact_url))
    yield _rules(api, rule_group(wanted.database.language, contact=bool(wanted.contact_url)))
    for uid, dashboard in wanted.dashboards.items():
        yield _dashboard(api, uid, dashboard)


def apply(step: Step) -> None:
    """Do what a step found to be done; raises ProvisionError."""
    if step.changes and step.apply is not None:
        _call(step.apply)


def _folder(api: Any, title: str) -> Step:
    found = _found(lambda: api.folder.get_folder(FOLDER_UID))
    if found is None:
        return Step(f"folder {title}", ("create",), lambda: api.folder.create_folder(title, FOLDER_UID))
    changes = tuple(differences({"title": title}, found))
    return Step(f"folder {title}", changes, lambda: api.folder.update_folder(FOLDER_UID, title, overwrite=True))


def _data_source(api: Any, wanted: Wanted) -> Step:
    """Secrets cannot be read back: they are sent when it is made, when it changes, and when asked to."""
    found = _found(lambda: api.datasource.get_datasource_by_uid(DEFAULT_UID))
    # Which one is offered first is for those to say whose Grafana it is.
    body = data_source(wanted.database, default=bool(found and found.get("isDefault")))
    name = f"data source {body['name']}"
    if found is None:
        return Step(name, ("create",), lambda: api.datasource.create_datasource(body))
    visible = {key: value for key, value in body.items() if key != "secureJsonData"}
    missing = dict.fromkeys(body.get("secureJsonData", {}), True)
    changes = [*differences(visible, found), *differences(missing, found.get("secureJsonFields", {}), "secrets")]
    if wanted.renew_secrets and missing and not changes:
        changes = ["secrets: sent again"]
    return Step(name, tuple(changes), lambda: api.datasource.update_datasource_by_uid(DEFAULT_UID, body))


def _contact_point(api: Any, body: dict[str, Any]) -> Step:
    name = f"contact point {body['name']}"
    all_found: list[dict[str, Any]] = _call(api.alertingprovisioning.get_contactpoints)
    found = next((one for one in all_found if one.get("uid") == body["uid"]), None)
    if found is None:
        return Step(name, ("create",), lambda: api.alertingprovisioning.create_contactpoint(body))
    changes = tuple(differences(body, found))
    return Step(name, changes, lambda: api.alertingprovisioning.update_contactpoint(body["uid"], body))


def _rules(api: Any, group: dict[str, Any]) -> Step:
    found = _found(lambda: api.alertingprovisioning.get_rule_group(FOLDER_UID, GROUP))
    changes = ("create",) if found is None else tuple(differences(group, _in_order(group, found)))
    name = f"alert rules ({len(group['rules'])})"
    return Step(name, changes, lambda: api.alertingprovisioning.update_rule_group(FOLDER_UID, GROUP, group))


def _in_order(wanted: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Put the rules that were found in the order of those that are wanted; any other behind them."""
    places = {rule["uid"]: place for place, rule in enumerate(wanted["rules"])}
    rules = sorted(found.get("rules") or [], key=lambda rule: places.get(rule.get("uid"), len(places)))
    return {**found, "rules": rules}


def _dashboard(api: Any, uid: str, dashboard: dict[str, Any]) -> Step:
    found = _found(lambda: api.dashboard.get_dashboard(uid))
    body = {"dashboard": dashboard, "folderUid": FOLDER_UID, "overwrite": True, "message": "Plantree"}
    changes: tuple[str, ...] = ("create",)
    if found is not None:
        here = {"folderUid": found.get("meta", {}).get("folderUid"), **found["dashboard"]}
        changes = tuple(differences({"folderUid": FOLDER_UID, **dashboard}, here))
    return Step(f"dashboard {dashboard['title']}", changes, lambda: api.dashboard.update_dashboard(body))


def _found(ask: Callable[[], Any]) -> Any:
    """Return what is there, None where nothing is."""
    try:
        return _call(ask, missing_is_none=True)
    except _MissingError:
        return None


class _MissingError(Exception):
    pass


def _call(work: Callable[[], Any], *, missing_is_none: bool = False) -> Any:
    try:
        return work()
    except GrafanaClientError as error:
        if missing_is_none and error.status_code == 404:
            raise _MissingError from error
        raise ProvisionError(_refusal(error)) from error
    except GrafanaException as error:
        raise ProvisionError(f"Grafana failed: {_one_line(error)}") from error
    except requests.exceptions.JSONDecodeError as error:
        raise ProvisionError(_NO_GRAFANA) from error
    except (requests.exceptions.RequestException, OSError) as error:
        raise ProvisionError(f"Grafana cannot be reached: {_one_line(error)}") from error


def _refusal(error: GrafanaClientError) -> str:
    if error.status_code == 401:
        return "Grafana does not know the token: grafana.token must be that of a service account"
    if error.status_code == 403:
        return f"Grafana does not let the token do that, it needs the role Admin: {_one_line(error)}"
    return f"Grafana refuses: {_one_line(error)}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
