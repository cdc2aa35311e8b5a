"""What a principal may read of the plant, as plain JSON forms: for REST calls and pages."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from address_space.model import AlarmKind, Machine, Role, Variable
from gateways.web import mapping
from gateways.web.events import alarm_form, audit_form
from gateways.web.history import aggregated
from gateways.web.mapping import Json
from server import quality
from server.alarms.ports import AlarmPort
from server.audit_trail import Key, key
from server.evidence import Evidence
from server.history import Historian, HistoryError, ReadRequest
from server.opcua.history.policy import HistoryPolicy
from server.ports import CommandError, GatewayContext
from server.security.principal import Principal

AUDITORS = (Role.Supervisor, Role.SecurityAdmin)
EVIDENCE_ROLE = Role.Observer
"""Who may see pictures: people may be in them."""
SAMPLES = 10
_LEAST, _MOST = -(2**63), 2**63 - 1


class Reading:
    """All raise CommandError where something is not there, or the principal may not see it."""

    def __init__(self, context: GatewayContext) -> None:
        self._context = context
        self._plant = context.plant
        self._store = context.store
        self._history_role = HistoryPolicy().read_role

    def may_read(self, variable: Variable, principal: Principal) -> bool:
        """Whether a principal may see a variable's value."""
        return principal.has(variable.declaration.read_role)

    def variables(self, paths: Iterable[str], principal: Principal) -> Sequence[Variable]:
        """Return the variables at or below `paths` (none: of the whole plant) that may be read."""
        chosen = tuple(paths)
        try:
            found = mapping.under(self._plant, chosen) if chosen else self._plant.variables
        except KeyError as error:
            message = f"there is no variable or machine {error.args[0]}"
            raise CommandError(quality.BAD_NOT_FOUND, message) from None
        return tuple(it for it in found if self.may_read(it, principal))

    def variable(self, path: str, principal: Principal) -> Variable:
        """Return one variable that may be read."""
        found = self._plant.find(path)
        if found is None:
            raise CommandError(quality.BAD_NOT_FOUND, f"there is no variable {path}")
        if not self.may_read(found, principal):
            role = found.declaration.read_role
            raise CommandError(quality.BAD_USER_ACCESS_DENIED, f"reading {path} needs the role {role}")
        return found

    def machine(self, name: str) -> Machine:
        """Return the machine at a path, or below the plant."""
        found = mapping.by_machine(self._plant, name)
        if found is None:
            raise CommandError(quality.BAD_NOT_FOUND, f"there is no machine {name}")
        return found

    def values(self, variables: Sequence[Variable]) -> list[Json]:
        """Return the values of variables as they are now."""
        return mapping.value_forms(variables, *self._columns(variables))

    async def many_values(self, variables: Sequence[Variable]) -> bytes:
        """Return the same as JSON, made beside the event loop: there may be 100,000."""
        columns, moment = self._columns(variables), mapping.now()
        return await asyncio.to_thread(lambda: mapping.dumps_values(moment, variables, columns))

    def _columns(self, variables: Sequence[Variable]) -> mapping.Columns:
        return mapping.columns(self._store, np.fromiter((it.id for it in variables), np.int64, len(variables)))

    async def raw(
        self, path: str, start: int, end: int, limit: int, principal: Principal, *, newest_first: bool = False
    ) -> list[Json]:
        """Return samples with start <= time < end (ticks), at most `limit`."""
        variable = self._historic(path, principal)
        request = ReadRequest(variable.id, start, end, limit, newest_first)
        samples = await self._historian.read(request)
        return await asyncio.to_thread(mapping.samples_form, variable, samples)

    async def aggregate(
        self, path: str, name: str, span: tuple[int, int], seconds: float, principal: Principal
    ) -> list[Json]:
        """Return one value an interval of `seconds` from start to end (ticks), as OPC 10000-13 has it."""
        variable = self._historic(path, principal)
        return await aggregated(self._historian, variable, name, span, seconds)

    async def last_samples(self, machine: Machine, principal: Principal) -> list[Json]:
        """Return the last ten samples of a machine, newest first.

        Each is a moment at which one of its variables was sampled, with the value that every variable had then.
        """
        variables = [it for it in machine.variables.values() if self.may_read(it, principal)]
        self._check_history(principal)
        requests = [ReadRequest(it.id, _LEAST, _MOST, SAMPLES, reverse=True) for it in variables]
        found = await self._historian.read_many(requests)
        stamps = np.unique(np.concatenate([it.stamps for it in found] or [np.zeros(0, np.int64)]))[-SAMPLES:][::-1]
        columns = [mapping.samples_form(variable, it) for variable, it in zip(variables, found, strict=True)]
        rows: list[Json] = []
        for moment in stamps.tolist():
            values: Json = {}
            for variable, samples, forms in zip(variables, found, columns, strict=True):
                places = np.flatnonzero(samples.stamps <= moment)  # newest first
                values[variable.name] = forms[int(places[0])] if len(places) else None
            rows.append({"time": mapping.iso(moment), "values": values})
        return rows

    def alarms(self, *, all_of_them: bool = False) -> list[Json]:
        """Return the standing conditions and branches, what needs somebody first; or every condition there is."""
        port, now = self._alarms, time.monotonic()
        found = port.retained()
        if all_of_them:
            known = {it.condition.id for it in found if not it.branch}
            found = [*found, *(port.state(it) for it in self._plant.conditions if it.id not in known)]
        found = sorted(
            found, key=lambda it: (it.suppressed_or_shelved, it.acked, not it.active, -it.severity, -it.time)
        )
        return [alarm_form(it, port.limits(it.condition), now) for it in found]

    def alarm(self, path: str) -> Json:
        """Return one condition with its branches."""
        condition = self._plant.find_condition(path)
        if condition is None:
            raise CommandError(quality.BAD_NOT_FOUND, f"there is no condition {path}")
        port, now = self._alarms, time.monotonic()
        limits = port.limits(condition)
        branches = [alarm_form(it, limits, now) for it in port.branches(condition)]
        return {**alarm_form(port.state(condition), limits, now), "branches": branches}

    async def alarm_events(self, start: int, end: int, limit: int) -> list[Json]:
        """Return transitions of conditions with start <= time < end (ticks), oldest first."""
        now = time.monotonic()
        found = await self._alarms.history(start, end, limit)
        return [alarm_form(it, {}, now) for it in found]

    async def audit(
        self, span: tuple[int, int], limit: int, principal: Principal, *, newest_first: bool, after: Key | None
    ) -> tuple[list[Json], Key | None]:
        """Return the audit trail with start <= time < end (ticks), and where to go on; for those who may audit."""
        if not any(principal.has(role) for role in AUDITORS):
            roles = " or ".join(AUDITORS)
            raise CommandError(quality.BAD_USER_ACCESS_DENIED, f"the audit trail needs the role {roles}")
        trail = self._context.audit
        if trail is None:
            raise CommandError(quality.BAD_NOT_SUPPORTED, "there is no audit trail here")
        found = await asyncio.to_thread(trail.read, *span, limit, newest_first=newest_first, after=after)
        return [audit_form(it) for it in found], key(found[-1]) if len(found) == limit else None

    def evidence(self, principal: Principal) -> list[str]:
        """Return the ids of all pictures of alarms, newest first."""
        self._check_evidence(principal)
        return [] if self._context.evidence is None else self._context.evidence.ids()[::-1]

    def find_evidence(self, id_: str, principal: Principal) -> Evidence:
        """Return what is known of a picture."""
        self._check_evidence(principal)
        found = None if self._context.evidence is None else self._context.evidence.find(id_)
        if found is None:
            raise CommandError(quality.BAD_NOT_FOUND, f"there is no picture {id_} (any more)")
        return found

    def acknowledge_role(self, evidence: Evidence) -> Role | None:
        """Return the role that has a say about the alarms of a picture; None for a rule that the plant has no more."""
        path = f"{evidence.camera}.{evidence.rule}"
        found = (it for it in self._plant.conditions if it.declaration.kind is AlarmKind.VISION)
        return next((it.declaration.acknowledge_role for it in found if it.input and it.input.path == path), None)

    async def picture(self, id_: str, principal: Principal, *, clean: bool) -> bytes:
        """Return a JPEG, with boxes or clean."""
        found, register = self.find_evidence(id_, principal), self._context.evidence
        assert register is not None  # noqa: S101  it has found it
        try:
            return await asyncio.to_thread(register.read, found, clean=clean)
        except FileNotFoundError:
            raise CommandError(quality.BAD_NOT_FOUND, f"the picture {id_} is not kept any more") from None
        except (OSError, ValueError) as error:
            raise CommandError(quality.BAD_RESOURCE_UNAVAILABLE, f"the picture {id_}: {error}") from error

    def health(self) -> Json:
        """Return how the server's parts are doing, as the tree shows it."""
        found = self._plant.find_machine(f"{self._plant.root.path}.ServerDiagnostics")
        parts: list[Json] = []
        for machine in () if found is None else self._plant.children(found):
            variables = list(machine.variables.values())
            values: dict[str, Any] = {
                it.name: form["value"] for it, form in zip(variables, self.values(variables), strict=True)
            }
            parts.append({"part": machine.name, **values})
        broken = [it["part"] for it in parts if it.get("State") in ("Restarting", "Failed")]
        return {"status": "degraded" if broken else "ok", "broken": broken, "time": mapping.now(), "parts": parts}

    def _historic(self, path: str, principal: Principal) -> Variable:
        variable = self.variable(path, principal)
        self._check_history(principal)
        return variable

    def _check_history(self, principal: Principal) -> None:
        if not principal.has(self._history_role):
            raise CommandError(quality.BAD_USER_ACCESS_DENIED, f"history needs the role {self._history_role}")

    def _check_evidence(self, principal: Principal) -> None:
        if not principal.has(EVIDENCE_ROLE):
            raise CommandError(quality.BAD_USER_ACCESS_DENIED, f"pictures need the role {EVIDENCE_ROLE}")

    @property
    def _historian(self) -> Historian:
        found = self._context.history()
        if found is None:
            raise HistoryError("no history is kept here (setting historian.enabled)")
        return found

    @property
    def _alarms(self) -> AlarmPort:
        if self._context.alarms is None:
            raise CommandError(quality.BAD_NOT_SUPPORTED, "there are no alarms here")
        return self._context.alarms
