"""Commands and set-points over MQTT: topic and JSON in, a checked request out, and the answer's JSON. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from asyncua.ua.status_codes import StatusCodes
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from address_space.model import Argument, BuiltinType, Command, Plant, Variable
from gateways.mqtt.wire import dumps, loads_object, status_name, stored_value
from server import quality
from server.ports import CommandError
from server.store.values import VALUE_DTYPES

COMMANDS, SETPOINTS = "cmd", "set"
_STOP = "EmergencyStop"
ENVELOPE = {
    "reply_to": {"type": "string", "minLength": 1, "description": "Topic of the answer, where there is no MQTT 5."},
    "id": {"type": ["string", "integer"], "description": "Comes back in the answer; the same one is done once."},
}


@dataclass(frozen=True, slots=True)
class Envelope:
    """Where the answer to a request goes, and what tells it from others."""

    reply_to: str | None
    id: str | int | None


@dataclass(frozen=True, slots=True)
class Request:
    """A command with its arguments, or a set-point with its value."""

    command: Command | None
    variable: Variable | None
    arguments: tuple[Any, ...]

    @property
    def is_stop(self) -> bool:
        """Whether it is an emergency stop: nothing may hold it up."""
        return self.command is not None and self.command.declaration.name == _STOP


def envelope(payload: bytes) -> Envelope:
    """Return what a payload says about its answer, as far as it makes sense; never raises."""
    try:
        document = loads_object(payload)
    except ValueError:
        return Envelope(None, None)
    reply_to, id_ = document.get("reply_to"), document.get("id")
    return Envelope(
        reply_to if isinstance(reply_to, str) and reply_to else None,
        id_ if isinstance(id_, str | int) and not isinstance(id_, bool) else None,
    )


class Requests:
    """Understands the requests of one plant; schemas are made once each."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._validators: dict[str, Draft202012Validator] = {}

    def parse(self, topic: str, payload: bytes) -> Request:
        """Return what `cmd/Plant/Line1/Start` or `set/Plant/Line1/SpeedSetpoint` asks for; raises CommandError."""
        kind, _, levels = topic.partition("/")
        path = levels.replace("/", ".")
        if kind == COMMANDS:
            return self._command(topic, path, payload)
        variable = self._plant.find(path)
        if variable is None:
            raise CommandError(quality.BAD_NOT_FOUND, f"there is no variable {path}")
        if not variable.declaration.writable:
            raise CommandError(quality.BAD_NOT_WRITABLE, f"{path} is no set-point")
        document = self._checked(topic, payload, setpoint_schema(variable))
        return Request(None, variable, (_setpoint_value(variable, document["value"]),))

    def _command(self, topic: str, path: str, payload: bytes) -> Request:
        command = self._plant.commands.get(path)
        if command is None:
            raise CommandError(quality.BAD_METHOD_INVALID, f"there is no command {path}")
        document = self._checked(topic, payload, command_schema(command))
        given = document.get("arguments", {})
        arguments = tuple(_argument_value(argument, given.get(argument.name)) for argument in _inputs(command))
        return Request(command, None, arguments)

    def _checked(self, topic: str, payload: bytes, schema: Mapping[str, Any]) -> dict[str, Any]:
        try:
            document = loads_object(payload or b"{}")
        except ValueError as error:
            raise CommandError(StatusCodes.BadDecodingError, str(error)) from None
        validator = self._validators.get(topic)
        if validator is None:
            validator = self._validators[topic] = Draft202012Validator(schema)
        fault: ValidationError | None = best_match(validator.iter_errors(document))
        if fault is not None:
            where = ".".join(str(part) for part in fault.absolute_path)
            raise CommandError(_fault_status(topic, fault), f"{where}: {fault.message}" if where else fault.message)
        return document


