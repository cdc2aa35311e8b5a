"""What operators may do with conditions (OPC 10000-9 5.5 to 5.8): each is checked, kept, told and audited."""

import asyncio
import inspect
import math
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from typing import Any

from asyncua.ua.status_codes import StatusCodes

from address_space.model import Condition, Role
from server.alarms import false_alarms
from server.alarms.limits import Limits
from server.alarms.past import Past
from server.alarms.ports import (
    MAX_TIME_SHELVED_MS,
    ONE_SHOT_SHELVED,
    TIMED_SHELVED,
    UNSHELVED,
    Snapshot,
)
from server.alarms.states import States
from server.evidence import EvidenceRegister
from server.ports import CommandError
from server.security.principal import Principal
from server.store import now_ticks

Audit = Callable[[Principal, str, str, Sequence[Any], CommandError | None], Awaitable[None]]
Work = Callable[[int], "list[Snapshot] | Awaitable[list[Snapshot]] | Future[None]"]
"""What changes states at a time (ticks), or returns what is in force once it is kept; raises CommandError before."""
_LIMITS_ROLE = Role.Engineer


class Operators(Past):
    """The methods of AlarmPort; the engine has the rest."""

    _states: States
    _audit: Audit | None
    _evidence: EvidenceRegister
    _limits: Limits
    _limits_lock: asyncio.Lock
    """Limits are checked against each other: only one changes at a time."""

    def _publish(self, snapshots: Sequence[Snapshot]) -> "Future[None] | None":
        raise NotImplementedError

    async def _reconsider(self, condition: Condition) -> None:
        raise NotImplementedError

    def _set_enabled(self, number: int, enabled: bool) -> None:
        raise NotImplementedError

    async def _kept(self, waiting: "Future[None] | None") -> None:
        raise NotImplementedError

    async def acknowledge(
        self, condition: Condition, event_id: bytes, comment: str | None, principal: Principal, origin: str
    ) -> None:
        """Acknowledge the trunk or a branch, whichever the event was of."""

        def work(now: int) -> list[Snapshot]:
            found = self._of_event(condition, event_id, StatusCodes.BadConditionBranchAlreadyAcked)
            if found.acked:
                raise CommandError(
                    StatusCodes.BadConditionBranchAlreadyAcked, f"{condition.path}: acknowledged already"
                )
            needed = condition.declaration.confirm
            fields = {"acked": True, "acked_time": now, "confirmed": not needed}
            if needed:
                fields["confirmed_time"] = now
            return [self._said(found, "acknowledged", now, comment, principal, **fields)]

        role = condition.declaration.acknowledge_role
        await self._do(condition, "Acknowledge", [event_id.hex(), comment], role, principal, origin, work)

    async def confirm(
        self, condition: Condition, event_id: bytes, comment: str | None, principal: Principal, origin: str
    ) -> None:
        """Confirm the trunk or a branch."""

        def work(now: int) -> list[Snapshot]:
            found = self._of_event(condition, event_id, StatusCodes.BadConditionBranchAlreadyConfirmed)
            if found.confirmed:
                status = StatusCodes.BadConditionBranchAlreadyConfirmed
                raise CommandError(status, f"{condition.path}: nothing waits to be confirmed")
            fields = {"confirmed": True, "confirmed_time": now}
            return [self._said(found, "confirmed", now, comment, principal, **fields)]

        role = condition.declaration.acknowledge_role
        await self._do(condition, "Confirm", [event_id.hex(), comment], role, principal, origin, work)

    async def add_comment(
        self, condition: Condition, event_id: bytes, comment: str | None, principal: Principal, origin: str
    ) -> None:
        """Comment on the trunk or a branch."""

        def work(now: int) -> list[Snapshot]:
            found = self._of_event(condition, event_id, StatusCodes.BadEventIdUnknown)
            return [self._said(found, "commented", now, comment, principal)]

        role = condition.declaration.acknowledge_role
        await self._do(condition, "AddComment", [event_id.hex(), comment], role, principal, origin, work)

    async def report_false_alarm(
        self, condition: Condition, event_id: bytes, comment: str | None, principal: Principal, origin: str
    ) -> None:
        """Keep the pictures of an activation that was none, for training; the event may be one of the past."""

        async def work(now: int) -> list[Snapshot]:
            told = self._states.find(condition, event_id) or await self._past(condition, event_id)
            if told is None:
                message = f"{condition.path} has nothing to do with event {event_id.hex() or 'none'}"
                raise CommandError(StatusCodes.BadEventIdUnknown, message)
            if told.evidence is None:
                raise CommandError(StatusCodes.BadNotFound, f"{condition.path}: there is no picture of that event")
            await asyncio.to_thread(false_alarms.keep, self._evidence, told.evidence, principal, comment)
            found = self._states.find(condition, event_id)  # again: meanwhile it may have been dealt with
            if found is None or not found.enabled:
                return []
            return [self._said(found, "false_alarm", now, comment, principal)]

        role = condition.declaration.acknowledge_role
        await self._do(condition, "ReportFalseAlarm", [event_id.hex(), comment], role, principal, origin, work)

    async def enable(self, condition: Condition, principal: Principal, origin: str) -> None:
        """Evaluate the condition again."""

        def work(now: int) -> list[Snapshot]:
            trunk = self._states.trunks[condition.id]
            if trunk.enabled:
                raise CommandError(StatusCodes.BadConditionAlreadyEnabled, f"{condition.path} is enabled")
            self._set_enabled(condition.id, True)
            return [self._states.change(trunk, "enabled", now, enabled=True, enabled_time=now)]

        await self._do(condition, "Enable", [], Role.Engineer, principal, origin, work)
        await self._reconsider(condition)

    async def disable(self, condition: Condition, principal: Principal, origin: str) -> None:
        """Have the condition raise nothing until it is enabled."""

        def work(now: int) -> list[Snapshot]:
            trunk = self._enabled_trunk(condition, StatusCodes.BadConditionAlreadyDisabled)
            self._set_enabled(condition.id, False)
            return [self._states.change(trunk, "disabled", now, enabled=False, enabled_time=now)]

        await self._do(condition, "Disable", [], Role.Engineer, principal, origin, work)

    async def timed_shelve(
        self, condition: Condition, milliseconds: float, principal: Principal, origin: str, comment: str | None = None
    ) -> None:
        """Shelve for a time, at most a day."""

        def work(now: int) -> list[Snapshot]:
            trunk = self._enabled_trunk(condition)
            if not (math.isfinite(milliseconds) and 0 < milliseconds <= MAX_TIME_SHELVED_MS):
                most = f"{MAX_TIME_SHELVED_MS / 3_600_000:g} h"
                raise CommandError(StatusCodes.BadShelvingTimeOutOfRange, f"the time is over 0 and at most {most}")
            if trunk.shelving == TIMED_SHELVED:
                raise CommandError(StatusCodes.BadConditionAlreadyShelved, f"{condition.path} is shelved")
            until = time.monotonic() + milliseconds / 1000
            fields = {"shelving": TIMED_SHELVED, "shelving_time": now, "unshelve_at": until}
            return [self._said(trunk, "shelved", now, comment, principal, **fields)]

        role = condition.declaration.acknowledge_role
        await self._do(condition, "TimedShelve", [milliseconds, comment], role, principal, origin, work)

    async def one_shot_shelve(
        self, condition: Condition, principal: Principal, origin: str, comment: str | None = None
    ) -> None:
        """Shelve until it is no longer active, at most a day."""

        def work(now: int) -> list[Snapshot]:
            trunk = self._enabled_trunk(condition)
            if trunk.shelving == ONE_SHOT_SHELVED:
                raise CommandError(StatusCodes.BadConditionAlreadyShelved, f"{condition.path} is shelved")
            until = time.monotonic() + MAX_TIME_SHELVED_MS / 1000
            fields = {"shelving": ONE_SHOT_SHELVED, "shelving_time": now, "unshelve_at": until}
            return [self._said(trunk, "shelved", now, comment, principal, **fields)]

        role = condition.declaration.acknowledge_role
        await self._do(condition, "OneShotShelve", [comment], role, principal, origin, work)

    async def unshelve(
        self, condition: Condition, principal: Principal, origin: str, comment: str | None = None
    ) -> None:
        """End shelving."""

        def work(now: int) -> list[Snapshot]:
            trunk = self._enabled_trunk(condition)
            if trunk.shelving == UNSHELVED:
                raise CommandError(StatusCodes.BadConditionNotShelved, f"{condition.path} is not shelved")
            fields = {"shelving": UNSHELVED, "shelving_time": now, "unshelve_at": 0.0}
            return [self._said(trunk, "unshelved", now, comment, principal, **fields)]

        role = condition.declaration.acknowledge_role
        await self._do(condition, "Unshelve", [comment], role, principal, origin, work)

    async def suppress(
        self, condition: Condition, principal: Principal, origin: str, comment: str | None = None
    ) -> None:
        """Suppress; again changes nothing."""
        await self._switch(condition, "Suppress", ("suppressed", True, "suppressed"), principal, origin, comment)

    async def unsuppress(
        self, condition: Condition, principal: Principal, origin: str, comment: str | None = None
    ) -> None:
        """End suppression; again changes nothing."""
        await self._switch(condition, "Unsuppress", ("suppressed", False, "unsuppressed"), principal, origin, comment)

    async def remove_from_service(
        self, condition: Condition, principal: Principal, origin: str, comment: str | None = None
    ) -> None:
        """Take out of service, for maintenance; again changes nothing."""
        change = ("out_of_service", True, "out_of_service")
        await self._switch(condition, "RemoveFromService", change, principal, origin, comment)

    async def place_in_service(
        self, condition: Condition, principal: Principal, origin: str, comment: str | None = None
    ) -> None:
        """Bring back into service; again changes nothing."""
        change = ("out_of_service", False, "in_service")
        await self._switch(condition, "PlaceInService", change, principal, origin, comment)

    async def silence(
        self, condition: Condition, principal: Principal, origin: str, comment: str | None = None
    ) -> None:
        """Silence the horn of an active condition; the next activation sounds again."""
        await self._switch(condition, "Silence", ("silenced", True, "silenced"), principal, origin, comment)

    async def set_limit(self, condition: Condition, name: str, value: float, principal: Principal, origin: str) -> None:
        """Change a limit within the order LowLow < Low < High < HighHigh, and keep it."""

        def work(_now: int) -> "Future[None]":
            self._limits.check(condition, name, value)
            return self._database.post_limit(condition.path, name, value)

        async with self._limits_lock:
            await self._do(condition, f"SetLimit {name}", [value], _LIMITS_ROLE, principal, origin, work)
            self._limits.put(condition, name, value)
        await self._reconsider(condition)

    async def _switch(
        self,
        condition: Condition,
        action: str,
        change: tuple[str, bool, str],
        principal: Principal,
        origin: str,
        comment: str | None,
    ) -> None:
        field, wanted, what = change

        def work(now: int) -> list[Snapshot]:
            trunk = self._enabled_trunk(condition)
            if getattr(trunk, field) == wanted:
                return []
            return [self._said(trunk, what, now, comment, principal, **{field: wanted, f"{field}_time": now})]

        role = condition.declaration.acknowledge_role
        await self._do(condition, action, [comment], role, principal, origin, work)

    async def _do(
        self,
        condition: Condition,
        action: str,
        arguments: Sequence[Any],
        role: Role,
        principal: Principal,
        origin: str,
        work: Work,
    ) -> None:
        """Check the role, work, keep and tell; what became of it is audited."""
        fault: CommandError | None = None
        in_force = "in force but not kept for a restart"
        try:
            if not principal.has(role):
                raise CommandError(
                    StatusCodes.BadUserAccessDenied, f"{action} of {condition.path} needs the role {role}"
                )
            done = work(now_ticks())
            if isinstance(done, Future):
                in_force = "not kept, so it is not in force"
                await asyncio.wrap_future(done)
            else:
                await self._kept(self._publish(await done if inspect.isawaitable(done) else done))
        except CommandError as error:
            fault = error
            raise
        except sqlite3.Error as error:
            message = f"{action} of {condition.path} is {in_force}: {error}"
            fault = CommandError(StatusCodes.BadResourceUnavailable, message)
            raise fault from error
        finally:
            if self._audit is not None:
                await self._audit(principal, origin, f"{condition.path}.{action}", arguments, fault)

    def _of_event(self, condition: Condition, event_id: bytes, over: int) -> Snapshot:
        """Return the trunk or branch of an event; raises CommandError, with `over` where the branch has ended."""
        self._enabled_trunk(condition)
        found = self._states.find(condition, event_id)
        if found is None:
            known = self._states.knows(condition, event_id)
            status = over if known else StatusCodes.BadEventIdUnknown
            raise CommandError(status, f"{condition.path} has nothing to do with event {event_id.hex() or 'none'}")
        return found

    def _enabled_trunk(self, condition: Condition, status: int = StatusCodes.BadConditionDisabled) -> Snapshot:
        trunk = self._states.trunks[condition.id]
        if not trunk.enabled:
            raise CommandError(status, f"{condition.path} is disabled")
        return trunk

    def _said(
        self, before: Snapshot, what: str, now: int, comment: str | None, principal: Principal, **fields: object
    ) -> Snapshot:
        """Change a state by somebody's word, who is named, and with it the comment if there is one."""
        if comment is not None:
            fields |= {"comment": comment, "comment_time": now}
        return self._states.change(before, what, now, client_user=principal.name, **fields)
