"""The View service set (OPC 10000-4 5.9) from request bytes to response bytes.

Answers that are too large for the client are cut by continuation points, where the service has them.
"""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import struct
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from asyncua import ua
from asyncua.common.utils import Buffer, ServiceError
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from server.opcua import view_requests
from server.opcua.continuation import POINT_SIZE, ContinuationPoints, Rest
from server.opcua.locales import Locale
from server.opcua.space import PlantAddressSpace
from server.opcua.view_answers import Answer, Answers
from server.opcua.view_encode import failed, result
from server.opcua.view_filter import Filters
from server.opcua.view_requests import MalformedError
from server.opcua.view_translate import Translator
from server.opcua.wire import Request, response_header, service_fault

MAX_OPERATIONS = 10_000
"""Of one request: OperationLimits.MaxNodesPerBrowse, MaxNodesPerRegisterNodes and the like."""
_COUNT = struct.Struct("<i")
_NO_DIAGNOSTICS = b"\x00\x00\x00\x00"
_FRAME = 28 + _COUNT.size + len(_NO_DIAGNOSTICS)
"""Bytes of a response beside its results: type, header, their number, no diagnostics."""
_LEAST = 12 + POINT_SIZE
"""Bytes of a BrowseResult that only has a continuation point."""


class Session(Protocol):
    """Who browses."""

    @property
    def continuation_points(self) -> ContinuationPoints:
        """Where the rest of answers is kept."""
        ...

    @property
    def locale(self) -> Locale | None:
        """The language of display names; None: the plant file's."""
        ...


_Service = Callable[[bytes, Session, int], bytes]


def _type(name: str) -> bytes:
    return b"\x01\x00" + struct.pack("<H", getattr(ua.ObjectIds, f"{name}_Encoding_DefaultBinary"))


class Views:
    """Answers the View services for all sessions."""

    def __init__(self, space: PlantAddressSpace) -> None:
        self._space = space
        self._filters = Filters(space)
        self._answers = Answers(space, self._filters)
        self._translator = Translator(space, self._filters)
        self._version = space.nodes.version
        self._services: dict[bytes, tuple[bytes, _Service]] = {
            _type(f"{name}Request"): (_type(f"{name}Response"), service)
            for name, service in (
                ("Browse", self._browse),
                ("BrowseNext", self._browse_next),
                ("TranslateBrowsePathsToNodeIds", self._translate),
                ("RegisterNodes", self._register),
                ("UnregisterNodes", self._unregister),
            )
        }

    def answer(self, request: Request, session: Session, room: int) -> bytes | None:
        """Return the response, or a ServiceFault; None for a request of another service set.

        `room` is how many bytes the client takes in a message.
        """
        found = self._services.get(request.type_id)
        if found is None:
            return None
        if self._version != self._space.nodes.version:
            self._version = self._space.nodes.version
            for cache in (self._filters, self._answers, self._translator):
                cache.clear()
        response, service = found
        try:
            body = service(request.rest, session, room)
        except MalformedError:
            return service_fault(request.handle, ua.StatusCodes.BadDecodingError)
        except ServiceError as error:
            return service_fault(request.handle, error.code)
        return response_header(response, request.handle) + body

    def _browse(self, body: bytes, session: Session, room: int) -> bytes:
        request = view_requests.browse(body)
        _check_count(request.count)
        if request.has_view:  # the address space has no views
            raise ServiceError(ua.StatusCodes.BadViewIdUnknown)
        locale = session.locale
        answers = [self._answers.find(node, rest, locale) for node, rest in request.descriptions()]
        return _fill(answers, request.most, session.continuation_points, room)

    def _browse_next(self, body: bytes, session: Session, room: int) -> bytes:
        points = session.continuation_points
        release, wanted = view_requests.browse_next(body)
        _check_count(len(wanted))
        before = points.snapshot()
        rests = [points.take(point) for point in wanted]
        if release:
            return _COUNT.pack(0) + _NO_DIAGNOSTICS
        invalid = ua.StatusCodes.BadContinuationPointInvalid
        try:
            return _fill([invalid if rest is None else rest for rest in rests], 0, points, room)
        except ServiceError:
            points.restore(before)
            raise

    def _translate(self, body: bytes, _session: Session, room: int) -> bytes:
        paths = _decode(ua.TranslateBrowsePathsToNodeIdsParameters, body).BrowsePaths
        _check_count(len(paths))
        results = [struct_to_binary(self._translator.translate(path)) for path in paths]
        return _fit(b"".join((_COUNT.pack(len(results)), *results, _NO_DIAGNOSTICS)), room)

    def _register(self, body: bytes, _session: Session, room: int) -> bytes:
        """NodeIds are quick as they are: each is answered with itself, unknown ones too (5.9.5.1)."""
        try:
            _check_count(len(view_requests.node_ids(body)))
        except MalformedError as error:
            raise ServiceError(ua.StatusCodes.BadNodeIdInvalid) from error
        return _fit(body, room)

    def _unregister(self, body: bytes, _session: Session, _room: int) -> bytes:
        _check_count(len(view_requests.node_ids(body)))
        return b""


def _fill(answers: Sequence[Answer | Rest | int], most: int, points: ContinuationPoints, room: int) -> bytes:
    """Return BrowseResults and no diagnostics; a StatusCode is a result without references.

    Raises ServiceError with BadResponseTooLarge when not one reference fits.
    """
    points.begin()
    left = room - _FRAME - _LEAST * len(answers)
    if left < 0:
        raise ServiceError(ua.StatusCodes.BadResponseTooLarge)
    parts = [_COUNT.pack(len(answers))]
    cut = taken = False
    for answer in answers:
        if isinstance(answer, int):
            parts.append(failed(answer))
            continue
        if isinstance(answer, Answer) and not 0 < most < answer.count:
            whole = answer.whole()
            if len(whole) <= left + _LEAST:
                left -= max(len(whole) - _LEAST, 0)
                taken = taken or answer.count > 0
                parts.append(whole)
                continue
        rest = Rest(answer.references(), 0, most) if isinstance(answer, Answer) else answer
        end, size = _end(rest, left)
        cut = cut or end == rest.at
        point = None
        if end < len(rest.references):
            point = points.add(Rest(rest.references, end, rest.most))
            if point is None:
                parts.append(failed(ua.StatusCodes.BadNoContinuationPoints))
                continue
        left -= size
        taken = taken or end > rest.at
        parts.append(result(rest.references[rest.at : end], point))
    if cut and not taken:
        points.forget_new()
        raise ServiceError(ua.StatusCodes.BadResponseTooLarge)
    parts.append(_NO_DIAGNOSTICS)
    return b"".join(parts)


def _end(rest: Rest, left: int) -> tuple[int, int]:
    """Return up to where references go into this message, and how many bytes they take."""
    last = len(rest.references)
    if rest.most:
        last = min(last, rest.at + rest.most)
    size = 0
    for at in range(rest.at, last):
        grown = size + len(rest.references[at])
        if grown > left:
            return at, size
        size = grown
    return last, size


def _check_count(count: int) -> None:
    if count <= 0:
        raise ServiceError(ua.StatusCodes.BadNothingToDo)
    if count > MAX_OPERATIONS:
        raise ServiceError(ua.StatusCodes.BadTooManyOperations)


def _fit(body: bytes, room: int) -> bytes:
    if len(body) + _FRAME > room:
        raise ServiceError(ua.StatusCodes.BadResponseTooLarge)
    return body


def _decode(kind: type[Any], body: bytes) -> Any:
    try:
        return struct_from_binary(kind, Buffer(body))
    except Exception as error:
        raise MalformedError from error
