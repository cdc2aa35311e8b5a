"""The services of subscriptions and monitored items as messages: a request's body in, the response's out."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import struct
from collections.abc import Callable, Iterable
from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.ua.ua_binary import extensionobject_to_binary

from server.opcua.pace import Steps
from server.opcua.records import MASKS
from server.opcua.subscriptions import decode
from server.opcua.subscriptions.checks import RefusedItemError
from server.opcua.subscriptions.monitoring import Outcome
from server.opcua.subscriptions.service import Subscriptions
from server.quality import GOOD

_CODES = ua.StatusCodes
_NO_DIAGNOSTICS = b"\x00\x00\x00\x00"
_NO_FILTER_RESULT = b"\x00\x00\x00"
_MASKS = {int(stamps): mask for stamps, mask in MASKS.items()}

Handler = Callable[[Subscriptions, Any, bytes], bytes | Steps[bytes]]
"""What may take long comes in steps."""


def _statuses(statuses: list[int]) -> bytes:
    return struct.pack(f"<i{len(statuses)}I", len(statuses), *statuses) + _NO_DIAGNOSTICS


def _something(items: Iterable[Any]) -> None:
    if not items:
        raise ServiceError(_CODES.BadNothingToDo)


def _create_subscription(service: Subscriptions, session: Any, body: bytes) -> bytes:
    (interval, lifetime, keep_alive, most, enabled, priority), _ = decode.numbers(body, "<dIII?B", 0)
    made = service.create(session)
    made.revise(interval, keep_alive, lifetime, most, priority)
    made.enabled = enabled
    service.start(made)
    return struct.pack("<IdII", made.id, made.interval * 1000, made.lifetime, made.keep_alive)


def _modify_subscription(service: Subscriptions, session: Any, body: bytes) -> bytes:
    (number, interval, lifetime, keep_alive, most, priority), _ = decode.numbers(body, "<IdIIIB", 0)
    found = service.own(session, number)
    before = found.interval
    found.counters.modify += 1
    found.revise(interval, keep_alive, lifetime, most, priority)
    if found.interval != before:
        service.start(found)
    return struct.pack("<dII", found.interval * 1000, found.lifetime, found.keep_alive)


def _delete_subscriptions(service: Subscriptions, session: Any, body: bytes) -> bytes:
    _, (numbers,) = decode.numbers(body, "<")
    _something(numbers)
    return _statuses(service.delete(session, numbers))


def _set_publishing_mode(service: Subscriptions, session: Any, body: bytes) -> bytes:
    (enabled,), (numbers,) = decode.numbers(body, "<?")
    _something(numbers)
    statuses: list[int] = []
    for number in numbers:
        try:
            found = service.own(session, number)
            found.counters.enable += enabled
            found.counters.disable += not enabled
            found.enabled = enabled
            statuses.append(GOOD)
        except ServiceError as error:
            statuses.append(error.code)
    return _statuses(statuses)


def _republish(service: Subscriptions, session: Any, body: bytes) -> bytes:
    (number, sequence), _ = decode.numbers(body, "<II", 0)
    message = service.own(session, number).republish(sequence)
    if message is None:
        raise ServiceError(_CODES.BadMessageNotAvailable)
    return message


def _transfer_subscriptions(service: Subscriptions, session: Any, body: bytes) -> bytes:
    _, (numbers,) = decode.numbers(body, "<")
    _something(numbers)
    send_initial = body[4 + 4 * len(numbers) :][:1] not in (b"", b"\x00")
    results: list[bytes] = []
    for number in numbers:
        status, available = GOOD, list[int]()
        try:
            available = service.transfer(session, number, send_initial=send_initial)
        except ServiceError as error:
            status = error.code
        results.append(struct.pack(f"<Ii{len(available)}I", status, len(available), *available))
    return b"".join((struct.pack("<i", len(results)), *results, _NO_DIAGNOSTICS))


def _mask(stamps: int) -> int:
    if stamps not in _MASKS:
        raise ServiceError(_CODES.BadTimestampsToReturnInvalid)
    return _MASKS[stamps]


def _filter_result(outcome: Outcome) -> bytes:
    return _NO_FILTER_RESULT if outcome.filter_result is None else extensionobject_to_binary(outcome.filter_result)


def _create_items(service: Subscriptions, session: Any, body: bytes) -> Steps[bytes]:
    number, stamps, items = yield from decode.creations(body)
    found = service.own(session, number)
    _something(items)
    outcomes = yield from service.monitoring.create(found, items, _mask(stamps), session.principal)
    parts = [
        struct.pack("<IIdI", it.status, it.item_id, it.sampling, it.queue_size) + _filter_result(it) for it in outcomes
    ]
    return b"".join((struct.pack("<i", len(parts)), *parts, _NO_DIAGNOSTICS))


def _modify_items(service: Subscriptions, session: Any, body: bytes) -> Steps[bytes]:
    number, stamps, items = yield from decode.modifications(body)
    found = service.own(session, number)
    _something(items)
    outcomes = yield from service.monitoring.modify(found, items, _mask(stamps))
    parts = [struct.pack("<IdI", it.status, it.sampling, it.queue_size) + _filter_result(it) for it in outcomes]
    return b"".join((struct.pack("<i", len(parts)), *parts, _NO_DIAGNOSTICS))


def _delete_items(service: Subscriptions, session: Any, body: bytes) -> bytes:
    (number,), (items,) = decode.numbers(body, "<I")
    found = service.own(session, number)
    _something(items)
    return _statuses(service.monitoring.delete(found, items))


def _set_monitoring_mode(service: Subscriptions, session: Any, body: bytes) -> bytes:
    (number, mode), (items,) = decode.numbers(body, "<Ii")
    found = service.own(session, number)
    _something(items)
    if mode not in (0, 1, 2):
        raise ServiceError(_CODES.BadMonitoringModeInvalid)
    return _statuses(service.monitoring.set_mode(found, mode, items))


def _set_triggering(service: Subscriptions, session: Any, body: bytes) -> bytes:
    (number, triggering), (add, remove) = decode.numbers(body, "<II", 2)
    found = service.own(session, number)
    _something(add or remove)
    if len(add) + len(remove) > service.limits.items_per_call:
        raise ServiceError(_CODES.BadTooManyOperations)
    try:
        added, removed = service.monitoring.set_triggering(found, triggering, add, remove)
    except RefusedItemError as error:
        raise ServiceError(error.status) from error
    return _statuses(added) + _statuses(removed)


def acknowledgements(body: bytes) -> list[tuple[int, int]]:
    """Return the (SubscriptionId, SequenceNumber) pairs of a PublishRequest; raises ServiceError."""
    try:
        (count,) = struct.unpack_from("<i", body)
        found = struct.unpack_from(f"<{2 * max(count, 0)}I", body, 4)
    except struct.error as error:
        raise ServiceError(_CODES.BadDecodingError) from error
    return list(zip(found[::2], found[1::2], strict=True))


def _id(name: str) -> int:
    return getattr(ua.ObjectIds, f"{name}_Encoding_DefaultBinary")


def _services(handlers: dict[str, Handler]) -> dict[ua.NodeId, tuple[bytes, Handler]]:
    return {
        ua.NodeId(_id(f"{name}Request")): (struct.pack("<BBH", 1, 0, _id(f"{name}Response")), handler)
        for name, handler in handlers.items()
    }


PUBLISH = ua.NodeId(_id("PublishRequest"))
SERVICES = _services(
    {
        "CreateSubscription": _create_subscription,
        "ModifySubscription": _modify_subscription,
        "DeleteSubscriptions": _delete_subscriptions,
        "SetPublishingMode": _set_publishing_mode,
        "Republish": _republish,
        "TransferSubscriptions": _transfer_subscriptions,
        "CreateMonitoredItems": _create_items,
        "ModifyMonitoredItems": _modify_items,
        "DeleteMonitoredItems": _delete_items,
        "SetMonitoringMode": _set_monitoring_mode,
        "SetTriggering": _set_triggering,
    }
)
"""Request type to response type (as on the wire) and handler, for all services but Publish."""
