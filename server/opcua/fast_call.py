"""Calls of methods that only write a set-point, answered at once; every other call takes the slow path.

The bytes that name object and method are the key of a bounded cache: it says which command that is for whom.
"""

import struct
from collections import OrderedDict
from typing import Any

from address_space.model import BuiltinType, Command
from server.commands import Commands
from server.opcua.methods import PlantMethods
from server.opcua.wire import CALL_RESPONSE, Request, response_header
from server.ports import CommandError
from server.security.principal import Principal
from server.store.values import VALUE_FORMATS

MAX_KNOWN = 4096
_ONE = b"\x01\x00\x00\x00"
_FORMATS = {
    builtin: struct.Struct("<" + form) for builtin, form in VALUE_FORMATS.items() if builtin is not BuiltinType.DateTime
}
_NO_DIAGNOSTICS = bytes(4)


class FastCalls:
    """Answers calls for all sessions."""

    def __init__(self, methods: PlantMethods, commands: Commands) -> None:
        self._methods = methods
        self._commands = commands
        self._known: OrderedDict[bytes, Command | None] = OrderedDict()

    def answer(self, request: Request, principal: Principal, origin: str) -> bytes | None:
        """Carry out and return the CallResponse, or None, with nothing done, when the slow path must answer."""
        rest = request.rest
        split = _end_of_names(rest)
        if split is None:
            return None
        command = self._command(rest[4:split])
        if command is None:
            return None
        arguments = _arguments(rest, split, command)
        if arguments is None or not self._commands.execute_at_once(command.path, arguments, principal, origin):
            return None
        count = len(arguments).to_bytes(4, "little")
        result = b"".join((_ONE, bytes(4), count, bytes(4 * len(arguments)), _NO_DIAGNOSTICS, bytes(4)))
        return response_header(CALL_RESPONSE, request.handle) + result + _NO_DIAGNOSTICS

    def _command(self, names: bytes) -> Command | None:
        if names in self._known:
            self._known.move_to_end(names)
            return self._known[names]
        try:
            object_id, method_id = _identifiers(names)
            command = self._methods.find(object_id, method_id)
        except (CommandError, UnicodeDecodeError):
            command = None
        if command is not None and command.declaration.sets is None:
            command = None
        self._known[names] = command
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return command


def _end_of_names(rest: bytes) -> int | None:
    """Return where the arguments of a call of one method begin; None unless both NodeIds are Strings of the plant."""
    if len(rest) < 22 or rest[:4] != _ONE:
        return None
    at = 4
    for _ in range(2):
        if rest[at : at + 3] != b"\x03\x02\x00" or at + 7 > len(rest):
            return None
        at += 7 + int.from_bytes(rest[at + 3 : at + 7], "little")
    return at if at + 4 <= len(rest) else None


def _identifiers(names: bytes) -> tuple[str, str]:
    length = int.from_bytes(names[3:7], "little")
    return names[7 : 7 + length].decode(), names[14 + length :].decode()


def _arguments(rest: bytes, at: int, command: Command) -> list[Any] | None:
    """Return scalars of the declared types; None for anything else."""
    declared = command.declaration.arguments
    if int.from_bytes(rest[at : at + 4], "little") != len(declared):
        return None
    at += 4
    values: list[Any] = []
    for argument in declared:
        form = _FORMATS.get(argument.type)
        if form is None or rest[at : at + 1] != argument.type.to_bytes(1, "little"):
            return None
        try:
            (value,) = form.unpack_from(rest, at + 1)
        except struct.error:
            return None
        values.append(value)
        at += 1 + form.size
    return values if at == len(rest) else None
