"""The settings of the MQTT gateway."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from gateways.mqtt.endpoint import Endpoint, parse
from gateways.mqtt.pubsub_settings import PubSubSettings
from gateways.mqtt.sparkplug_settings import SparkplugSettings
from gateways.settings import OutboxSettings
from server.settings import Host, Port, Seconds, Section
from server.supervision import StartPolicy

LAYOUTS = ("factory", "uns", "pubsub", "sparkplug")


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


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


def _conflict(message: str, *fields: str) -> PydanticCustomError:
    return PydanticCustomError("conflict", cast("Any", message), {"fields": fields})


TopicLevel = Annotated[str, Field(pattern=r"^[^/+#\x00]+$")]
ListOfWords = Annotated[list[str], BeforeValidator(_split)]


def _check_url(url: SecretStr) -> SecretStr:
    if url.get_secret_value():
        try:
            parse(url.get_secret_value())
        except ValueError as error:
            raise PydanticCustomError("url", "{reason}", {"reason": str(error)}) from None
    return url


class EmbeddedSettings(Section):
    """The broker that runs inside Plantree when no URL is set: TLS, MQTT 3.1.1, the users of Plantree."""

    host: Host = Field(default="127.0.0.1", description="Address that the embedded broker listens on.")
    port: Port = Field(default=8883, description="TCP port of the embedded broker; 0 takes any free one.")


class FactorySettings(Section):
    """The layout `factory`: one JSON object a machine, with the keys that integrators know."""

    prefix: TopicLevel = Field(default="factory", description="First level of the topics.")
    heartbeat: Seconds = Field(
        default=10.0, description="An object that has not changed for so long is published again, in seconds."
    )


class UnsSettings(Section):
    """The layout `uns`: a Unified Namespace, one retained topic a variable on an ISA-95 path."""

    enterprise: TopicLevel = Field(default="plantree", description="First level of the path (ISA-95 enterprise).")
    site: TopicLevel = Field(default="site1", description="Second level of the path (ISA-95 site).")
    area: TopicLevel = Field(default="production", description="Third level of the path (ISA-95 area).")


class CommandTopicsSettings(Section):
    """Commands on `cmd/PATH/METHOD` and set-points on `set/PATH/VARIABLE`."""

    enabled: bool = Field(default=True, description="Take commands and set-points.")
    users: ListOfWords = Field(
        default_factory=list[str],
        description="Whose rights a message has by its topic, as FILTER=USER (`cmd/Plant/Line1/#=anna`); the first "
        "filter that matches counts, what matches none may only stop. The broker's ACL decides who may publish there.",
    )

    @field_validator("users")
    @classmethod
    def _check_users(cls, users: list[str]) -> list[str]:
        for entry in users:
            topic, equals, user = entry.partition("=")
            if not equals or not user or not topic:
                raise PydanticCustomError("users", "'{entry}' is not like cmd/Plant/Line1/#=anna", {"entry": entry})
        return users


class BridgeSettings(Section):
    """The aggregate of energy and environment that goes to a second broker."""

    url: SecretStr = Field(
        default=SecretStr(""), description="Second broker, like mqtt.url; empty: there is no bridge."
    )
    ca: Path | None = Field(default=None, description="CA certificates (PEM) of the second broker; none: the system's.")
    certificate: Path | None = Field(default=None, description="Client certificate (PEM) for the second broker.")
    key: Path | None = Field(default=None, description="Private key (PEM) of that certificate.")
    topic: str = Field(default="cloud/factory/analytics", min_length=1, description="Topic of the aggregate.")
    bridge_id: str = Field(default="Bridge", min_length=1, description="`bridge_id` of the aggregate.")
    period: Seconds = Field(default=10.0, description="Seconds that one aggregate covers.")

    _url = field_validator("url")(_check_url)


class MqttSettings(Section):
    """The MQTT gateway."""

    enabled: bool = Field(default=True, description="Publish the tree over MQTT.")
    startup: Annotated[StartPolicy, BeforeValidator(_lower)] = Field(
        default="retry",
        description="When it cannot start: `error` ends the server, `retry` tries on, `ignore` goes on without.",
    )
    url: SecretStr = Field(
        default=SecretStr(""),
        description="Broker, as mqtts://user:password@host:8883; mqtt:// is not encrypted. Empty: the embedded one.",
    )
    ca: Path | None = Field(
        default=None, description="CA certificates (PEM) that the broker's is checked against; none: the system's."
    )
    certificate: Path | None = Field(default=None, description="Client certificate (PEM) to show the broker.")
    key: Path | None = Field(default=None, description="Private key (PEM) of that certificate.")
    allow_plain: bool = Field(
        default=False,
        description="Let mqtt:// (no encryption) leave this machine: passwords and values travel in clear text.",
    )
    protocol: Literal["5", "3.1.1"] = Field(default="5", description="MQTT version; the embedded broker has 3.1.1.")
    client_id: TopicLevel = Field(
        default="plantree", description="MQTT client identifier; each layout adds its own name. Unique at the broker."
    )
    keepalive: int = Field(default=15, ge=5, le=3600, description="Keep alive, in seconds.")
    window: int = Field(default=200, ge=1, le=65535, description="Messages that may wait for their PUBACK at a time.")
    layouts: ListOfWords = Field(
        default_factory=lambda: ["factory", "uns"],
        description="How the tree is spread over topics: any of factory, uns, pubsub, sparkplug.",
    )
    outbox: OutboxSettings = OutboxSettings()
    factory: FactorySettings = FactorySettings()
    uns: UnsSettings = UnsSettings()
    pubsub: PubSubSettings = PubSubSettings()
    sparkplug: SparkplugSettings = SparkplugSettings()
    commands: CommandTopicsSettings = CommandTopicsSettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    bridge: BridgeSettings = BridgeSettings()

    _url = field_validator("url")(_check_url)

    @field_validator("layouts")
    @classmethod
    def _check_layouts(cls, layouts: list[str]) -> list[str]:
        for name in layouts:
            if name not in LAYOUTS:
                message = "'{name}' is no layout; there are factory, uns, pubsub and sparkplug"
                raise PydanticCustomError("layout", message, {"name": name})
        return list(dict.fromkeys(layouts))

    @model_validator(mode="after")
    def _check_together(self) -> "MqttSettings":
        for url, name in ((self.url, "url"), (self.bridge.url, "bridge")):
            endpoint = parse(url.get_secret_value()) if url.get_secret_value() else None
            if endpoint is not None and not endpoint.tls and not endpoint.is_loopback and not self.allow_plain:
                raise _conflict(
                    f"{endpoint} is another machine and not encrypted: use mqtts://, or set mqtt.allow_plain to true "
                    "if that is meant",
                    name,
                )
        for certificate, key, name in (
            (self.certificate, self.key, "certificate"),
            (self.bridge.certificate, self.bridge.key, "bridge"),
        ):
            if (certificate is None) != (key is None):
                raise _conflict("a client certificate needs its key, and the key its certificate", name)
        return self

    @property
    def endpoint(self) -> Endpoint | None:
        """The broker that was configured; None for the embedded one."""
        url = self.url.get_secret_value()
        return parse(url) if url else None
