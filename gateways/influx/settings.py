"""Settings of the time-series gateway."""

from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from gateways.settings import OutboxSettings, Rate
from server.settings import Seconds, Section
from server.supervision import StartPolicy

Database = Literal["influxdb", "victoriametrics"]
Days = Annotated[int, Field(ge=0, le=36_500)]


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


class InfluxOutboxSettings(OutboxSettings):
    """The outbox, with the rate at which a time-series database takes a backlog."""

    backlog_rate: Rate = Field(
        default=100_000.0,
        description="Samples a second at most of those that waited through an outage; live ones go first.",
    )


class RetentionSettings(Section):
    """How long `python -m server influx setup` lets a database keep what it is given; 0 keeps it for ever."""

    raw_days: Days = Field(default=7, description="Days that every sample is kept.")
    minute_days: Days = Field(default=90, description="Days that the minutes (min, max, mean, count) are kept.")
    hour_days: Days = Field(default=1825, description="Days that the hours (min, max, mean, count) are kept.")


class InfluxSettings(Section):
    """The time-series gateway: InfluxDB 2, InfluxDB 3 or VictoriaMetrics."""

    enabled: bool = Field(default=False, description="Write to a time-series database; giving `url` turns it on, too.")
    startup: Annotated[StartPolicy, BeforeValidator(_lower)] = Field(
        default="retry",
        description="When the database cannot be reached at the start: `error` ends the server, `retry` tries on, "
        "`ignore` goes on without.",
    )
    url: str = Field(default="", description="Where the database is: http://HOST:8428, https://HOST:8086.")
    token: SecretStr = Field(
        default=SecretStr(""), description="API token of InfluxDB; with `username`, the password of that user."
    )
    org: str = Field(default="", description="Organization of InfluxDB 2.")
    bucket: str = Field(default="plantree", min_length=1, description="Bucket (InfluxDB 3: database) to write to.")
    username: str = Field(
        default="", description="User of HTTP basic authentication, as VictoriaMetrics and proxies ask for it."
    )
    ca: Path | None = Field(
        default=None, description="PEM file of the authority that signed the database's certificate; else the system's."
    )
    database: Annotated[Literal["auto", "influxdb", "victoriametrics"], BeforeValidator(_lower)] = Field(
        default="auto", description="Which one it is; `auto` asks it."
    )
    site: str = Field(default="", description="Value of the tag `site`; empty takes the plant's name.")
    gzip: Annotated[Literal["auto", "on", "off"], BeforeValidator(_lower)] = Field(
        default="auto", description="Compress what is sent; `auto` does unless the database is on this machine."
    )
    batch_rows: int = Field(default=5000, ge=1, le=20_000, description="Samples a request at most.")
    timeout: Seconds = Field(default=10.0, description="How long a request may take, in seconds.")
    heartbeat: float = Field(
        default=60.0,
        ge=0,
        allow_inf_nan=False,
        description="Silence after which a variable's last value is repeated, in seconds; 0 never repeats.",
    )
    dead_letter_bytes: int = Field(
        default=16_777_216, ge=4096, description="Bytes that the lines which the database refused may take on the disk."
    )
    watch: Seconds = Field(
        default=15.0, description="How often VictoriaMetrics is asked how many lines it threw away, in seconds."
    )
    outbox: InfluxOutboxSettings = InfluxOutboxSettings()
    retention: RetentionSettings = RetentionSettings()

    @model_validator(mode="before")
    @classmethod
    def _url_enables(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("url") and "enabled" not in values:
            return {**cast("dict[str, Any]", values), "enabled": True}
        return cast("Any", values)

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if not url:
            return url
        try:
            parts = urlsplit(url)
            valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            valid, parts = False, urlsplit("")
        if not valid:
            raise PydanticCustomError("url", "must be http://HOST:PORT or https://HOST:PORT")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise PydanticCustomError("url", "must hold no user, password or query: there are username, token, bucket")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _check_enabled(self) -> "InfluxSettings":
        if self.enabled and not self.url:
            message = "influx.enabled needs influx.url, where the database is"
            raise PydanticCustomError("conflict", message, {"fields": ("enabled",)})
        return self
