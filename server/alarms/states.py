"""The states of conditions and their branches, and how they follow from one another (OPC 10000-9 5.5 to 5.8)."""

import math
import os
import time
from collections.abc import Iterable, Sequence

from address_space.model import LIMITS, AlarmDeclaration, Condition
from server.alarms.ports import ONE_SHOT_SHELVED, UNSHELVED, Snapshot
from server.evidence import Evidence

MOST_BRANCHES = 32
"""Of one condition: an alarm that chatters unseen must not fill the memory; the oldest are taken for acknowledged."""
_MOST_EVENT_IDS = 64
_LIMITED_KINDS = ("level", "non_exclusive_level", "rate_of_change", "deviation")


def has_limits(declaration: AlarmDeclaration) -> bool:
    """Whether the mask of a condition says which limit is exceeded."""
    return declaration.kind.value in _LIMITED_KINDS


def severity_of(declaration: AlarmDeclaration, mask: int) -> int:
    """Return the severity of the worst limit that is exceeded."""
    found = [
        declaration.severities.get(name, declaration.severity) for bit, name in enumerate(LIMITS) if mask >> bit & 1
    ]
    return max(found, default=declaration.severity) if has_limits(declaration) else declaration.severity


class States:
    """Every change returns the Snapshots of what has changed, in order; `now` is in ticks."""

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self.trunks = [Snapshot(condition, severity=condition.declaration.severity) for condition in conditions]
        self.branches: dict[int, dict[bytes, Snapshot]] = {}
        """By condition and BranchId, oldest first."""
        self.shelved: set[int] = set()
        """Conditions whose shelving ends by itself."""
        self._event_ids: dict[int, dict[bytes, bytes]] = {}
        """By condition: which branch an event was of, as far back as the branch goes."""

    def restore(self, snapshots: Iterable[Snapshot]) -> None:
        """Take over what was kept."""
        for snapshot in snapshots:
            number = snapshot.condition.id
            if snapshot.branch:
                self.branches.setdefault(number, {})[snapshot.branch] = snapshot
            else:
                self._put(snapshot)
            self._event_ids.setdefault(number, {})[snapshot.event_id] = snapshot.branch

    def find(self, condition: Condition, event_id: bytes) -> Snapshot | None:
        """Return the trunk or branch that an event was of, None when no event of it had that EventId."""
        branch = self._event_ids.get(condition.id, {}).get(event_id)
        if branch is None:
            return None
        return self.branches.get(condition.id, {}).get(branch) if branch else self.trunks[condition.id]

    def knows(self, condition: Condition, event_id: bytes) -> bool:
        """Whether an EventId was of this condition, though what it was of may be dealt with."""
        return event_id in self._event_ids.get(condition.id, {})

    def activate(self, number: int, mask: int, when: int, now: int, evidence: Evidence | None = None) -> list[Snapshot]:
        """Become active, or exceed other limits; an activation that is not dealt with yet becomes a branch."""
        trunk, found = self.trunks[number], list[Snapshot]()
        declaration = trunk.condition.declaration
        limits = mask if has_limits(declaration) else 0
        severity = severity_of(declaration, mask)
        changes = {"severity": severity, "message": declaration.message, "limits": limits}
        if severity != trunk.severity:
            changes |= {"last_severity": trunk.severity, "severity_time": when}
        if trunk.active:
            return [self.change(trunk, "limit", now, time=when, **changes)]
        if not (trunk.acked and trunk.confirmed):
            found += self._branch_off(trunk, now)
        self._forget(number)
        found.append(
            self.change(
                self.trunks[number],
                "active",
                now,
                time=when,
                active=True,
                active_time=when,
                acked=False,
                acked_time=when,
                confirmed=True,
                silenced=False,
                evidence=evidence,
                **changes,
            )
        )
        return found

    def deactivate(self, number: int, when: int, now: int) -> list[Snapshot]:
        """Return to normal; what was shelved for one activation is so no longer."""
        trunk = self.trunks[number]
        message = f"{trunk.condition.declaration.message}: back to normal"
        found = [
            self.change(trunk, "inactive", now, time=when, active=False, active_time=when, limits=0, message=message)
        ]
        if trunk.shelving == ONE_SHOT_SHELVED:
            found.append(
                self.change(found[0], "unshelved", now, shelving=UNSHELVED, shelving_time=now, unshelve_at=0.0)
            )
        return found

    def change(self, before: Snapshot, what: str, now: int, **fields: object) -> Snapshot:
        """Change a trunk or a branch; a branch that needs no one any more ends with this event."""
        after = before._replace(
            event_id=os.urandom(16), receive_time=now, kind_of_event=what, **{"time": now, **fields}
        )
        after = after._replace(
            retain=after.enabled and (after.active or not after.acked or not after.confirmed),
            suppressed_or_shelved=after.suppressed or after.out_of_service or after.shelving != UNSHELVED,
        )
        number = after.condition.id
        if not after.branch:
            self._put(after)
        elif after.acked and after.confirmed:
            self._end_branch(number, after.branch)
        else:
            self.branches[number][after.branch] = after
        ids = self._event_ids.setdefault(number, {})
        ids[after.event_id] = after.branch
        if len(ids) > _MOST_EVENT_IDS * (1 + len(self.branches.get(number, ()))):
            del ids[next(iter(ids))]
        return after

    def unshelve_due(self) -> float:
        """Return when the next shelving ends (s of the monotonic clock)."""
        return min((self.trunks[number].unshelve_at for number in self.shelved), default=math.inf)

    def end_shelving(self, now: int) -> list[Snapshot]:
        """End what was shelved for long enough."""
        moment = time.monotonic()
        over = [it for it in map(self.trunks.__getitem__, self.shelved) if it.unshelve_at <= moment]
        fields = {"shelving": UNSHELVED, "shelving_time": now, "unshelve_at": 0.0}
        return [self.change(it, "unshelved", now, **fields) for it in over]

    def _put(self, trunk: Snapshot) -> None:
        number = trunk.condition.id
        self.trunks[number] = trunk
        if trunk.unshelve_at:
            self.shelved.add(number)
        else:
            self.shelved.discard(number)

    def _branch_off(self, trunk: Snapshot, now: int) -> list[Snapshot]:
        number, branch = trunk.condition.id, os.urandom(16)
        below = self.branches.setdefault(number, {})
        found: list[Snapshot] = []
        if len(below) >= MOST_BRANCHES:
            found.append(self.change(next(iter(below.values())), "acknowledged", now, acked=True, confirmed=True))
        ids = self._event_ids.setdefault(number, {})
        for event_id, of in ids.items():
            if not of:
                ids[event_id] = branch
        below[branch] = trunk._replace(branch=branch)
        return [*found, self.change(below[branch], "branch", now, time=trunk.time)]

    def _end_branch(self, number: int, branch: bytes) -> None:
        below = self.branches[number]
        del below[branch]
        if not below:
            del self.branches[number]

    def _forget(self, number: int) -> None:
        """Forget the EventIds of activations that are over and dealt with."""
        ids = self._event_ids.get(number)
        if ids:
            below = self.branches.get(number, {})
            self._event_ids[number] = {event_id: of for event_id, of in ids.items() if of in below}
