"""The data source, as Grafana's API and its provisioning files have it."""

from dataclasses import dataclass
from typing import Any

from grafana.boards import DEFAULT_UID
from grafana.settings import Language

NAME = "Plantree"


@dataclass(frozen=True, slots=True)
class Database:
    """Where the database is as Grafana sees it, and what it is asked with; secrets may be Grafana's $__file{…}."""

    language: Language
    url: str
    organization: str = ""
    bucket: str = ""
    token: str = ""
    username: str = ""


def data_source(database: Database, *, default: bool) -> dict[str, Any]:
    """Return the data source with its secrets; `default` makes it the one that Grafana offers first."""
    common = {"uid": DEFAULT_UID, "name": NAME, "access": "proxy", "url": database.url, "isDefault": default}
    if database.language == "promql":
        body: dict[str, Any] = {"type": "prometheus", "jsonData": {"timeInterval": "1s", "httpMethod": "POST"}}
        if database.username:
            body |= {"basicAuth": True, "basicAuthUser": database.username}
            body["secureJsonData"] = {"basicAuthPassword": database.token}
        return {**common, **body}
    if database.language == "flux":
        options = {"version": "Flux", "organization": database.organization, "defaultBucket": database.bucket}
        secret = {"token": database.token}
    else:
        options = {"version": "InfluxQL", "dbName": database.bucket, "httpMode": "POST"}
        secret = {"httpHeaderValue1": f"Token {database.token}"}
        options |= {"httpHeaderName1": "Authorization"} if database.token else {}
    body = {"type": "influxdb", "jsonData": {**options, "timeInterval": "1s"}}
    return {**common, **body, **({"secureJsonData": secret} if database.token else {})}
