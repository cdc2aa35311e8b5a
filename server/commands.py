"""The one table of commands: an OPC UA method, an MQTT request, a Modbus coil and a REST call all end here."""

import asyncio
import json
import sqlite3
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from address_space.model import Command, Machine, Plant, Role, Variable
from server import logs, quality
from server.at_once import AtOnce, PutPlan
from server.audit import AuditKind, AuditRecord, AuditWatcher, client_entry, kind_of
from server.checks import check_arguments
from server.ports import CommandError, Put, Source
from server.security.principal import Principal
from server.setpoints import SetPoints, source_of
from server.state import State
from server.store import Store, now_ticks

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
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._setpoints = SetPoints(plant, store, state, sources, self._locks)
        self.at_once = AtOnce(plant, store, state, sources, self._locks)
        """The short way for set-points; who takes it asks the long way, `put_many`, whenever it says no."""
        self._short_ways: dict[tuple[str, frozenset[Role]], PutPlan | None] = {}
        self._guards: list[Callable[[Command], None]] = []
        self._under_way: set[asyncio.Task[Any]] = set()
        self._watcher: AuditWatcher | None = None

    def watch(self, watcher: AuditWatcher) -> None:
        """Have a watcher told of what comes onto the audit trail."""
        self._watcher = self.at_once.watcher = watcher

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

    def execute_at_once(self, path: str, arguments: Sequence[Any], principal: Principal, origin: str) -> bool:
        """Carry out a command that only writes a set-point, if that can be now; else False: `execute` has the say."""
        key = (path, principal.roles)
        if key not in self._short_ways:
            self._short_ways[key] = self._short_way(self._plant.commands.get(path), principal)
        plan = self._short_ways[key]
        if plan is None:
            return False
        command = self._plant.commands[path]
        try:
            values = check_arguments(command.declaration.arguments, arguments)
            for check in self._guards:
                check(command)
        except CommandError:
            return False
        if plan.single is None:
            return False
        action = json.dumps([path, *arguments])
        return self.at_once.put_one(plan, plan.single, values[0], None, principal, origin, action)

    def _short_way(self, command: Command | None, principal: Principal) -> PutPlan | None:
        if command is None or command.declaration.name in self._handlers or command.declaration.sets is None:
            return None
        if not principal.has(command.declaration.role):
            return None
        # The right to call the command is the right to write its set-point (as `_dispatch` has it).
        variable = command.machine.variables[command.declaration.sets]
        role = variable.declaration.write_role
        return None if role is None else self.at_once.plan([variable], Principal(principal.name, frozenset({role})))

    async def put(
        self, variable: Variable, value: Any, principal: Principal, origin: str, source_timestamp: int | None = None
    ) -> None:
        """Write a set-point: role, type and range checked, actuated by its source, then stored and kept."""
        fault = (await self.put_many([Put(variable, value, source_timestamp)], principal, origin))[0]
        if fault is not None:
            raise fault

    async def put_many(self, puts: Sequence[Put], principal: Principal, origin: str) -> list[CommandError | None]:
        """Write set-points, each by itself: returns what went wrong with each, None where it is done."""
        return await self._finish(self._put_audited(puts, principal, origin))

    async def settle(self, patience: float) -> None:
        """Wait until what is under way has ended, at most `patience` seconds; then cancel the rest."""
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def restore(self) -> None:
        """Bring kept set-points back into the store; those that no longer fit the plant file are left out."""
        self._setpoints.restore()

    async def _put_audited(self, puts: Sequence[Put], principal: Principal, origin: str) -> list[CommandError | None]:
        olds = [self._store.value(put.variable.id) for put in puts]
        faults = await self._setpoints.put(puts, principal)
        records = [
            record_of(principal, origin, put.variable.path, [put.value], fault, AuditKind.WRITE, {"old": old})
            for put, fault, old in zip(puts, faults, olds, strict=True)
        ]
        if len(puts) == 1:
            self._tell(principal, origin, puts[0].variable.path, faults[0])
        else:
            refused = sum(fault is not None for fault in faults)
            log.info("set-points written", who=principal.name, origin=origin, count=len(puts), refused=refused)
        await self._keep(records)
        return faults

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
        fault: CommandError | None = None
        try:
            return await work()
        except CommandError as error:
            fault = error
            raise
        except asyncio.CancelledError:
            fault = CommandError(quality.BAD_SHUTDOWN, "the server stopped")
            raise
        except Exception as error:
            log.error("command broke", action=action, exc_info=error)
            fault = CommandError(quality.BAD_UNEXPECTED_ERROR, f"{type(error).__name__}: {error}")
            raise fault from error
        finally:
            await self.audit(principal, origin, action, arguments, fault)

    async def _dispatch(
        self, command: Command, values: tuple[Any, ...], principal: Principal, origin: str
    ) -> tuple[Any, ...]:
        declaration = command.declaration
        if declaration.name in self._handlers:
            return await self._handlers[declaration.name](command, values, principal, origin)
        for check in self._guards:
            check(command)
        async with self._locks[command.machine.path]:
            for check in self._guards:  # again: the wait for the lock may have changed the answer
                check(command)
            if declaration.sets is not None:
                await self._setpoints.actuate(command.machine.variables[declaration.sets], values[0], now_ticks())
            else:
                await self._source(command.machine).execute(command.machine, declaration.name, values)
                await self._confirmed(command)
        return ()

    def _source(self, machine: Machine) -> Source:
        return source_of(machine, self._sources)

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

    async def audit(
        self,
        principal: Principal,
        origin: str,
        action: str,
        arguments: Sequence[Any],
        fault: CommandError | None,
        kind: AuditKind | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Log and record what was done, or refused; returns once the record is on the disk."""
        self._tell(principal, origin, action, fault)
        await self._keep([record_of(principal, origin, action, arguments, fault, kind, details)])

    def report(self, record: AuditRecord) -> None:
        """Put a record onto the audit trail without waiting for the disk."""
        self._post([record]).add_done_callback(_check_kept)

    def _tell(self, principal: Principal, origin: str, action: str, fault: CommandError | None) -> None:
        status = f"0x{quality.GOOD if fault is None else fault.status:08X}"
        log.info("command", who=principal.name, origin=origin, action=action, status=status, error=str(fault or ""))

    async def _keep(self, records: Sequence[AuditRecord]) -> None:
        """Return once records are on the disk; what was posted before them is there, too."""
        try:
            await asyncio.wrap_future(self._post(records))
        except sqlite3.Error as error:
            log.error("audit record was not kept", error=str(error))

    def _post(self, records: Sequence[AuditRecord]) -> "Future[None]":
        kept = self._state.post_audit(records)
        if self._watcher is not None and self._watcher.wanted():
            self._watcher.told(records)
        return kept


def _check_kept(done: "Future[None]") -> None:
    """Say so when a record was not kept; in the state's thread."""
    error = done.exception()
    if error is not None:
        log.error("audit record was not kept", error=str(error))


def record_of(
    principal: Principal,
    origin: str,
    action: str,
    arguments: Sequence[Any],
    fault: CommandError | None,
    kind: AuditKind | None = None,
    details: Mapping[str, Any] | None = None,
) -> AuditRecord:
    """Return a record of what was done now, or refused."""
    status, message = (quality.GOOD, "") if fault is None else (fault.status, str(fault))
    told = {**(details or {}), **({"entry": entry} if (entry := client_entry.get()) else {})}
    return AuditRecord(
        now_ticks(),
        principal.name,
        origin,
        action,
        json.dumps(list(arguments), default=str),
        status,
        message,
        kind or kind_of(action),
        json.dumps(told, default=str) if told else "",
        uuid.uuid4().bytes,
    )
