"""Where items that are fed one by one have their values from."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from asyncua import ua

from address_space.model import Variable
from server.opcua.rights import Rights
from server.opcua.space import PlantAddressSpace, to_data_value
from server.opcua.subscriptions.event_items import EventItem
from server.opcua.subscriptions.feed import Feed
from server.opcua.subscriptions.singles import ValueItem
from server.opcua.subscriptions.subscription import Subscription
from server.opcua.subscriptions.table import ItemTable
from server.store import Batch, now_ticks


class Sources:
    """Makes ValueItems: Strings of the plant are fed by the journal, all else by the address space's callbacks."""

    def __init__(self, space: PlantAddressSpace, rights: Rights, feed: Feed) -> None:
        self._space = space
        self._rights = rights
        self._feed = feed
        self._watched: dict[ValueItem, tuple[Variable | None, ua.ReadValueId, Callable[[], ua.DataValue]]] = {}

    def value_item(self, row: int, owner: Subscription, item: ua.ReadValueId, variable: Variable | None) -> ValueItem:
        """Return an item that is fed; `variable` is the String variable whose Value it is."""

        def read() -> ua.DataValue:
            found = self._rights.read(item, owner.principal)
            return replace(found if owner.locale is None else owner.locale.value(found, item))

        def from_row(batch: Batch, position: int) -> ua.DataValue:
            if variable is None or item.IndexRange or not self._rights.may_read(item, owner.principal):
                return read()
            bad = bool(batch.statuses[position] & 0x80000000)
            value = None if bad else batch.objects.get(position)
            status, source = int(batch.statuses[position]), int(batch.source_timestamps[position])
            return to_data_value(variable, value, status, source, now_ticks())

        made = ValueItem(row, owner, read, from_row)
        if variable is not None:
            follows = self._follow_journal(variable.id, made)
        else:
            follows = self._poll(made) if self.is_computed(item) else self._follow_attribute(item, made)
        self._watched[made] = (variable, item, read)

        def release() -> None:
            follows()
            del self._watched[made]

        made.release = release
        return made

    def is_computed(self, item: ua.ReadValueId) -> bool:
        """Whether an attribute is computed when it is read, so that nothing tells of its changes."""
        node = self._space.get(item.NodeId)
        attribute = None if node is None else node.attributes.get(item.AttributeId)
        if attribute is None or attribute.value_callback is None:
            return False
        return not self._space.conditions.is_pushed(item.NodeId)

    def watched(self, row: int, item: ValueItem | EventItem | None) -> tuple[Variable | None, int, Any]:
        """Return an item's plant variable, attribute, and for other nodes its present Variant."""
        if isinstance(item, ValueItem):
            variable, what, read = self._watched[item]
            return variable, int(what.AttributeId), read().Value
        table: ItemTable = self._feed.table
        return self._space.plant.variables[int(table.variable[row])], int(ua.AttributeIds.Value), None

    def _poll(self, item: ValueItem) -> Callable[[], None]:
        polled = self._feed.polled
        polled[item.row] = item

        def detach() -> None:
            del polled[item.row]

        return detach

    def _follow_journal(self, variable: int, item: ValueItem) -> Callable[[], None]:
        watchers = self._feed.watchers
        watchers.setdefault(variable, {})[item.row] = item

        def detach() -> None:
            del watchers[variable][item.row]
            if not watchers[variable]:
                del watchers[variable]

        return detach

    def _follow_attribute(self, what: ua.ReadValueId, item: ValueItem) -> Callable[[], None]:
        if what.AttributeId == ua.AttributeIds.Value and self._space.conditions.is_pushed(what.NodeId):
            return self._space.conditions.follow(what.NodeId, lambda: item.changed(time.monotonic()))

        async def changed(_handle: int, _value: Any, _error: Any = None) -> None:
            item.changed(time.monotonic())

        _, handle = self._space.add_datachange_callback(what.NodeId, what.AttributeId, changed)
        return lambda: self._space.delete_datachange_callback(handle)
