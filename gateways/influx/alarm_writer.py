"""Transitions of conditions into a database, over one connection."""

from collections.abc import Sequence

from gateways.influx.alarms import Order, lines
from gateways.influx.delivery import write
from gateways.influx.losses import Losses
from gateways.influx.mapping import Mapping
from gateways.influx.peer import Peer
from server.alarms.ports import Snapshot

_REQUEST = 1000  # lines


class AlarmWriter:
    """`order` outlives the connection: no line may fall behind one that is in the database."""

    def __init__(self, peer: Peer, mapping: Mapping, losses: Losses, order: Order) -> None:
        self._peer = peer
        self._mapping = mapping
        self._losses = losses
        self._order = order

    async def send(self, snapshots: Sequence[Snapshot]) -> None:
        """Write transitions; returns once each is confirmed or buried; raises PeerError."""
        transitions = self._order.transitions(snapshots)
        refused, _ = await write(self._peer, lines(transitions, self._mapping.site, self._mapping.database), _REQUEST)
        await self._losses.bury(refused)
        self._order.confirmed(transitions)
