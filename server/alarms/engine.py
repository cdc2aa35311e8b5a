"""Follows the journal and raises conditions: columns say what is exceeded, Python runs for what changes alone."""

import asyncio
import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from address_space.model import AlarmKind, Condition, Plant, Variable
from server import logs
from server.alarms.database import AlarmDatabase
from server.alarms.evaluation import Ids, Stream, groups
from server.alarms.limits import Limits
from server.alarms.operators import Audit, Operators
from server.alarms.ports import Listener, Snapshot
from server.alarms.states import States, has_limits
from server.alarms.statistics import DAY, Statistics
from server.alarms.watched import Watched
from server.evidence import Evidence, EvidenceRegister
from server.store import Batch, Cursor, Store, now_ticks
from server.store.ticks import TICKS_PER_SECOND

log = logs.get(__name__)

_LOOK_S = 0.5
"""How often conditions are looked at that no variable tells."""
_PAUSE_S = 0.005
"""Between two looks at the journal: many small changes in a row cost one."""
_SHOW_S = 2.0
_PRUNE_S = 3600.0
_KEEP_EVENTS_S = 30 * 86_400.0
_NEVER = np.iinfo(np.int64).max
_YIELD_AFTER = 100
"""Transitions after which others have their turn."""
_OTHERWISE = 0x80
"""Mask of what is active by what its declaration was before: no limit, so that evaluation tells anything."""
_TURN_S = 0.001


