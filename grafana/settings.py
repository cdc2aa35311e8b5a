"""Settings of `python -m server grafana`."""

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError

from server.settings import Seconds, Section

Language = Literal["promql", "flux", "influxql"]
LANGUAGES: tuple[Language, ...] = ("promql", "flux", "influxql")


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


class GrafanaSettings(Section):
    """Where Grafana is, and what it is to ask."""

    url: str = Field(default="", description="Where Grafana is: http://HOST:3000.")
    token: SecretStr = Field(default=SecretStr(""), description="Token of a service account with the role Admin.")
    ca: Path | None = Field(
        default=None, description="PEM file of the authority that signed Grafana's certificate; else the system's."
    )
    timeout: Seconds = Field(default=10.0, description="How long a request may take, in seconds.")
    folder: str = Field(default="Plantree", min_length=1, description="Title of the folder of dashboards and rules.")
    language: Annotated[Literal["auto", "promql", "flux", "influxql"], BeforeValidator(_lower)] = Field(
        default="auto",
        description="What Grafana asks in: `promql` for VictoriaMetrics, `flux` or `influxql` for InfluxDB; "
        "`auto` takes `promql` where `influx.database` is victoriametrics or `influx.org` is empty, else `flux`.",
    )
    datasource_url: str = Field(
        default="", description="Where the database is as Grafana sees it; empty takes `influx.url`."
    )
    contact_url: str = Field(
        default="", description="Webhook that alerts are sent to; empty leaves them to Grafana's own policies."
    )

    @field_validator("url", "datasource_url", "contact_url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if url and not _is_web_address(url):
            raise PydanticCustomError("url", "must be an address like http://HOST:3000")
        return url
