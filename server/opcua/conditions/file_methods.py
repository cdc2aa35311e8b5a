"""Methods of the pictures' files: read only, each handle one session's (OPC 10000-20 4.2.2 to 4.2.7)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.server.internal_session import SessionState

from address_space.model import Condition
from server import logs
from server.opcua.attributes import NAMESPACE
from server.opcua.conditions import vision
from server.opcua.conditions.files import may_read
from server.opcua.conditions.live import Conditions
from server.opcua.conditions.methods import unwrap
from server.ports import CommandError

if TYPE_CHECKING:
    from server.opcua.session import PlantSession

log = logs.get(__name__)

_CODES, _V = ua.StatusCodes, ua.VariantType
_OF_SESSION, _OF_ALL = 16, 128
"""Handles at a time: each holds its picture in memory."""
_READ, _WRITE, _ERASE, _APPEND = 1, 2, 4, 8
"""Bits of OpenFileMode."""
_READING = (_READ, _READ | _APPEND)
_ARGUMENTS: Mapping[str, tuple[ua.VariantType, ...]] = {
    "Open": (_V.Byte,),
    "Close": (_V.UInt32,),
    "Read": (_V.UInt32, _V.Int32),
    "Write": (_V.UInt32, _V.ByteString),
    "GetPosition": (_V.UInt32,),
    "SetPosition": (_V.UInt32, _V.UInt64),
}
_STANDARD = {ua.NodeId(getattr(ua.ObjectIds, f"FileType_{name}")): name for name in _ARGUMENTS}


@dataclass(slots=True)
class _Handle:
    """A file that a session has open; what it reads does not change when the alarm is raised again."""

    condition: Condition
    file: str
    data: bytes
    position: int


class FileMethods:
    """Calls them; `most_bytes` is what one Read returns at most."""

    def __init__(self, conditions: Conditions, most_bytes: int) -> None:
        self._conditions = conditions
        self._most_bytes = most_bytes
        self._handles: dict[ua.NodeId, dict[int, _Handle]] = {}
        """By session and number."""
        self._opened = 0

    def concerns(self, request: ua.CallMethodRequest) -> bool:
        """Whether a call is of a picture's file."""
        return self._file(request.ObjectId) is not None

    async def call(self, request: ua.CallMethodRequest, session: "PlantSession") -> ua.CallMethodResult:
        """Call a method; the result says what became of it."""
        given: list[ua.Variant] = list(request.InputArguments or [])
        try:
            output = await self._call(request, given, session)
        except CommandError as error:
            log.debug("file method refused", error=str(error), status=f"0x{error.status:08X}")
            statuses = [ua.StatusCode(status) for status in error.argument_statuses]
            return ua.CallMethodResult(ua.StatusCode(error.status), InputArgumentResults=statuses)
        return ua.CallMethodResult(
            ua.StatusCode(), InputArgumentResults=[ua.StatusCode() for _ in given], OutputArguments=output
        )

    def session_closed(self, session: "PlantSession") -> None:
        """Close what a session has left open."""
        for handle in self._handles.pop(session.session_id, {}).values():
            self._count(handle, -1)

    async def _call(
        self, request: ua.CallMethodRequest, given: list[ua.Variant], session: "PlantSession"
    ) -> list[ua.Variant]:
        found = self._file(request.ObjectId)
        if found is None:
            raise CommandError(_CODES.BadNodeIdUnknown, "there is no such file")
        condition, file = found
        name = _method(condition, file, request.MethodId)
        arguments = unwrap(_ARGUMENTS[name], given)
        if not may_read(condition, session.principal):
            raise CommandError(_CODES.BadUserAccessDenied, f"the pictures of {condition.path} are not for everybody")
        if name == "Open":
            return [ua.Variant(await self._open(condition, file, arguments[0], session), _V.UInt32)]
        number = arguments[0]
        own = self._handles.get(session.session_id, {})
        handle = own.get(number)
        if handle is None or (handle.condition, handle.file) != (condition, file):
            raise CommandError(_CODES.BadInvalidArgument, f"{number} is no handle of this session and file")
        if name == "Close":
            del own[number]
            self._count(handle, -1)
            return []
        return self._work(name, handle, arguments)

    async def _open(self, condition: Condition, file: str, mode: int, session: "PlantSession") -> int:
        """Return a handle (4.2.2)."""
        if mode & _WRITE:
            raise CommandError(_CODES.BadNotWritable, "evidence is never written")
        if mode not in _READING:
            raise CommandError(_CODES.BadInvalidArgument, f"{mode} is no mode for reading")
        self._check_room(session)
        data = await self._read(condition, file)
        if session.state is SessionState.Closed:
            raise CommandError(_CODES.BadSessionClosed, "the session was closed meanwhile")
        self._check_room(session)
        self._opened += 1
        number = self._opened & 0xFFFFFFFF
        handle = _Handle(condition, file, data, len(data) if mode & _APPEND else 0)
        self._handles.setdefault(session.session_id, {})[number] = handle
        self._count(handle, 1)
        return number

    async def _read(self, condition: Condition, file: str) -> bytes:
        alarms, register = self._conditions.alarms, self._conditions.files.register
        evidence = None if alarms is None else alarms.state(condition).evidence
        if evidence is None or register is None:
            raise CommandError(_CODES.BadNotFound, f"{condition.path} has no picture yet")
        try:
            return await asyncio.to_thread(register.read, evidence, clean=vision.FILES[file])
        except FileNotFoundError:
            raise CommandError(_CODES.BadNotFound, f"the picture {evidence.id} is no longer kept") from None
        except ValueError as error:
            raise CommandError(_CODES.BadNotReadable, str(error)) from error
        except OSError as error:
            raise CommandError(_CODES.BadUnexpectedError, f"the picture {evidence.id}: {error.strerror}") from error

    def _work(self, name: str, handle: _Handle, arguments: list[Any]) -> list[ua.Variant]:
        """Carry out what is done with an open file."""
        if name == "GetPosition":
            return [ua.Variant(handle.position, _V.UInt64)]
        if name == "SetPosition":
            handle.position = min(arguments[1], len(handle.data))
            return []
        if name == "Write":
            raise CommandError(_CODES.BadInvalidState, "the file was not opened for writing")
        if arguments[1] <= 0:
            raise CommandError(_CODES.BadInvalidArgument, "a length is positive")
        found = handle.data[handle.position : handle.position + min(arguments[1], self._most_bytes)]
        handle.position += len(found)
        return [ua.Variant(found, _V.ByteString)]

    def _check_room(self, session: "PlantSession") -> None:
        own, of_all = len(self._handles.get(session.session_id, {})), sum(map(len, self._handles.values()))
        if own >= _OF_SESSION or of_all >= _OF_ALL:
            raise CommandError(_CODES.BadResourceUnavailable, f"at most {_OF_SESSION} files, {_OF_ALL} of all sessions")

    def _count(self, handle: _Handle, by: int) -> None:
        counted = self._conditions.files.open
        counted[handle.condition.path, handle.file] += by
        self._conditions.tell([handle.condition])

    def _file(self, nodeid: ua.NodeId) -> tuple[Condition, str] | None:
        """Return the condition and the name of a file's object, None for any other node."""
        found = self._conditions.find(nodeid)
        if found is None or len(found[1]) != 1 or found[1][0] not in vision.FILES:
            return None
        return found[0], found[1][0]


def _method(condition: Condition, file: str, method: ua.NodeId) -> str:
    """Return the method that a NodeId names: FileType's, our type's, the instance's or its declaration's."""
    name = _STANDARD.get(method, "")
    if method.NamespaceIndex == NAMESPACE and isinstance(method.Identifier, str):
        top, _, last = method.Identifier.rpartition(".")
        tops = (condition.path, f"{condition.machine.type.name}.{condition.name}", vision.NAME)
        name = last if top in {f"{it}.{file}" for it in tops} else ""
    if name not in _ARGUMENTS:
        raise CommandError(_CODES.BadMethodInvalid, f"a file has no method {method}")
    return name