class Alarms(Operators):
    """The AlarmPort of a server; the constructor raises StartError when the state cannot be kept."""

    def __init__(
        self,
        plant: Plant,
        store: Store,
        database: Path,
        *,
        expires: int | None = None,
        audit: Audit | None = None,
        keep_events: float = _KEEP_EVENTS_S,
        evidence: EvidenceRegister | None = None,
    ) -> None:
        self._plant = plant
        self._store = store
        self._database = AlarmDatabase(database)
        self.listeners: list[Listener] = []
        self._states = States(plant.conditions)
        self._states.restore(self._database.states(plant))
        self._statistics = Statistics(plant, store)
        self._statistics.restore(self._database.raised(now_ticks() - DAY))
        self._watched = Watched(plant, store, expires)
        self._audit = audit
        self._evidence = evidence or EvidenceRegister()
        self._evidence.standing = self._stands
        self._limits_lock = asyncio.Lock()
        self._keep_events = keep_events
        found = groups(plant)
        self._limits = Limits(found)
        self._limits.restore(plant, self._database.limits())
        count = len(plant.conditions)
        single = [group for group in found if len(group.inputs) == 1]
        several = [group for group in found if len(group.inputs) > 1]
        self._streams = Stream(plant, single, by_time=False), Stream(plant, several, by_time=True)
        self._raw = np.zeros(count, np.uint8)
        """What evaluation says; `_shown` is what the states say, after delays."""
        self._shown = np.zeros(count, np.uint8)
        self._quality = np.zeros(count, np.uint32)
        self._enabled = np.ones(count, np.bool_)
        self._due = np.full(count, _NEVER, np.int64)
        """When a delay ends, in ticks."""
        delays = [
            (it.declaration.on_delay + it.declaration.within, it.declaration.off_delay) for it in plant.conditions
        ]
        self._delays = np.array(delays, np.float64).reshape(count, 2).T * TICKS_PER_SECOND
        for number, trunk in enumerate(self._states.trunks):
            self._raw[number] = self._shown[number] = _mask_of(trunk)
            self._quality[number], self._enabled[number] = trunk.quality, trunk.enabled
        self._looked = self._counted = self._pruned = 0.0

    async def run(self) -> None:
        """Follow the journal until cancelled."""
        single, several = self._streams
        cursor = self._store.journal.cursor("alarms", single.used | several.used)
        try:
            lost = cursor.lost
            await self._see_all()
            while True:
                batch = cursor.read()
                if cursor.lost != lost:
                    log.warning("alarms have missed changes: looking at all values", rows=cursor.lost - lost)
                    lost = cursor.lost
                    await self._see_all()
                await self._see(batch)
                await self._keep_time()
                if not cursor.lag:
                    await self._wait(cursor)
        finally:
            cursor.close()

    def state(self, condition: Condition) -> Snapshot:
        """Return the trunk as it is."""
        return self._states.trunks[condition.id]

    def branches(self, condition: Condition) -> Sequence[Snapshot]:
        """Return the branches that are not dealt with yet, oldest first."""
        return tuple(self._states.branches.get(condition.id, {}).values())

    def retained(self) -> list[Snapshot]:
        """Return every trunk and branch with Retain."""
        found = [trunk for trunk in self._states.trunks if trunk.retain]
        for number, below in self._states.branches.items():
            if self._states.trunks[number].enabled:
                found += below.values()
        return found

    def limits(self, condition: Condition) -> Mapping[str, float]:
        """Return the limits in force by name."""
        return self._limits.of(condition)

    def snapshot_uri(self, snapshot: Snapshot) -> str:
        """Return where its picture is had over HTTP; empty for one without evidence."""
        return "" if snapshot.evidence is None else self._evidence.uri(snapshot.evidence)

    def close(self) -> None:
        """Keep what is under way, and let go of file and thread."""
        self._database.close()

    async def _wait(self, cursor: Cursor) -> None:
        """Wait for the journal, or for the end of a delay."""
        delay = (int(self._due.min(initial=_NEVER)) - now_ticks()) / TICKS_PER_SECOND
        shelved = self._states.unshelve_due() - time.monotonic()
        seconds = min(_LOOK_S, max(0.0, min(delay, shelved)))
        try:
            async with asyncio.timeout(seconds):
                await cursor.wait()
        except TimeoutError:
            return
        await asyncio.sleep(_PAUSE_S)

    async def _see_all(self) -> None:
        """Look at the present values of all inputs."""
        for stream in self._streams:
            ids, store = stream.ids, self._store
            stream.note(ids, store.values(ids), store.statuses(ids), store.source_timestamps(ids))
            await self._evaluate(stream, ids)

    async def _see(self, batch: Batch) -> None:
        """Look at changes, one after another."""
        if not len(batch):
            return
        for stream in self._streams:
            rows = np.flatnonzero(stream.used[batch.ids])
            if not len(rows):
                continue
            own = batch.take(rows)
            numbers = self._store.floats(own)
            began = time.monotonic()
            for part in stream.parts(own):
                ids = own.ids[part]
                news = stream.news(ids, numbers[part], own.statuses[part])
                stream.note(ids, numbers[part], own.statuses[part], own.source_timestamps[part])
                if len(news):
                    await self._evaluate(stream, news)
                if time.monotonic() - began > _TURN_S:
                    await asyncio.sleep(0)
                    began = time.monotonic()

    async def _evaluate(self, stream: Stream, ids: Ids) -> None:
        found: list[tuple[Ids, NDArray[np.uint8], NDArray[np.uint32], Ids]] = []
        for group, places in stream.touched(ids):
            rows = group.rows[places]
            masks, qualities = group.evaluate(places, stream.values, self._raw[rows])
            found.append((rows, masks, qualities, group.stamps(places, stream.values)))
        if found:
            rows, masks, qualities, stamps = map(np.concatenate, zip(*found, strict=True))
            await self._apply(rows, masks, qualities, stamps)

    async def _apply(
        self, rows: Ids, masks: NDArray[np.uint8], qualities: NDArray[np.uint32] | None, stamps: Ids | None
    ) -> None:
        """Take note of what evaluation says of the conditions `rows`, and tell what follows at once."""
        now = now_ticks()
        self._raw[rows] = masks
        turned = rows[:0]
        if qualities is not None:
            turned = rows[self._quality[rows] != qualities]
            self._quality[rows] = qualities
        shown = self._shown[rows]
        differs = (masks != shown) & self._enabled[rows]
        turns = (masks != 0) != (shown != 0)
        delays = np.where(masks != 0, self._delays[0, rows], self._delays[1, rows])
        waits = differs & turns & (delays > 0)
        due = self._due[rows]
        self._due[rows] = np.where(waits, np.where(due == _NEVER, now + delays.astype(np.int64), due), _NEVER)
        if not (differs.any() or len(turned)):
            return
        ready = np.flatnonzero((differs & ~waits) | (waits & (self._due[rows] <= now)))
        times = np.full(len(rows), now) if stamps is None else np.where(stamps > 0, stamps, now)
        ready = ready[np.argsort(times[ready], kind="stable")]
        qualified = (self._qualify(number, now) for number in turned.tolist())
        changed = zip(rows[ready].tolist(), times[ready].tolist(), strict=True)
        turned_to = (self._turn(number, time_, now) for number, time_ in changed)
        await self._publish_all(itertools.chain(qualified, turned_to))

    async def _publish_all(self, steps: Iterable[Sequence[Snapshot]]) -> None:
        """Publish what each of many steps has changed; others have their turn meanwhile."""
        found: list[Snapshot] = []
        for count, snapshots in enumerate(steps, 1):
            found += snapshots
            if count % _YIELD_AFTER == 0:
                self._publish(found)
                found = []
                await asyncio.sleep(0)
        self._publish(found)

    def _turn(self, number: int, time_: int, now: int) -> list[Snapshot]:
        """Bring the state of a condition in line with what evaluation says."""
        mask = int(self._raw[number])
        self._due[number] = _NEVER
        if mask == self._shown[number] or not self._enabled[number]:
            return []
        was, self._shown[number] = int(self._shown[number]), mask
        if mask:
            return self._states.activate(number, mask, time_, now, self._taken(number, time_))
        return self._states.deactivate(number, time_, now) if was else []

    def _stands(self, variable: Variable) -> bool:
        """Whether a vision alarm on a variable is active."""
        found = (it for it in self._states.trunks if it.condition.declaration.kind is AlarmKind.VISION)
        return any(it.active and it.condition.input is variable for it in found)

    def _taken(self, number: int, time_: int) -> Evidence | None:
        """Return the evidence of an activation, of a condition that has some."""
        condition = self._states.trunks[number].condition
        if condition.declaration.kind is not AlarmKind.VISION or condition.input is None:
            return None
        return self._evidence.take(condition.input, time_)

    def _qualify(self, number: int, now: int) -> list[Snapshot]:
        trunk, quality = self._states.trunks[number], int(self._quality[number])
        if trunk.quality == quality:
            return []
        if trunk.retain and (trunk.quality ^ quality) & 0xC0000000:
            return [self._states.change(trunk, "quality", now, quality=quality, quality_time=now)]
        self._states.trunks[number] = trunk._replace(quality=quality, quality_time=now)
        return []

    async def _keep_time(self) -> None:
        """Do what is due: delays, shelving, conditions that no variable tells, figures, old events."""
        now, moment = now_ticks(), time.monotonic()
        over = np.flatnonzero(self._due <= now).tolist()
        await self._publish_all(self._turn(number, now, now) for number in over if self._due[number] <= now)
        self._publish(self._states.end_shelving(now))
        if moment - self._looked >= _LOOK_S:
            self._looked = moment
            if len(self._watched.rows):
                await self._apply(self._watched.rows, self._watched.masks(now), None, None)
        if moment - self._counted >= _SHOW_S:
            self._counted = moment
            branches = itertools.chain.from_iterable(below.values() for below in self._states.branches.values())
            self._statistics.show(self._states.trunks, sum(not it.acked for it in branches), now)
        if moment - self._pruned >= _PRUNE_S:
            self._pruned = moment
            self._database.post_prune(now - int(self._keep_events * TICKS_PER_SECOND))

    def _publish(self, snapshots: Sequence[Snapshot]) -> "Future[None] | None":
        """Keep Snapshots and tell everybody; returns what is done once they are on the disk."""
        if not snapshots:
            return None
        kept = self._database.post(snapshots)
        self._statistics.note(snapshots, now_ticks())
        for listener in self.listeners:
            try:
                listener(snapshots)
            except Exception:  # one consumer's trouble is not that of the others
                log.exception("an alarm could not be passed on")
        return kept

    async def _reconsider(self, condition: Condition) -> None:
        """Evaluate a condition again, after it was enabled or its limits have changed."""
        group, place = self._limits.place(condition)
        rows = np.array([condition.id])
        if group is None:
            await self._apply(rows, self._raw[rows], None, None)
            return
        values = next(stream.values for stream in self._streams if group in stream.groups)
        masks, _ = group.evaluate(np.array([place]), values, self._raw[rows])
        await self._apply(rows, masks, None, None)

    def _set_enabled(self, number: int, enabled: bool) -> None:
        self._enabled[number] = enabled
        self._due[number] = _NEVER

    async def _kept(self, waiting: "Future[None] | None") -> None:
        if waiting is not None:
            await asyncio.wrap_future(waiting)


def _mask_of(trunk: Snapshot) -> int:
    """Return the mask that a kept state had, as far as its declaration still says so."""
    if not trunk.active:
        return 0
    if has_limits(trunk.condition.declaration):
        return trunk.limits or _OTHERWISE
    return _OTHERWISE if trunk.limits else 1
