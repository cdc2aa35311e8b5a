"""The settings of a Plantree server: one frozen tree, read once, each value with the place it came from.

Sources, the first that has a value wins: PLANTREE_ environment variables, `.env` in the current folder, a YAML file,
the defaults. A `Settings(...)` made in Python reads none of them: only `load` looks around.
"""

import ipaddress
import json
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from server import settings_layers as layers
from server.settings_layers import SettingPath
from server.supervision import StartPolicy

CHECKOUT = Path(__file__).resolve().parent.parent
AUTO = "auto"


class SettingsError(ValueError):
    """Wrong configuration: str() is one line for each mistake, naming where it is and what is wrong."""


def _split(value: Any) -> Any:
    """Let an environment variable hold a list: `a,b` or JSON."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except json.JSONDecodeError as error:
            raise PydanticCustomError("json", "is not JSON: {reason}", {"reason": str(error)}) from error
    return [part.strip() for part in value.split(",") if part.strip()]


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _conflict(message: str, *fields: str) -> PydanticCustomError:
    """Build the error of settings that are right each by itself; `fields` are siblings of the model that raises."""
    return PydanticCustomError("conflict", cast("Any", message), {"fields": fields})


Host = Annotated[str, Field(min_length=1)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Days = Annotated[float, Field(gt=0, le=36_500, allow_inf_nan=False)]
Paths = Annotated[list[Path], BeforeValidator(_split)]
Names = Annotated[list[str], BeforeValidator(_split)]


class Section(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class OpcUaSettings(Section):
    """The OPC UA server."""

    host: Host = Field(
        default="0.0.0.0",  # noqa: S104  every endpoint there is encrypted
        description="Address to listen on; 0.0.0.0 is every IPv4 interface. Endpoints there are encrypted.",
    )
    port: Port = Field(default=4840, description="TCP port to listen on; 0 takes any free one.")
    allow_none: bool = Field(
        default=False,
        description="Offer an unencrypted endpoint (security policy None) too; on a loopback `host` only.",
    )
    allow_none_remote: bool = Field(
        default=False,
        description="Let `allow_none` open its endpoint to other machines: passwords and values travel in clear text.",
    )
    anonymous: bool = Field(
        default=True, description="Let sessions in without a user; they may read and subscribe, never write or call."
    )
    max_sessions: int = Field(default=100, ge=1, le=10_000, description="Sessions that may be open at a time.")
    certificate_days: int = Field(
        default=1825, ge=1, le=18250, description="Days that a certificate which the server makes for itself is valid."
    )
    certificate_hosts: Names = Field(
        default_factory=list[str],
        description="Further host names and IP addresses that clients reach this server by, for its certificate.",
    )

    @model_validator(mode="after")
    def _check_none(self) -> "OpcUaSettings":
        if self.allow_none and not self.allow_none_remote and not is_loopback(self.host):
            raise _conflict(
                f"an unencrypted endpoint on host {self.host} would be open to other machines: "
                "set opcua.host to 127.0.0.1, or opcua.allow_none_remote to true if that is meant",
                "allow_none",
            )
        return self


class HttpSettings(Section):
    """The HTTP server of /healthz, /metrics and the pictures of alarms."""

    host: Host = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=8080, description="TCP port to listen on; 0 takes any free one.")
    public_url: str = Field(
        default=AUTO,
        pattern=rf"^({AUTO}|https?://[^\s/?#]+(/[^\s?#]*)?)$",
        description="Where others reach it, as in `https://plant.example`, for links to pictures of alarms; `auto` is "
        "http, `host` and `port`.",
    )


class LogSettings(Section):
    """The log, on standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        default="info", description="Least severity to log."
    )
    format: Annotated[Literal["auto", "console", "json"], BeforeValidator(_lower)] = Field(
        default="auto",
        description="`console` to read, `json` (one object a line) to collect; `auto` asks whether it is a terminal.",
    )


