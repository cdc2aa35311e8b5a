"""The settings of the Modbus TCP gateway."""

import ipaddress
import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from server.settings import Host, Port, Section
from server.supervision import StartPolicy


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


Words = Annotated[list[str], BeforeValidator(_split)]


def _check_networks(networks: list[str]) -> list[str]:
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise PydanticCustomError("network", "{reason}", {"reason": str(error)}) from None
    return networks


class TlsSettings(Section):
    """Modbus/TCP Security: TLS 1.2+ with client certificates, on a port of its own beside the plain one."""

    enabled: bool = Field(default=False, description="Listen with TLS too.")
    host: Host = Field(default="127.0.0.1", description="Address that the TLS listener is on.")
    port: Port = Field(default=802, description="TCP port of the TLS listener; 0 takes any free one.")
    ca: Path | None = Field(default=None, description="CA certificates (PEM) that clients' are checked against.")
    roles: Words = Field(
        default_factory=list[str],
        description="Whose rights a client has by the role in its certificate, as ROLE=USER. A role that is not "
        "listed counts as Plantree's role of that name; a client with neither may only stop.",
    )

    @model_validator(mode="after")
    def _check_ca(self) -> "TlsSettings":
        if self.enabled and self.ca is None:
            message = "needs modbus.tls.ca, the file of the CA that clients' certificates are from"
            raise PydanticCustomError("conflict", message, {"fields": ("enabled", "ca")})
        return self

    @field_validator("roles")
    @classmethod
    def _check_roles(cls, roles: list[str]) -> list[str]:
        for entry in roles:
            role, equals, user = entry.partition("=")
            if not role or not equals or not user:
                raise PydanticCustomError("roles", "{entry!r} is not like operator=anna", {"entry": entry})
        return roles


class ModbusSettings(Section):
    """The Modbus TCP gateway. The register map is in docs/modbus, or `python -m server export modbus`."""

    enabled: bool = Field(default=True, description="Serve the tree over Modbus TCP.")
    startup: Annotated[StartPolicy, BeforeValidator(_lower)] = Field(
        default="retry",
        description="When it cannot start: `error` ends the server, `retry` tries on, `ignore` goes on without.",
    )
    host: Host = Field(default="127.0.0.1", description="Address to listen on; Modbus is not encrypted.")
    port: Port = Field(default=5020, description="TCP port to listen on; 0 takes any free one.")
    max_connections: int = Field(default=64, ge=1, le=1000, description="Masters that may be connected at a time.")
    write_from: Words = Field(
        default_factory=list[str],
        description="Networks whose masters may write set-points and commands, like 10.1.0.0/16; none by default.",
    )
    stop_from: Words = Field(
        default_factory=lambda: ["0.0.0.0/0", "::/0"],
        description="Networks whose masters may stop by an EmergencyStop coil; all by default.",
    )
    user: str = Field(
        default="",
        description="User of Plantree whose rights masters without TLS have, and what may be read of variables that "
        "a role protects; empty: masters may only stop.",
    )
    reset_by_coil: bool = Field(
        default=False, description="Let a ResetEmergencyStop coil release a stop, for masters in write_from."
    )
    map_lock: Path | None = Field(
        default=None,
        description="File that keeps the addresses of the map; none: the committed one for the default plant, "
        "else a file in the data directory.",
    )
    tls: TlsSettings = TlsSettings()

    _networks = field_validator("write_from", "stop_from")(_check_networks)
