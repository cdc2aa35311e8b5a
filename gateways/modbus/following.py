"""The image follows the journal: whole cycles, computed variables with what they are computed from."""

import asyncio

from gateways.delivery import snapshot
from gateways.modbus.image import Image
from server.ports import GatewayContext

_PASSES = 8
"""Passes of the event loop after which a cycle is taken to be whole, though more was written in each."""
_PAUSE_S = 0.005


class Following:
    """Brings what the store's journal holds into the image; made with the present values in it."""

    def __init__(self, context: GatewayContext, image: Image) -> None:
        self._store = context.store
        self._status = context.status
        self._image = image
        self._cursor = context.store.journal.cursor("modbus")
        self._dropped = context.status.dropped
        image.update(snapshot(context.store))

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            await self._cursor.wait()
            await self.catch_up()
            await asyncio.sleep(_PAUSE_S)  # many small changes in a row cost one update

    async def catch_up(self) -> None:
        """Bring the image up to all that is written now, and what is computed from that some passes later."""
        journal = self._store.journal
        for _ in range(_PASSES):
            end = journal.end
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if journal.end == end:
                break
        self._update()

    def close(self) -> None:
        """Follow no more."""
        self._cursor.close()

    def _update(self) -> None:
        lost = self._cursor.lost
        batch = self._cursor.read(max_rows=self._store.journal.rows)
        if self._cursor.lost != lost:  # the present values are all that a mirror needs
            batch = snapshot(self._store)
        self._image.update(batch)
        self._status.delivered += len(batch)
        self._status.dropped = self._dropped + self._cursor.lost
        self._status.queue_depth = self._cursor.lag
        self._status.lag = 0.0
