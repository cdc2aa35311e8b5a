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
from server.evidence import Evidence
from server.opcua.attributes import NAMESPACE
from server.opcua.conditions import vision
from server.opcua.conditions.files import may_read
from server.opcua.conditions.live import Conditions
from server.opcua.conditions.members import Path
from server.opcua.conditions.methods import unwrap
from server.opcua.conditions.pictures import Picture
from server.ports import CommandError
from server.security.principal import Principal

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


@dataclass(frozen=True, slots=True)
class _File:
    """A file: its object's identifier, and whose picture it has: the last of a condition, or one of the past."""

    path: str
    clean: bool
    of: Condition | Picture

    @property
    def tops(self) -> set[str]:
        """The identifiers whose methods are its own: its object's, and those of what declares it."""
        if isinstance(self.of, Picture):
            return {self.path}
        name = self.path.rpartition(".")[2]
        declared = f"{self.of.machine.type.name}.{self.of.name}"
        return {self.path, f"{declared}.{name}", f"{vision.NAME}.{name}"}

    def may_read(self, principal: Principal) -> bool:
        """Whether a principal may see it."""
        return self.of.may_read(principal) if isinstance(self.of, Picture) else may_read(self.of, principal)


@dataclass(slots=True)
class _Handle:
    """A file that a session has open; what it reads does not change when the alarm is raised again."""

    file: _File
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
        """Whether a call is of a picture's file, or of a folder of them."""
        return self._file(request.ObjectId) is not None or self._is_folder(request.ObjectId)

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
        file = self._file(request.ObjectId)
        if file is None:
            raise CommandError(_CODES.BadNotExecutable, "what is kept is up to the archive")
        name = _method(file, request.MethodId)
        arguments = unwrap(_ARGUMENTS[name], given)
        if not file.may_read(session.principal):
            raise CommandError(_CODES.BadUserAccessDenied, f"{file.path} is not for everybody")
        if name == "Open":
            return [ua.Variant(await self._open(file, arguments[0], session), _V.UInt32)]
        number = arguments[0]
        own = self._handles.get(session.session_id, {})
        handle = own.get(number)
        if handle is None or handle.file != file:
            raise CommandError(_CODES.BadInvalidArgument, f"{number} is no handle of this session and file")
        if name == "Close":
            del own[number]
            self._count(handle, -1)
            return []
        return self._work(name, handle, arguments)

    async def _open(self, file: _File, mode: int, session: "PlantSession") -> int:
        """Return a handle (4.2.2)."""
        if mode & _WRITE:
            raise CommandError(_CODES.BadNotWritable, "evidence is never written")
        if mode not in _READING:
            raise CommandError(_CODES.BadInvalidArgument, f"{mode} is no mode for reading")
        self._check_room(session)
        data = await self._read(file)
        if session.state is SessionState.Closed:
            raise CommandError(_CODES.BadSessionClosed, "the session was closed meanwhile")
        self._check_room(session)
        self._opened += 1
        number = self._opened & 0xFFFFFFFF
        handle = _Handle(file, data, len(data) if mode & _APPEND else 0)
        self._handles.setdefault(session.session_id, {})[number] = handle
        self._count(handle, 1)
        return number

    async def _read(self, file: _File) -> bytes:
        register, evidence = self._conditions.files.register, self._evidence(file)
        if evidence is None or register is None:
            raise CommandError(_CODES.BadNotFound, f"{file.path} has no picture yet")
        try:
            return await asyncio.to_thread(register.read, evidence, clean=file.clean)
        except FileNotFoundError:
            raise CommandError(_CODES.BadNotFound, f"the picture {evidence.id} is no longer kept") from None
        except ValueError as error:
            raise CommandError(_CODES.BadNotReadable, str(error)) from error
        except OSError as error:
            raise CommandError(_CODES.BadUnexpectedError, f"the picture {evidence.id}: {error.strerror}") from error

    def _evidence(self, file: _File) -> Evidence | None:
        if isinstance(file.of, Picture):
            return file.of.evidence
        alarms = self._conditions.alarms
        return None if alarms is None else alarms.state(file.of).evidence

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
        counted, file = self._conditions.files.open, handle.file
        counted[file.path] += by
        if not counted[file.path]:
            del counted[file.path]
        if not isinstance(file.of, Picture):
            self._conditions.tell([file.of])

    def _file(self, nodeid: ua.NodeId) -> _File | None:
        """Return the file of an object, None for any other node."""
        found = self._conditions.find(nodeid)
        if found is not None:
            condition, path = found
            is_file = len(path) == 1 and path[0] in vision.FILES
            return _File(f"{condition.path}.{path[0]}", vision.FILES[path[0]], condition) if is_file else None
        past = self._past(nodeid)
        return None if past is None or past[1] else _File(past[0].path, past[0].clean, past[0])

    def _past(self, nodeid: ua.NodeId) -> tuple[Picture, Path] | None:
        identifier = nodeid.Identifier if nodeid.NamespaceIndex == NAMESPACE else None
        return self._conditions.pictures.find(identifier) if isinstance(identifier, str) else None

    def _is_folder(self, nodeid: ua.NodeId) -> bool:
        identifier = nodeid.Identifier if nodeid.NamespaceIndex == NAMESPACE else None
        return isinstance(identifier, str) and self._conditions.pictures.is_folder(identifier)


def _method(file: _File, method: ua.NodeId) -> str:
    """Return the method that a NodeId names: FileType's, our type's, the instance's or its declaration's."""
    name = _STANDARD.get(method, "")
    if method.NamespaceIndex == NAMESPACE and isinstance(method.Identifier, str):
        top, _, last = method.Identifier.rpartition(".")
        name = last if top in file.tops else ""
    if name not in _ARGUMENTS:
        raise CommandError(_CODES.BadMethodInvalid, f"a file has no method {method}")
    return name
