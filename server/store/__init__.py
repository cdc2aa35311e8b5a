"""The store: the Value attribute of every variable, columnar, with one writer and a journal of what it wrote."""

from server.store.journal import Batch, Cursor, Journal
from server.store.store import Store
from server.store.ticks import from_ticks, now_ticks, to_ticks

__all__ = ["Batch", "Cursor", "Journal", "Store", "from_ticks", "now_ticks", "to_ticks"]
