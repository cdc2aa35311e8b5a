"""`python -m gateways` with a gateway made for tests: it writes each Double that it delivers to a file."""

import json
import sys
from pathlib import Path
from typing import Any

from gateways import __main__ as alone
from gateways.delivery import Lanes
from gateways.outbox import Entry
from gateways.settings import OutboxSettings
from server import composition
from server.ports import GatewayContext


class FileGateway:
    """Appends [path, value, status, source timestamp] lines to `delivered.jsonl` in its folder."""

    def __init__(self, context: GatewayContext) -> None:
        self._context = context
        self._lanes = Lanes(context, OutboxSettings())

    async def run(self) -> None:
        async with self._lanes:
            self._context.status.connected = True
            await self._lanes.deliver(self._send)

    async def _send(self, entry: Entry) -> None:
        plant, batch = self._context.plant, entry.batch
        values = self._context.store.objects(batch)
        rows = zip(batch.ids.tolist(), values, batch.statuses.tolist(), batch.source_timestamps.tolist(), strict=True)
        with (self._context.data_dir / "delivered.jsonl").open("a", encoding="utf-8") as file:
            for id_, value, status, stamp in rows:
                file.write(json.dumps([plant.variables[id_].path, value, status, stamp]) + "\n")


class FilePackage:
    def create(self, context: GatewayContext, settings: Any) -> FileGateway:
        assert settings.enabled
        return FileGateway(context)


def delivered(data_dir: Path, path: str) -> list[tuple[Any, int, int]]:
    """Every (value, status, source timestamp) of a variable that was delivered so far."""
    file = data_dir / "gateways" / "mqtt" / "delivered.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    rows = [json.loads(line) for line in lines if line.endswith("]")]
    return [(value, status, stamp) for at, value, status, stamp in rows if at == path]


if __name__ == "__main__":
    composition.package = lambda name: FilePackage()
    sys.exit(alone.main())
