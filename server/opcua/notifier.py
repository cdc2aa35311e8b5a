"""From the journal to asyncua's monitored items: each change of a watched variable, in order."""

import asyncio

import numpy as np
from asyncua import ua
from numpy.typing import NDArray

from server import logs
from server.opcua.attributes import node_id
from server.opcua.space import PlantAddressSpace, to_data_value
from server.quality import is_bad
from server.store import Batch, now_ticks

log = logs.get(__name__)


async def notify(space: PlantAddressSpace) -> None:
    """Feed monitored items until cancelled."""
    store = space.store
    cursor = store.journal.cursor("opcua")
    lost = 0
    try:
        while True:
            await cursor.wait()
            batch = cursor.read()
            if cursor.lost > lost:
                log.warning("monitored items missed changes", rows=cursor.lost - lost)
                lost = cursor.lost
            watched = space.monitored[batch.ids].nonzero()[0]
            if len(watched):
                await _deliver(space, batch, watched)
            await asyncio.sleep(0)  # a busy journal must not keep clients waiting
    finally:
        cursor.close()


async def _deliver(space: PlantAddressSpace, batch: Batch, watched: NDArray[np.intp]) -> None:
    part = batch.take(watched)
    values = space.store.objects(part)
    hidden = is_bad(part.statuses).tolist()
    server = now_ticks()
    rows = zip(part.ids.tolist(), values, hidden, part.statuses.tolist(), part.source_timestamps.tolist(), strict=True)
    for id_, value, bad, status, source in rows:
        variable = space.plant.variables[id_]
        data_value = to_data_value(variable, None if bad else value, status, source, server)
        attribute = space[node_id(variable.path)].attributes[ua.AttributeIds.Value]
        for handle, callback in list(attribute.datachange_callbacks.items()):
            await callback(handle, data_value)
