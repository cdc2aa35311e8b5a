"""How the bench steers a server: lines of JSON on standard input; the server ends when that does."""

import asyncio
import json
import sys


class Steering:
    """`changing`: how many variables change; `rate`: how often a second; `written`: how many writes there were."""

    def __init__(self) -> None:
        self.changing = 0
        self.rate = 10.0
        self.written = 0
        self.ended = asyncio.Event()

    async def run(self) -> None:
        """Obey until standard input ends; each line is answered with what is in force."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        listening = asyncio.create_task(self._listen(reader))
        await self.ended.wait()
        listening.cancel()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            wanted = json.loads(line)
            self.changing = wanted.get("changing", self.changing)
            self.rate = wanted.get("rate", self.rate)
            print(json.dumps({"changing": self.changing, "written": self.written}), flush=True)
        self.ended.set()
