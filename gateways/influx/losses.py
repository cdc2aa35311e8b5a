"""What the database did not take: kept where it can be, counted, and said."""

import asyncio
import time
from collections.abc import Mapping, Sequence

from gateways.delivery import Lanes
from gateways.influx import victoria
from gateways.influx.dead_letter import DeadLetters, Rejected
from server import logs
from server.ports import GatewayStatus

log = logs.get(__name__)

_TORN_S = 30.0
"""How long after a connection has ended VictoriaMetrics may still count what it got of it."""


class Losses:
    """One gateway's losses, over all its connections."""

    def __init__(self, lanes: Lanes, letters: DeadLetters, status: GatewayStatus) -> None:
        self._lanes = lanes
        self._letters = letters
        self._status = status
        self._thrown_away = 0
        """Samples that VictoriaMetrics took and threw away, not counted as dropped yet."""
        self._counters: Mapping[str, float] | None = None
        self._torn = 0
        self._torn_until = 0.0
        """Lines of which VictoriaMetrics may have got a part, and the whole afterwards; until when it may say so."""

    async def bury(self, rejected: Sequence[Rejected]) -> None:
        """Keep lines that no database will take, and say so."""
        if not rejected:
            return
        try:
            await asyncio.to_thread(self._letters.add, rejected)
        except OSError as error:
            log.error("rejected lines cannot be kept", gateway="influx", lines=len(rejected), error=str(error))
        self.tell(f"{len(rejected)} lines rejected, kept in {self._letters.file}: {rejected[0].reason}")

    def count(self, samples: int, delivered: int) -> None:
        """Within the lanes' `send`: count samples of an entry as dropped, of which `delivered` others were taken.

        What was thrown away before is counted in place of these, so that no counter ever falls.
        """
        also = min(self._thrown_away, delivered)
        self._thrown_away -= also
        self._lanes.rejected(samples + also)

    def interrupted(self, writes: int) -> None:
        """Note that a connection ended within so many writes: each may have left a torn line at its end.

        VictoriaMetrics reads the last line of a body that a reset cuts off as if it were whole, and throws it away
        where it is none. It is no loss: all of that write is sent again.
        """
        self._torn += writes
        self._torn_until = time.monotonic() + _TORN_S

    def seen(self, counters: Mapping[str, float]) -> None:
        """Count and say what VictoriaMetrics took and threw away since its counters were seen last."""
        before, self._counters = self._counters, counters
        if time.monotonic() > self._torn_until:
            self._torn = 0
        if before is not None and (grown := victoria.increases(before, counters)):
            samples = victoria.samples(grown)
            thrown_away = max(0, samples - self._torn)
            self._torn -= samples - thrown_away
            self._thrown_away += thrown_away
            if thrown_away:
                self.tell(victoria.sentence(grown))

    def tell(self, sentence: str, **details: object) -> None:
        """Show an error in the tree, and in the log when it is another one than last time."""
        if self._status.last_error != sentence:
            log.warning(sentence, gateway="influx", **details)
        self._status.last_error = sentence
