"""Monitored items made, changed and deleted (OPC 10000-4 5.12)."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.common.utils import ServiceError
from numpy.typing import NDArray

from address_space.model import BuiltinType, Variable
from server.opcua.events.delivery import Delivery
from server.opcua.events.filters import EventFilters
from server.opcua.events.types import EventTypes
from server.opcua.locales import Locale
from server.opcua.pace import AT_ONCE, Steps
from server.opcua.rights import Rights
from server.opcua.space import PlantAddressSpace
from server.opcua.subscriptions import checks
from server.opcua.subscriptions.checks import RefusedItemError
from server.opcua.subscriptions.decode import Creation, Parameters
from server.opcua.subscriptions.event_items import EventItem
from server.opcua.subscriptions.feed import Feed
from server.opcua.subscriptions.limits import Limits
from server.opcua.subscriptions.sources import Sources
from server.opcua.subscriptions.subscription import Subscription
from server.opcua.subscriptions.table import DISABLED, REPORTING, ItemTable
from server.quality import GOOD
from server.security.principal import Principal

_CODES = ua.StatusCodes
_VALUE = int(ua.AttributeIds.Value)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A MonitoredItemCreateResult or MonitoredItemModifyResult; the sampling interval is in ms."""

    status: int = GOOD
    item_id: int = 0
    sampling: float = 0.0
    queue_size: int = 0
    filter_result: Any = None


