"""The one table of commands: an OPC UA method, an MQTT request, a Modbus coil and a REST call all end here."""

import asyncio
import json
import math
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from address_space.model import Argument, BuiltinType, Command, Machine, Plant, Variable
from server import logs, quality
from server.ports import CommandError, Source
from server.security.principal import Principal
from server.state import State
from server.store import Store, now_ticks
from server.store.store import VALUE_DTYPES

log = logs.get(__name__)

T = TypeVar("T")
Handler = Callable[[Command, tuple[Any, ...], Principal, str], Awaitable[tuple[Any, ...]]]


class Commands:
    """Role check, argument check, lock, execution against the source, read-back, audit record: in that order.

    `sources` maps the name of a source to it; `register` gives a command a handler in place of its source.
    A failure is a CommandError with the StatusCode to answer; it changes nothing.
    """

    def __init__(self, plant: Plant, store: Store, state: State, sources: Mapping[str, Source]) -> None:
        self._plant = plant
        self._store = store
        self._state = state
        self._sources = sources
        self._handlers: dict[str, Handler] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._guards: list[Callable[[Command], None]] = []
        self._under_way: set[asyncio.Task[Any]] = set()

    def register(self, name: str, handler: Handler) -> None:
        """Let `handler` execute every command called `name`, without the machine's lock."""
        self._handlers[name] = handler

    def guard(self, check: Callable[[Command], None]) -> None:
        """Have `check` called before a source executes a command; it raises CommandError to refuse."""
        self._guards.append(check)

    async def execute(self, path: str, arguments: Sequence[Any], principal: Principal, origin: str) -> tuple[Any, ...]:
        """Carry out `Plant.Generator1.Start`; returns its outputs. `origin` says from where, like `opcua 10.0.0.7`."""

        async def work() -> tuple[Any, ...]:
            command = self._plant.commands.get(path)
            if command is None:
                raise CommandError(quality.BAD_METHOD_INVALID, f"there is no command {path}")
            if not principal.has(command.declaration.role):
                needed = command.declaration.role
                raise CommandError(quality.BAD_USER_ACCESS_DENIED, f"{path} needs the role {needed}")
            values = check_arguments(command.declaration.arguments, arguments)
            return await self._dispatch(command, values, principal, origin)

        return await self._finish(self._audited(work, principal, origin, path, arguments))

    async def put(
        self, variable: Variable, value: Any, principal: Principal, origin: str, source_timestamp: int | None = None
    ) -> None:
        """Write a set-point: role, type and range checked, actuated by its source, then stored and kept."""

        async def work() -> None:
            await self._put(variable, value, principal, source_timestamp)

        await self._finish(self._audited(work, principal, origin, variable.path, [value]))

    async def settle(self, patience: float) -> None:
        """Wait until what is under way has ended, at most `patience` seconds; then cancel the rest."""
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def restore(self) -> None:
        """Bring kept set-points back into the store; those that no longer fit the plant file are left out."""
        for path, (value, stamp) in self._state.setpoints().items():
            variable = self._plant.find(path)
            if variable is None or not variable.declaration.writable:
                log.warning("kept set-point is no set-point of this plant any more", path=path)
                continue
            try:
                self._store_setpoint(variable, _checked(variable, value), stamp)
            except CommandError as error:
                log.warning("kept set-point no longer fits", path=path, error=str(error))

    async def _finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work to its end, though its caller be cancelled: a client that goes away must not leave half a command."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def _audited(
        self,
        work: Callable[[], Awaitable[T]],
        principal: Principal,
        origin: str,
        action: str,
        arguments: Sequence[Any],
    ) -> T:
        """Do work and record what became of it; whatever it raises comes out as a CommandError."""
        status, message = quality.GOOD, ""
        try:
            return await work()
        except CommandError as error:
            status, message = error.status, str(error)
            raise
        except asyncio.CancelledError:
            status, message = quality.BAD_SHUTDOWN, "the server stopped"
            raise
        except Exception as error:
            log.error("command broke", action=action, exc_info=error)
            status, message = quality.BAD_UNEXPECTED_ERROR, f"{type(error).__name__}: {error}"
            raise CommandError(status, message) from error
        finally:
            await self._audit(principal, origin, action, arguments, status, message)

    async def _dispatch(
        self, command: Command, values: tuple[Any, ...], principal: Principal, origin: str
    ) -> tuple[Any, ...]:
        declaration = command.declaration
        if declaration.name in self._handlers:
            return await self._handlers[declaration.name](command, values, principal, origin)
        for check in self._guards:
            check(command)
        lock = self._locks.setdefault(command.machine.path, asyncio.Lock())
        async with lock:
            for check in self._guards:  # again: the wait for the lock may have changed the answer
                check(command)
            if declaration.sets is not None:
                await self._actuate(command.machine.variables[declaration.sets], values[0], now_ticks())
            else:
                await self._source(command.machine).execute(command.machine, declaration.name, values)
                await self._confirmed(command)
        return ()

    async def _put(self, variable: Variable, value: Any, principal: Principal, source_timestamp: int | None) -> None:
        declaration = variable.declaration
        if declaration.write_role is None:
            raise CommandError(quality.BAD_NOT_WRITABLE, f"{variable.path} is not writable")
        if not principal.has(declaration.write_role):
            message = f"writing {variable.path} needs the role {declaration.write_role}"
            raise CommandError(quality.BAD_USER_ACCESS_DENIED, message)
        checked = _checked(variable, value)
        machine = self._plant.owner(variable)
        async with self._locks.setdefault(machine.path, asyncio.Lock()):
            await self._actuate(variable, checked, source_timestamp or now_ticks())

    async def _actuate(self, variable: Variable, value: Any, stamp: int) -> None:
        machine = self._plant.owner(variable)
        if machine.source is not None:
            await self._source(machine).put(variable, value)
        try:
            await self._state.keep_setpoint(variable.path, value, stamp)
        except sqlite3.Error as error:
            log.error("set-point is in force but not kept for a restart", path=variable.path, error=str(error))
        self._store_setpoint(variable, value, stamp)

    def _store_setpoint(self, variable: Variable, value: Any, stamp: int) -> None:
        values = np.array([value], VALUE_DTYPES[variable.declaration.type])
        self._store.write(np.array([variable.id], np.int64), values, stamp)

    def _source(self, machine: Machine) -> Source:
        source = self._sources.get(machine.source or "")
        if source is None:
            raise CommandError(quality.BAD_NOT_CONNECTED, f"nothing feeds {machine.path}: it cannot be commanded")
        return source

    async def _confirmed(self, command: Command) -> None:
        """Wait for the read-back that the plant file asks for; raises CommandError with BadTimeout."""
        declaration = command.declaration
        if declaration.confirm_variable is None:
            return
        variable = command.machine.variables[declaration.confirm_variable]

        def shown() -> bool:
            return self._store.value(variable.id) in declaration.confirm_values

        try:
            async with asyncio.timeout(declaration.within):
                await self._store.journal.wait(shown)
        except TimeoutError:
            message = f"{command.path} was sent, but {variable.path} did not follow within {declaration.within:g} s"
            raise CommandError(quality.BAD_TIMEOUT, message) from None

    async def _audit(
        self, principal: Principal, origin: str, action: str, arguments: Sequence[Any], status: int, message: str
    ) -> None:
        log.info("command", who=principal.name, origin=origin, action=action, status=f"0x{status:08X}", error=message)
        shown = json.dumps(list(arguments), default=str)
        try:
            await self._state.audit((now_ticks(), principal.name, origin, action, shown, status, message))
        except sqlite3.Error as error:
            log.error("audit record was not kept", action=action, error=str(error))


