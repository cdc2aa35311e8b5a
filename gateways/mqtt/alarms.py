"""Transitions of conditions on `alarm/PATH`, and what operators do with them on `cmd/PATH/Acknowledge`. No I/O."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from asyncua.ua.status_codes import StatusCodes
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from address_space.model import AlarmKind, Condition, Plant
from gateways.mqtt.layout import Message
from gateways.mqtt.requests import COMMANDS, ENVELOPE
from gateways.mqtt.wire import dumps, escape_levels, iso, loads_object, status_name
from server import quality
from server.alarms.ports import AlarmPort, Snapshot
from server.evidence import Evidence
from server.ports import CommandError
from server.security.principal import Principal

PREFIX = "alarm"
_SHELVING = ("Unshelved", "TimedShelved", "OneShotShelved")
_REPORT = "ReportFalseAlarm"
_COMMENT = {"Comment": {"type": "string", "description": "What there is to say about it."}}
_EVENT = {"EventId": {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "`event_id` of the message."}}
_TIME = {"ShelvingTime": {"type": "number", "exclusiveMinimum": 0, "description": "How long, in milliseconds."}}
_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "Acknowledge": {**_EVENT, **_COMMENT},
    "Confirm": {**_EVENT, **_COMMENT},
    "AddComment": {**_EVENT, **_COMMENT},
    _REPORT: {**_EVENT, **_COMMENT},
    "TimedShelve": {**_TIME, **_COMMENT},
    "OneShotShelve": _COMMENT,
    "Unshelve": _COMMENT,
}
"""Arguments of the methods of OPC 10000-9 5.7 and 5.8.17, and of VisionAlarmType; a comment may be left out."""
_VALIDATORS = {
    method: Draft202012Validator(
        {
            "type": "object",
            "properties": {
                "arguments": {
                    "type": "object",
                    "properties": dict(arguments),
                    "required": [name for name in arguments if name != "Comment"],
                    "additionalProperties": False,
                },
                **ENVELOPE,
            },
            "required": ["arguments"] if set(arguments) - {"Comment"} else [],
            "additionalProperties": False,
        }
    )
    for method, arguments in _ARGUMENTS.items()
}


@dataclass(frozen=True, slots=True)
class AlarmRequest:
    """A method of a condition, with its arguments checked."""

    condition: Condition
    method: str
    arguments: Mapping[str, Any]


def parse(plant: Plant, topic: str, payload: bytes) -> AlarmRequest | None:
    """Return what `cmd/Plant/Generator1/Overspeed/Acknowledge` asks for, None on others' topics.

    Raises CommandError where the payload is wrong.
    """
    kind, _, levels = topic.partition("/")
    path, _, method = levels.rpartition("/")
    condition = plant.find_condition(path.replace("/", "."))
    if kind != COMMANDS or condition is None or method not in _VALIDATORS:
        return None
    if method == _REPORT and condition.declaration.kind is not AlarmKind.VISION:
        return None
    try:
        document = loads_object(payload or b"{}")
    except ValueError as error:
        raise CommandError(StatusCodes.BadDecodingError, str(error)) from None
    fault: ValidationError | None = best_match(_VALIDATORS[method].iter_errors(document))
    if fault is not None:
        missing = fault.validator == "required"
        status = quality.BAD_ARGUMENTS_MISSING if missing else quality.BAD_INVALID_ARGUMENT
        raise CommandError(status, fault.message)
    return AlarmRequest(condition, method, document.get("arguments", {}))


async def act(alarms: AlarmPort, request: AlarmRequest, principal: Principal, origin: str) -> None:
    """Do it; raises CommandError."""
    condition, given = request.condition, request.arguments
    comment: str | None = given.get("Comment")
    of_events: dict[str, Callable[..., Awaitable[None]]] = {
        "Acknowledge": alarms.acknowledge,
        "Confirm": alarms.confirm,
        "AddComment": alarms.add_comment,
        _REPORT: alarms.report_false_alarm,
    }
    if request.method in of_events:
        await of_events[request.method](condition, bytes.fromhex(given["EventId"]), comment, principal, origin)
    elif request.method == "TimedShelve":
        await alarms.timed_shelve(condition, float(given["ShelvingTime"]), principal, origin, comment)
    elif request.method == "OneShotShelve":
        await alarms.one_shot_shelve(condition, principal, origin, comment)
    else:
        await alarms.unshelve(condition, principal, origin, comment)


def message(snapshot: Snapshot, *, present: bool, snapshot_uri: str = "") -> Message:
    """Return a transition; retained where it is the condition's present state."""
    document: dict[str, Any] = {
        "condition": snapshot.condition.path,
        "source": snapshot.condition.machine.path,
        "event": snapshot.kind_of_event,
        "event_id": snapshot.event_id.hex(),
        "timestamp": iso(snapshot.time),
        "active": snapshot.active,
        "acked": snapshot.acked,
        "confirmed": snapshot.confirmed,
        "severity": snapshot.severity,
        "message": snapshot.message,
        "enabled": snapshot.enabled,
        "shelving": _SHELVING[snapshot.shelving],
        "suppressed": snapshot.suppressed,
        "out_of_service": snapshot.out_of_service,
        "quality": status_name(snapshot.quality),
        "comment": snapshot.comment,
        "user": snapshot.client_user,
        "branch": snapshot.branch.hex(),
        **_evidence(snapshot.evidence, snapshot_uri),
    }
    topic = f"{PREFIX}/{escape_levels(snapshot.condition.path.split('.'))}"
    return Message(topic, dumps(document), retain=present, content_type="application/json")


def _evidence(seen: Evidence | None, uri: str) -> dict[str, Any]:
    """Return what a camera saw, and where the picture is; nothing for conditions without."""
    if seen is None:
        return {}
    return {
        "object_class": seen.detection.name,
        "confidence": seen.detection.confidence,
        "bounding_box": list(seen.detection.box),
        "frame_time": iso(seen.frame_time),
        "model": seen.model_name,
        "model_sha256": seen.model_sha256,
        "snapshot": uri,
        "snapshot_sha256": seen.snapshot_sha256,
    }


def transition(alarms: AlarmPort, snapshot: Snapshot) -> Message:
    """Return a transition as it is published: an older one, or one of a branch, must not stand for the state."""
    present = alarms.state(snapshot.condition).event_id == snapshot.event_id
    return message(snapshot, present=present, snapshot_uri=alarms.snapshot_uri(snapshot))


def states(alarms: AlarmPort, plant: Plant) -> list[Message]:
    """Return the present state of every condition that has ever told one."""
    found = [alarms.state(condition) for condition in plant.conditions]
    return [message(it, present=True, snapshot_uri=alarms.snapshot_uri(it)) for it in found if it.event_id]
