"""What the database did not take: kept where it can be, counted, and said."""

import asyncio
from collections.abc import Mapping, Sequence

from gateways.delivery import Lanes
from gateways.influx import victoria
from gateways.influx.dead_letter import DeadLetters, Rejected
from server import logs
from server.ports import GatewayStatus

log = logs.get(__name__)


class Losses:
    """One gateway's losses, over all its connections."""

    def __init__(self, lanes: Lanes, letters: DeadLetters, status: GatewayStatus) -> None:
        self._lanes = lanes
        self._letters = letters
        self._status = status
        self._thrown_away = 0
        """Samples that VictoriaMetrics took and threw away, not counted as dropped yet."""
        self._counters: Mapping[str, float] | None = None

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

    def seen(self, counters: Mapping[str, float]) -> None:
        """Count and say what VictoriaMetrics took and threw away since its counters were seen last."""
        before, self._counters = self._counters, counters
        if before is not None and (grown := victoria.increases(before, counters)):
            self._thrown_away += victoria.samples(grown)
            self.tell(victoria.sentence(grown))

    def tell(self, sentence: str, **details: object) -> None:
        """Show an error in the tree, and in the log when it is another one than last time."""
        if self._status.last_error != sentence:
            log.warning(sentence, gateway="influx", **details)
        self._status.last_error = sentence
