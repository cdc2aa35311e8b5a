"""Everything that a page or a REST call changes: the one way to commands, set-points and conditions."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from address_space.model import LIMITS, Command, Condition, Machine, Variable
from gateways.web.mapping import argument_values, by_machine, stored_value
from server import quality
from server.alarms.ports import AlarmPort
from server.evidence import Evidence
from server.ports import CommandError, GatewayContext, Put
from server.security.principal import Principal

_STOP, _RESET = "EmergencyStop", "ResetEmergencyStop"
_DEFAULT_REASON = "no reason given"
_DEFAULTS = {_STOP: _DEFAULT_REASON, _RESET: ""}
"""A stop without a reason is a stop all the same; a reset without a code asks for one."""

CONDITION_METHODS = (
    "acknowledge", "confirm", "comment", "shelve", "one_shot_shelve", "unshelve", "suppress", "unsuppress",
    "remove_from_service", "place_in_service", "silence", "enable", "disable", "report_false_alarm",
)  # fmt: skip


class Caller(Protocol):
    """Who acts: a session or a token."""

    @property
    def principal(self) -> Principal:
        """Who it is now; raises SignedOut."""
        ...

    @property
    def origin(self) -> str:
        """From where, for the audit trail."""
        ...


class Actions:
    """All raise CommandError, after which nothing has changed, and SignedOut when the login has ended."""

    def __init__(self, context: GatewayContext) -> None:
        self._context = context
        self._plant = context.plant

    def command(self, path: str) -> Command:
        """Return the command at a path."""
        found = self._plant.commands.get(path) or self._plant.commands.get(f"{self._plant.root.path}.{path}")
        if found is None:
            raise CommandError(quality.BAD_METHOD_INVALID, f"there is no command {path}")
        return found

    def variable(self, path: str) -> Variable:
        """Return the variable at a path."""
        found = self._plant.find(path)
        if found is None:
            raise CommandError(quality.BAD_NOT_FOUND, f"there is no variable {path}")
        return found

    def condition(self, path: str) -> Condition:
        """Return the condition at a path."""
        found = self._plant.find_condition(path)
        if found is None:
            raise CommandError(quality.BAD_NOT_FOUND, f"there is no condition {path}")
        return found

    def machine(self, name: str) -> Machine:
        """Return the machine at a path, or below the plant."""
        found = by_machine(self._plant, name)
        if found is None:
            raise CommandError(quality.BAD_NOT_FOUND, f"there is no machine {name}")
        return found

    async def execute(self, path: str, arguments: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        """Carry out a command, its arguments by name; returns its outputs by name."""
        command = self.command(path)
        given = dict(arguments)
        default = _DEFAULTS.get(command.declaration.name)
        for argument in command.declaration.arguments if default is not None else ():
            given.setdefault(argument.name, default)
        values = argument_values(command, given)
        outputs = await self._context.commands.execute(command.path, values, caller.principal, caller.origin)
        names = [argument.name for argument in command.declaration.outputs]
        return dict(zip(names, outputs, strict=True))

    async def emergency_stop(self, machine: str, reason: str, caller: Caller) -> None:
        """Stop a machine, or with `Plant` all of them, and latch."""
        path = f"{self.machine(machine).path}.{_STOP}"
        await self._context.commands.execute(
            self.command(path).path, (reason or _DEFAULT_REASON,), caller.principal, caller.origin
        )

    async def reset_emergency_stop(self, machine: str, code: str, caller: Caller) -> str:
        """Reset in two steps: with an empty code returns the code that confirms it, with that code releases."""
        path = f"{self.machine(machine).path}.{_RESET}"
        outputs = await self._context.commands.execute(
            self.command(path).path, (code,), caller.principal, caller.origin
        )
        return str(outputs[0])

    async def write(self, values: Mapping[str, Any], caller: Caller) -> dict[str, CommandError | None]:
        """Write set-points by path; what is wrong with one before anything is written is raised, none is written.

        Returns what went wrong with each while it was written.
        """
        puts = [Put(variable := self.variable(path), stored_value(variable, value)) for path, value in values.items()]
        principal = caller.principal
        roles = {put.variable.path: put.variable.declaration.write_role for put in puts}
        denied = [put for put in puts if (role := roles[put.variable.path]) is None or not principal.has(role)]
        puts = denied or puts  # who may not write one writes none; that it was tried is on the audit trail
        faults: Sequence[CommandError | None] = await self._context.commands.put_many(puts, principal, caller.origin)
        for fault in faults if denied else ():
            if fault is not None:
                raise fault
        return {put.variable.path: fault for put, fault in zip(puts, faults, strict=True)}

    async def on_condition(
        self,
        path: str,
        method: str,
        caller: Caller,
        *,
        event_id: str = "",
        comment: str | None = None,
        minutes: float | None = None,
    ) -> None:
        """Do with a condition what one of CONDITION_METHODS says.

        `event_id` (hex) names the event that is acknowledged, confirmed, commented or was a false alarm: empty for the
        newest of the condition itself; `minutes` is for `shelve`.
        """
        condition, alarms = self.condition(path), self._alarms
        principal, origin = caller.principal, caller.origin
        if method in ("acknowledge", "confirm", "comment", "report_false_alarm"):
            call = getattr(alarms, "add_comment" if method == "comment" else method)
            await call(condition, self._event(condition, event_id), comment, principal, origin)
        elif method == "shelve":
            if minutes is None:
                raise CommandError(quality.BAD_ARGUMENTS_MISSING, "missing: minutes")
            await alarms.timed_shelve(condition, minutes * 60_000.0, principal, origin, comment)
        elif method in ("enable", "disable"):
            await getattr(alarms, method)(condition, principal, origin)
        elif method in CONDITION_METHODS:
            await getattr(alarms, method)(condition, principal, origin, comment)
        else:
            raise CommandError(quality.BAD_METHOD_INVALID, f"conditions have no method {method}")

    async def set_limit(self, path: str, name: str, value: float, caller: Caller) -> None:
        """Change a limit (`high_high`, `high`, `low`, `low_low`), and keep it."""
        await self._alarms.set_limit(self.condition(path), name, value, caller.principal, caller.origin)

    async def set_limits(self, path: str, values: Mapping[str, float], caller: Caller) -> None:
        """Change several limits of a condition; where their order would be wrong, none is changed."""
        condition, before = self.condition(path), dict(self._alarms.limits(self.condition(path)))
        if unknown := sorted(set(values) - set(before)):
            raise CommandError(quality.BAD_NOT_FOUND, f"{path} has no limit {unknown[0]}")
        wanted = before | dict(values)
        order = [wanted[name] for name in reversed(LIMITS) if name in wanted]
        if order != sorted(set(order)):
            raise CommandError(
                quality.BAD_OUT_OF_RANGE, f"limits rise: {' < '.join(it for it in reversed(LIMITS) if it in wanted)}"
            )
        # In an order in which no limit meets another on the way: upwards the highest goes first.
        upwards = [name for name in LIMITS if name in wanted and wanted[name] > before[name]]
        downwards = [name for name in reversed(LIMITS) if name in wanted and wanted[name] < before[name]]
        for name in (*upwards, *downwards):
            await self._alarms.set_limit(condition, name, wanted[name], caller.principal, caller.origin)

    async def report_picture(self, evidence: Evidence, comment: str | None, caller: Caller) -> None:
        """Report that the alarm which a picture was taken of was none; it may be one of the past."""
        raised = await self._alarms.event_with(evidence.id)
        if raised is None:
            raise CommandError(quality.BAD_NOT_FOUND, f"no alarm of the picture {evidence.id} is kept (any more)")
        await self._alarms.report_false_alarm(
            raised.condition, raised.event_id, comment, caller.principal, caller.origin
        )

    @property
    def _alarms(self) -> AlarmPort:
        if self._context.alarms is None:
            raise CommandError(quality.BAD_NOT_SUPPORTED, "there are no alarms here")
        return self._context.alarms

    def _event(self, condition: Condition, event_id: str) -> bytes:
        if not event_id:
            return self._alarms.state(condition).event_id
        try:
            return bytes.fromhex(event_id)
        except ValueError:
            raise CommandError(quality.BAD_INVALID_ARGUMENT, f"event_id is hexadecimal, not {event_id!r}") from None