class SourcesSettings(Section):
    """What holds for every source; each source's own settings are in the plant file."""

    stale_after: Seconds = Field(
        default=2.0, description="Silence after which a source's variables turn UncertainLastUsableValue, in seconds."
    )
    bad_after: Seconds = Field(
        default=10.0, description="Silence after which a source's variables turn BadNoCommunication, in seconds."
    )
    startup: Annotated[StartPolicy, BeforeValidator(_lower)] = Field(
        default="retry",
        description="When a source cannot start: `error` ends the server, `retry` tries on, `ignore` goes on without.",
    )

    @model_validator(mode="after")
    def _check_order(self) -> "SourcesSettings":
        if self.bad_after <= self.stale_after:
            raise _conflict(
                f"bad_after ({self.bad_after:g} s) must be longer than stale_after ({self.stale_after:g} s)",
                "bad_after",
                "stale_after",
            )
        return self


class HistorianSettings(Section):
    """The historian: every change of every variable, for HistoryRead."""

    enabled: bool = Field(default=True, description="Keep history; without it, clients find that there is none.")
    backend: Annotated[Literal["embedded", "influx"], BeforeValidator(_lower)] = Field(
        default="embedded",
        description="`embedded` keeps it in the data folder; `influx` reads what the time-series gateway has written "
        "to its database, which keeps it as long as it is told to there.",
    )
    retention_days: Days = Field(
        default=7.0, description="Days that samples stay, of types that say nothing else in the plant file."
    )
    minute_days: Days = Field(default=90.0, description="Days that minimum, maximum and mean of each minute stay.")
    hour_days: Days = Field(default=1825.0, description="Days that minimum, maximum and mean of each hour stay.")
    max_bytes: int = Field(
        default=32 * 2**30,
        ge=0,
        description="Bytes of disk at most: then the oldest samples go before their time; 0 for any number.",
    )


class AlarmsSettings(Section):
    """The alarms; what raises them is in the plant file."""

    retention_days: Days = Field(default=30.0, description="Days that the events of alarms stay.")


class AuditSettings(Section):
    """The audit trail: who did what, from where, and what became of it."""

    retention_days: Days = Field(default=90.0, description="Days that records stay.")
    max_records: int = Field(
        default=10_000_000, ge=1000, description="Records at most, and as many writes: then the oldest go before time."
    )


class Settings(BaseSettings):
    """The server as a whole. Relative paths count from the current folder."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=layers.PREFIX, env_nested_delimiter=layers.DELIMITER
    )

    data_dir: Path = Field(
        default=Path("data"), description="Folder of what must survive a restart; made when missing."
    )
    certs_dir: Path = Field(
        default=Path("certs"), description="Folder of the server's certificate and the trusted ones."
    )
    plant: Path = Field(
        default=CHECKOUT / "address_space" / "plant.yaml", description="The plant file: what the tree holds."
    )
    nodesets: Paths = Field(
        default_factory=list[Path], description="NodeSet2 XML files to load besides, in this order."
    )
    journal_rows: int = Field(
        default=1_048_576,
        ge=1024,
        le=2**28,
        description="Changes that the journal keeps for those who read behind; a power of two.",
    )
    opcua: OpcUaSettings = OpcUaSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    sources: SourcesSettings = SourcesSettings()
    historian: HistorianSettings = HistorianSettings()
    alarms: AlarmsSettings = AlarmsSettings()
    audit: AuditSettings = AuditSettings()

    _origins: dict[SettingPath, str] = PrivateAttr(default_factory=dict[SettingPath, str])

    @field_validator("journal_rows")
    @classmethod
    def _check_power_of_two(cls, rows: int) -> int:
        if rows & (rows - 1):
            below = 1 << (rows.bit_length() - 1)
            raise PydanticCustomError(
                "power_of_two", "must be a power of two: {below} or {above}", {"below": below, "above": 2 * below}
            )
        return rows

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take only what the constructor is given: `load` reads the layers, because it must know their lines."""
        return (init_settings,)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a listener on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