class Monitoring:
    """The items of all subscriptions."""

    def __init__(
        self,
        space: PlantAddressSpace,
        rights: Rights,
        table: ItemTable,
        feed: Feed,
        delivery: Delivery,
        limits: Limits,
    ) -> None:
        self.filters = EventFilters(EventTypes(space))
        self._space = space
        self._delivery = delivery
        self._rights = rights
        self._table = table
        self._feed = feed
        self._limits = limits
        self._sources = Sources(space, rights, feed)
        self._last_id = 0

    def create(
        self, subscription: Subscription, items: list[Creation], stamps: int, principal: Principal
    ) -> Steps[list[Outcome]]:
        """Make items; `stamps` is the encoding mask of the timestamps that are asked for.

        Raises ServiceError when the subscription is deleted meanwhile.
        """
        self._feed.open()
        rows: list[int] = []
        outcomes: list[Outcome] = []
        for wanted in items:
            outcomes.append(self._create(subscription, wanted, stamps, principal, rows))
            if not len(outcomes) % AT_ONCE:
                yield
                if subscription.deleted:
                    raise ServiceError(_CODES.BadSubscriptionIdInvalid)
        self._feed.drain(time.monotonic())  # what came before an item's first sample is none of its business
        subscription.rows_changed()
        self._table.changed()
        alive = set(subscription.items.values()) if len(rows) > AT_ONCE else set(rows)
        self._feed.start(np.array([row for row in rows if row in alive], np.int64))
        self._close_unused()
        return outcomes

    def _create(
        self, subscription: Subscription, wanted: Creation, stamps: int, principal: Principal, rows: list[int]
    ) -> Outcome:
        variable = self._space.variable_of(wanted.node)
        numeric = variable is not None and wanted.attribute == _VALUE
        try:
            checks.check_attribute(self._space, wanted, variable if numeric else None)
            limits = self._limits
            if len(subscription.items) >= limits.items_per_subscription or self._table.count >= limits.items:
                raise RefusedItemError(_CODES.BadTooManyMonitoredItems)
            if checks.is_event_item(wanted):
                return self._create_event(subscription, wanted, stamps)
            item = ua.ReadValueId(wanted.node, ua.AttributeIds(wanted.attribute), wanted.index_range, wanted.encoding)
            if not self._rights.may_read(item, principal):
                raise RefusedItemError(_CODES.BadUserAccessDenied)
            computed = not numeric and self._sources.is_computed(item)
            if computed and len(self._feed.polled) >= limits.polled_items:
                raise RefusedItemError(_CODES.BadTooManyMonitoredItems)
            if variable is not None and numeric and variable.declaration.type is not BuiltinType.String:
                if wanted.encoding.Name:
                    raise RefusedItemError(_CODES.BadDataEncodingInvalid)
                return self._create_fed(subscription, wanted, stamps, variable, rows)
            present = self._rights.read(item, principal)
            checks.check_encoding(wanted, self._space.read_attribute_value(item.NodeId, item.AttributeId))
            known = variable if numeric else None
            trigger, deadband = checks.data_filter(wanted.parameters.filter, known, wanted.attribute, present.Value)
        except RefusedItemError as error:
            return Outcome(error.status, filter_result=error.filter_result)
        row, outcome = self._row(subscription, wanted, stamps)
        self._table.trigger[row], self._table.deadband[row] = trigger, deadband
        single = self._sources.value_item(row, subscription, item, known)
        subscription.singles[row] = single
        if computed:
            self._table.sampling[row] = max(self._table.sampling[row], limits.poll)
            outcome = replace(outcome, sampling=float(self._table.sampling[row]) * 1000)
        if wanted.mode != DISABLED:
            single.start()
        return outcome

    def _create_fed(
        self, subscription: Subscription, wanted: Creation, stamps: int, variable: Variable, rows: list[int]
    ) -> Outcome:
        trigger, deadband = checks.data_filter(wanted.parameters.filter, variable, _VALUE, None)
        row, outcome = self._row(subscription, wanted, stamps)
        table = self._table
        table.variable[row], table.builtin[row] = variable.id, int(variable.declaration.type)
        table.trigger[row], table.deadband[row] = trigger, deadband
        if wanted.mode != DISABLED:
            table.fed[row] = True
            rows.append(row)
        return outcome

    def _create_event(self, subscription: Subscription, wanted: Creation, stamps: int) -> Outcome:
        if not checks.notifies(self._space, wanted.node):
            raise RefusedItemError(_CODES.BadAttributeIdInvalid)
        filter_ = checks.event_filter(self.filters, wanted.parameters.filter, self._limits, subscription.locale)
        row, outcome = self._row(subscription, wanted, stamps)
        item = EventItem(row, subscription, wanted.node, filter_)
        item.release = lambda: self._delivery.remove(item)
        self._delivery.add(item)
        subscription.singles[row] = subscription.events[row] = item
        return Outcome(GOOD, outcome.item_id, 0.0, outcome.queue_size, ua.EventFilterResult())

    def _row(self, subscription: Subscription, wanted: Creation, stamps: int) -> tuple[int, Outcome]:
        table, parameters = self._table, wanted.parameters
        row = table.new()
        self._last_id = self._last_id % (2**32 - 1) + 1
        table.subscription[row], table.item_id[row] = subscription.id, self._last_id
        table.mode[row], table.reporting[row] = wanted.mode, wanted.mode == REPORTING
        subscription.items[self._last_id] = row
        sampling, queue_size = self._set(subscription, row, parameters, stamps, event=checks.is_event_item(wanted))
        return row, Outcome(GOOD, self._last_id, sampling, queue_size)

    def _set(
        self, subscription: Subscription, row: int, given: Parameters, stamps: int, *, event: bool
    ) -> tuple[float, int]:
        """Set an item's parameters but its filter; returns sampling interval (ms) and queue size as revised."""
        table, limits = self._table, self._limits
        asked = limits.event_queue(given.queue_size) if event else given.queue_size
        before = int(table.queue_size[row])
        subscription.queued_rows -= before if before > 1 else 0
        most = limits.most_events if event else limits.queue_size
        size = max(1, min(asked, most, limits.queued_rows - subscription.queued_rows))
        subscription.queued_rows += size if size > 1 else 0
        sampling = 0.0 if event else self._sampling(given.sampling, subscription)
        table.handle[row], table.stamps[row], table.sampling[row] = given.handle, stamps, sampling
        table.queue_size[row], table.discard_oldest[row] = size, given.discard_oldest
        table.due[row] = time.monotonic() + sampling
        return sampling * 1000, size

    def _sampling(self, asked_ms: float, subscription: Subscription) -> float:
        """Return a revised sampling interval in seconds; 0: each change is a sample (OPC 10000-4 5.12.1.2)."""
        if math.isnan(asked_ms) or asked_ms == 0:
            return 0.0
        if asked_ms < 0:
            return subscription.interval
        return min(max(asked_ms / 1000, self._limits.min_sampling), self._limits.max_sampling)

    def modify(
        self, subscription: Subscription, items: list[tuple[int, Parameters]], stamps: int
    ) -> Steps[list[Outcome]]:
        """Change items' parameters."""
        self._feed.drain(time.monotonic())
        outcomes: list[Outcome] = []
        for item_id, given in items:
            outcomes.append(self._modify(subscription, item_id, given, stamps))
            if not len(outcomes) % AT_ONCE:
                self._table.changed()
                yield
        self._table.changed()
        return outcomes

    def _modify(self, subscription: Subscription, item_id: int, given: Parameters, stamps: int) -> Outcome:
        row = subscription.items.get(item_id)
        if row is None:
            return Outcome(_CODES.BadMonitoredItemIdInvalid)
        table, single, result = self._table, subscription.singles.get(row), None
        try:
            if isinstance(single, EventItem):
                new = checks.event_filter(self.filters, given.filter, self._limits, subscription.locale)
                self._delivery.change(single, new)
                result = ua.EventFilterResult()
            else:
                variable, attribute, value = self._sources.watched(row, single)
                trigger, deadband = checks.data_filter(given.filter, variable, attribute, value)
                table.trigger[row], table.deadband[row] = trigger, deadband
        except RefusedItemError as error:
            return Outcome(error.status, filter_result=error.filter_result)
        before, one = int(table.queue_size[row]), np.array([row])
        sampling, size = self._set(subscription, row, given, stamps, event=isinstance(single, EventItem))
        if single is not None:
            single.resize()
        elif before == 1 < size:
            subscription.move_to_log(one)
        elif size == 1 < before:
            table.dirty[row] = bool(table.queued[row])
            subscription.log.drop(one)
        elif size < before:
            subscription.log.resize()
        if single is None and table.held[row]:
            table.due[row] = 0.0  # what was held is sampled at once
        return Outcome(GOOD, item_id, sampling, size, result)

    def set_mode(self, subscription: Subscription, mode: int, item_ids: list[int]) -> list[int]:
        """Set items' MonitoringMode; returns StatusCodes (OPC 10000-4 5.12.4)."""
        self._feed.open()
        self._feed.drain(time.monotonic())
        table = self._table
        rows = [subscription.items.get(item_id) for item_id in item_ids]
        started: list[int] = []
        refused: list[int] = []
        disabled: list[int] = []
        for row in rows:
            if row is None or table.mode[row] == mode:
                continue
            single, before = subscription.singles.get(row), int(table.mode[row])
            table.mode[row], table.reporting[row] = mode, mode == REPORTING
            if single is None:
                table.fed[row] = mode != DISABLED and not table.denied[row]
            if mode == DISABLED:
                disabled.append(row)
                if single is not None:
                    single.clear()
            elif before == DISABLED:
                if single is None:
                    (refused if table.denied[row] else started).append(row)
                else:
                    single.start()
        gone = np.array(disabled, np.int64)
        subscription.log.drop(gone)
        table.dirty[gone] = table.held[gone] = False
        table.changed()
        self._feed.start(np.array(started, np.int64))
        self._feed.refuse(np.array(refused, np.int64))
        self._close_unused()
        return [_CODES.BadMonitoredItemIdInvalid if row is None else GOOD for row in rows]

    def change_user(self, subscription: Subscription, principal: Principal) -> None:
        """Have items follow another user's rights: what that one may not read says so, and again is read if it may."""
        self._feed.drain(time.monotonic())
        subscription.principal = principal
        self._delivery.rights_changed()
        table, rows = self._table, subscription.plant_rows()
        allowed = self._allowed(table.variable[rows], principal)
        lost, regained = rows[~allowed & ~table.denied[rows]], rows[allowed & table.denied[rows]]
        table.denied[lost], table.denied[regained] = True, False
        subscription.log.drop(lost)
        table.dirty[lost] = table.held[lost] = table.fed[lost] = False
        lost, regained = lost[table.mode[lost] != DISABLED], regained[table.mode[regained] != DISABLED]
        table.fed[regained] = True
        table.changed()
        self._feed.refuse(lost)
        self._feed.start(regained)
        for item in subscription.singles.values():
            if not isinstance(item, EventItem):
                item.reread()

    def change_locale(self, subscription: Subscription, locale: Locale | None) -> None:
        """Have items say what they have to say in another language; what is queued stays as it is."""
        if subscription.locale is locale:
            return
        subscription.locale = locale
        for item in subscription.events.values():
            self._delivery.change(item, self.filters.make(item.filter.given, locale), anew=False)
        for item in subscription.singles.values():
            if not isinstance(item, EventItem):
                item.reread()

    def _allowed(self, variables: NDArray[np.int64], principal: Principal) -> NDArray[np.bool_]:
        """Return which variables a user may read, shape (n,)."""
        different, places = np.unique(variables, return_inverse=True)
        declared = self._space.plant.variables
        may = [principal.has(declared[number].declaration.read_role) for number in different.tolist()]
        return np.array(may, np.bool_)[places]

    def set_triggering(
        self, subscription: Subscription, triggering: int, add: list[int], remove: list[int]
    ) -> tuple[list[int], list[int]]:
        """Link items; returns StatusCodes for what is added and removed. Raises RefusedItemError."""
        source = subscription.items.get(triggering)
        if source is None:
            raise RefusedItemError(_CODES.BadMonitoredItemIdInvalid)
        removed = [subscription.items.get(item_id) for item_id in remove]
        gone = [row is not None and self._table.unlink(source, row) for row in removed]
        added = [subscription.items.get(item_id) for item_id in add]
        for row in added:
            if row is not None:
                self._table.link(source, row)
        bad = _CODES.BadMonitoredItemIdInvalid
        return [bad if row is None else GOOD for row in added], [GOOD if done else bad for done in gone]

    def delete(self, subscription: Subscription, item_ids: list[int]) -> list[int]:
        """Delete items; returns StatusCodes (OPC 10000-4 5.12.6)."""
        rows: list[int] = []
        statuses: list[int] = []
        for item_id in item_ids:
            row = subscription.items.pop(item_id, None)
            statuses.append(_CODES.BadMonitoredItemIdInvalid if row is None else GOOD)
            if row is not None:
                size = int(self._table.queue_size[row])
                subscription.queued_rows -= size if size > 1 else 0
                rows.append(row)
                if row in subscription.singles:
                    subscription.forget_single(row)
        gone = np.array(rows, np.int64)
        subscription.log.drop(gone)
        subscription.rows_changed()
        self._table.free(gone)
        self._close_unused()
        return statuses

    def _close_unused(self) -> None:
        if not self._table.count:
            self._feed.close()