def check_arguments(declared: Sequence[Argument], given: Sequence[Any]) -> tuple[Any, ...]:
    """Return the arguments in their types; raises CommandError as OPC 10000-4 5.12.2 says."""
    if len(given) < len(declared):
        names = ", ".join(argument.name for argument in declared[len(given) :])
        raise CommandError(quality.BAD_ARGUMENTS_MISSING, f"missing: {names}")
    if len(given) > len(declared):
        raise CommandError(quality.BAD_TOO_MANY_ARGUMENTS, f"takes {len(declared)} arguments, not {len(given)}")
    faults = [argument_fault(argument, value) for argument, value in zip(declared, given, strict=True)]
    if any(fault is not None for fault in faults):
        first = next(fault for fault in faults if fault is not None)
        statuses = tuple(quality.GOOD if fault is None else fault.status for fault in faults)
        raise CommandError(quality.BAD_INVALID_ARGUMENT, str(first), statuses)
    return tuple(given)


def argument_fault(argument: Argument, value: Any) -> CommandError | None:
    """Return what is wrong with one argument, None when it is right."""
    if isinstance(value, float) and not math.isfinite(value) and argument.type.is_numeric:
        return CommandError(quality.BAD_OUT_OF_RANGE, f"{argument.name} takes a finite number, not {value}")
    if not fits_type(argument.type, value):
        return CommandError(quality.BAD_TYPE_MISMATCH, f"{argument.name} is a {argument.type.name}, not {value!r}")
    if argument.range is not None and not argument.range[0] <= value <= argument.range[1]:
        low, high = argument.range
        return CommandError(quality.BAD_OUT_OF_RANGE, f"{argument.name} is {low:g} to {high:g}, not {value:g}")
    if argument.choices and value not in argument.choices:
        return CommandError(
            quality.BAD_OUT_OF_RANGE, f"{argument.name} is one of {', '.join(argument.choices)}, not {value!r}"
        )
    return None


def fits_type(builtin: BuiltinType, value: Any) -> bool:
    """Whether a Python value can be one of a built-in type; a floating-point number must be finite."""
    if builtin is BuiltinType.Boolean:
        return isinstance(value, bool)
    if builtin is BuiltinType.String:
        return isinstance(value, str)
    if isinstance(value, bool):
        return False
    if builtin in (BuiltinType.Float, BuiltinType.Double):
        return isinstance(value, int | float) and abs(value) <= float(np.finfo(VALUE_DTYPES[builtin]).max)
    if not isinstance(value, int):
        return False
    limits = np.iinfo(VALUE_DTYPES[builtin])
    return int(limits.min) <= value <= int(limits.max)


def _checked(variable: Variable, value: Any) -> Any:
    declaration = variable.declaration
    if isinstance(value, float) and not math.isfinite(value):
        raise CommandError(quality.BAD_OUT_OF_RANGE, f"{variable.path} takes a finite number, not {value}")
    if not fits_type(declaration.type, value):
        raise CommandError(quality.BAD_TYPE_MISMATCH, f"{variable.path} is a {declaration.type.name}, not {value!r}")
    if declaration.range is not None and not declaration.range[0] <= value <= declaration.range[1]:
        low, high = declaration.range
        raise CommandError(quality.BAD_OUT_OF_RANGE, f"{variable.path} is {low:g} to {high:g}, not {value:g}")
    if declaration.enumeration is not None and not 0 <= value < len(declaration.enumeration.values):
        raise CommandError(quality.BAD_OUT_OF_RANGE, f"{variable.path} has no state {value}")
    return value
