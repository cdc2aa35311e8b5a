"""The client of open62541 (through o6), asked in lines of JSON on standard input; run by .venv-peers' Python.

Each answer is {"result": ...} or {"error": "..."}. Notifications are kept in order as [key, value, status].
"""

import asyncio
import json
import sys
from typing import Any

import o6
from o6.ns import ns0

TYPES = ns0.datatypes


class Driver:
    """One client with one subscription."""

    def __init__(self) -> None:
        self.client: Any = None
        self.subscription: Any = None
        self.items: dict[str, Any] = {}
        self.seen: list[list[Any]] = []
        self.news = asyncio.Event()

    async def connect(self, endpoint: str, pki: str, server: str, user: str, password: str) -> None:
        """Open a session on an encrypted channel."""
        self.client = o6.Client(
            endpoint,
            certificate=f"{pki}/certificate.der",
            privateKey=f"{pki}/key.der",
            trustList=[server],
            securityMode=TYPES.MessageSecurityMode.SIGN_AND_ENCRYPT,
            securityPolicy="http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256",
            applicationUri="urn:plantree:bench",
            username=user,
            password=password,
        )
        await self.client.connect()

    async def subscribe(self, interval: float) -> float:
        """Make a subscription; returns the revised interval in ms."""
        self.subscription = await self.client.createSubscription(interval, maxNotificationsPerPublish=0)
        return float(self.subscription.publishingInterval)

    async def monitor(
        self, key: str, node: str, queue: int, oldest: bool = True, sampling: bool = False, deadband: Any = None
    ) -> int:
        """Monitor a Value; returns the revised queue size."""
        wanted = None
        if deadband is not None:
            kind, width = deadband
            wanted = TYPES.DataChangeFilter()
            wanted.trigger = TYPES.DataChangeTrigger.STATUS_VALUE
            wanted.deadbandType, wanted.deadbandValue = kind, width

        def notify(value: Any) -> None:
            self.seen.append([key, value.value, int(value.status or 0)])
            self.news.set()

        mode = TYPES.MonitoringMode.SAMPLING if sampling else TYPES.MonitoringMode.REPORTING
        self.items[key] = await self.client.monitor(
            node, notify, 0.0, valueOnly=False, subscription=self.subscription, filter=wanted, monitoringMode=mode,
            queueSize=queue, discardOldest=oldest,
        )  # fmt: skip
        return int(self.items[key].params.queueSize)

    async def publishing(self, enabled: bool) -> None:
        """Enable or disable publishing."""
        await self.subscription.modify(publishingEnabled=enabled)

    async def trigger(self, item: str, linked: str) -> None:
        """Let one item report another that is only sampled."""
        await self.items[item].setTriggering(linksToAdd=[self.items[linked]])

    async def write(self, node: str, values: list[float]) -> list[str]:
        """Write values to a node, one request each; returns the names of the StatusCodes."""
        return [str(await self.client.write(node, o6.Double(value))) for value in values]

    async def read(self, node: str) -> Any:
        """Read a Value."""
        return await self.client.read(node)

    async def wait(self, count: int, within: float) -> list[list[Any]]:
        """Return what was notified once there are `count`, or when the time is over."""
        deadline = asyncio.get_running_loop().time() + within
        while len(self.seen) < count:
            self.news.clear()
            try:
                await asyncio.wait_for(self.news.wait(), deadline - asyncio.get_running_loop().time())
            except TimeoutError:
                break
        return self.seen

    async def disconnect(self) -> None:
        """Close the session."""
        await self.client.disconnect()


async def main() -> None:
    """Obey until standard input ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    driver = Driver()
    while line := await reader.readline():
        asked = json.loads(line)
        try:
            answer = {"result": await getattr(driver, asked.pop("op"))(**asked)}
        except Exception as error:  # noqa: BLE001  # the test shows it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print("answer " + json.dumps(answer, default=float), flush=True)  # noqa: T201


asyncio.run(main())