def _fault_status(topic: str, fault: ValidationError) -> int:
    """Return what OPC UA answers to the same mistake (OPC 10000-4 5.11.4, 5.12.2)."""
    if topic.startswith(SETPOINTS) and list(fault.absolute_path) == ["value"]:
        kinds = {"type": quality.BAD_TYPE_MISMATCH, "format": quality.BAD_TYPE_MISMATCH}
        return kinds.get(str(fault.validator), quality.BAD_OUT_OF_RANGE)
    if topic.startswith(COMMANDS) and fault.validator == "required":
        return quality.BAD_ARGUMENTS_MISSING
    return quality.BAD_INVALID_ARGUMENT


def command_schema(command: Command) -> dict[str, Any]:
    """Return the JSON schema (2020-12) of a command's payload."""
    inputs = _inputs(command)
    required = [argument.name for argument in inputs if command.declaration.name != _STOP]
    arguments = {
        "type": "object",
        "properties": {argument.name: _argument_schema(argument) for argument in inputs},
        "required": required,
        "additionalProperties": False,
    }
    return _object({"arguments": arguments, **ENVELOPE}, ["arguments"] if required else [])


def setpoint_schema(variable: Variable) -> dict[str, Any]:
    """Return the JSON schema (2020-12) of a set-point's payload."""
    declaration = variable.declaration
    value = _type_schema(declaration.type, declaration.range)
    if declaration.enumeration is not None:
        names = declaration.enumeration.values
        value = {"type": ["integer", "string"], "enum": [*range(len(names)), *names]}
    return _object({"value": {**value, "description": declaration.description}, **ENVELOPE}, ["value"])


def _object(properties: Mapping[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _inputs(command: Command) -> tuple[Argument, ...]:
    return command.declaration.arguments


def _argument_schema(argument: Argument) -> dict[str, Any]:
    schema = _type_schema(argument.type, argument.range)
    if argument.choices:
        schema["enum"] = list(argument.choices)
    return {**schema, "description": argument.description}


def _type_schema(builtin: BuiltinType, limits: tuple[float, float] | None) -> dict[str, Any]:
    if builtin is BuiltinType.Boolean:
        return {"type": "boolean"}
    if builtin is BuiltinType.String:
        return {"type": "string"}
    if builtin is BuiltinType.DateTime:
        return {"type": "string", "format": "date-time"}
    schema: dict[str, Any] = {"type": "number"}
    if builtin not in (BuiltinType.Float, BuiltinType.Double):
        info = np.iinfo(VALUE_DTYPES[builtin])
        schema = {"type": "integer", "minimum": int(info.min), "maximum": int(info.max)}
    if limits is not None:
        schema |= {"minimum": limits[0], "maximum": limits[1]}
    return schema


def _argument_value(argument: Argument, value: Any) -> Any:
    if value is None:
        return f"by MQTT, no {argument.name.lower()} given"
    if not argument.type.is_numeric:
        return value
    return float(value) if argument.type in (BuiltinType.Float, BuiltinType.Double) else int(value)


def _setpoint_value(variable: Variable, value: Any) -> Any:
    declaration = variable.declaration
    if declaration.enumeration is not None:
        return declaration.enumeration.values.index(value) if isinstance(value, str) else int(value)
    if declaration.type.is_numeric and declaration.type not in (BuiltinType.Float, BuiltinType.Double):
        return int(value)  # JSON knows no integers: 5.0 is one
    try:
        return stored_value(declaration, value)
    except ValueError as error:
        raise CommandError(quality.BAD_TYPE_MISMATCH, f"{variable.path}: {error}") from None


def answer(id_: str | int | None, outputs: Mapping[str, Any], fault: CommandError | None) -> bytes:
    """Return the payload of an answer."""
    code = quality.GOOD if fault is None else fault.status
    document: dict[str, Any] = {
        "status": status_name(code),
        "code": code,
        "message": "" if fault is None else str(fault),
        "outputs": dict(outputs),
    }
    if id_ is not None:
        document["id"] = id_
    return dumps(document)
