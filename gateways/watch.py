"""The live list of alarms in a terminal, over OPC UA: `python -m server watch alarms`."""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

import asyncio
from collections.abc import Callable
from typing import Any

from asyncua import Client, ua
from asyncua.client.ua_client import UaClientState
from rich.console import Console
from rich.live import Live

from gateways.alarm_list import FIELDS, Alarm, AlarmList, cells, style
from gateways.remote import LOST, Peer
from server.errors import StartError
from server.supervision import Backoff, describe

_PUBLISHING_MS = 250.0
_QUEUE = 10_000
_AGAIN_S = 1.0
_REFRESH_S = 30.0
_REFUSED = (ua.StatusCodes.BadUserAccessDenied, ua.StatusCodes.BadIdentityTokenRejected)
_SERVER = ua.NodeId(ua.ObjectIds.Server)
_CONDITION_TYPE = ua.NodeId(ua.ObjectIds.ConditionType)
_REFRESH = ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh)
_FOOT = 6
"""Lines of the terminal that are not rows: title, headings, rules and caption."""


class Following:
    """A session that keeps a list of alarms; `told` is called for each alarm that an event is about."""

    def __init__(self, peer: Peer, told: Callable[[Alarm], None] = lambda _: None) -> None:
        self.list = AlarmList()
        self.complete = asyncio.Event()
        """Set once all that was current has come."""
        self.trouble = "connecting"
        """Why there is no connection, empty while there is one."""
        self._peer = peer
        self._told = told
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Follow until cancelled, again after each lost connection; raises StartError when the user is refused."""
        backoff, failures = Backoff(healthy_after=5.0), 0
        while True:
            try:
                async with await self._peer.client() as client:
                    self._peer.keep_certificate(client)
                    await self._subscribe(client)
                    self.trouble, failures = "", 0
                    await self._until_lost(client)
                    self.trouble = "the connection was lost"
            except LOST as error:
                refused = isinstance(error, ua.UaStatusCodeError) and error.code in _REFUSED
                if refused and not self.complete.is_set():
                    raise StartError(f"{self._peer.url} refuses the user {self._peer.user}: {error}") from error
                self.trouble = describe(error)
            failures += 1
            await asyncio.sleep(backoff.delay(failures, 0.5))

    async def _subscribe(self, client: Client) -> None:
        """Subscribe to the Server object, which sees all events, then have what is retained told again."""
        self._ended.clear()
        asked = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=_PUBLISHING_MS, RequestedLifetimeCount=600, RequestedMaxKeepAliveCount=20,
            MaxNotificationsPerPublish=0, PublishingEnabled=True,
        )  # fmt: skip
        made = await client.uaclient.create_subscription(asked, self._published)
        item = ua.MonitoredItemCreateRequest(
            ItemToMonitor=ua.ReadValueId(NodeId=_SERVER, AttributeId=ua.AttributeIds.EventNotifier),
            MonitoringMode=ua.MonitoringMode.Reporting,
            RequestedParameters=ua.MonitoringParameters(
                ClientHandle=1, SamplingInterval=0.0, QueueSize=_QUEUE, DiscardOldest=True, Filter=event_filter()
            ),
        )
        items = ua.CreateMonitoredItemsParameters(
            SubscriptionId=made.SubscriptionId,
            TimestampsToReturn=ua.TimestampsToReturn.Neither,
            ItemsToCreate=[item],
        )
        (created,) = await client.uaclient.create_monitored_items(items)
        created.StatusCode.check()
        number = ua.Variant(made.SubscriptionId, ua.VariantType.UInt32)
        refresh = ua.CallMethodRequest(ObjectId=_CONDITION_TYPE, MethodId=_REFRESH, InputArguments=[number])
        async with asyncio.timeout(_REFRESH_S):
            (called,) = await client.uaclient.call([refresh])
        called.StatusCode.check()

    def _published(self, result: ua.PublishResult) -> None:
        for notification in result.NotificationMessage.NotificationData or []:
            if isinstance(notification, ua.StatusChangeNotification):
                self._ended.set()
            if isinstance(notification, ua.EventNotificationList):
                for event in notification.Events:
                    self._take(event.EventFields)

    def _take(self, fields: list[ua.Variant]) -> None:
        values: dict[str, Any] = dict(zip((*FIELDS, "ConditionId"), (it.Value for it in fields), strict=True))
        alarm = self.list.take(values)
        if self.list.refreshed:
            self.complete.set()
        if alarm is not None:
            self._told(alarm)

    async def _until_lost(self, client: Client) -> None:
        async with client.uaclient.subscribe_state() as states:
            waiting = [
                asyncio.ensure_future(self._ended.wait()),
                asyncio.ensure_future(states.wait_for_state(UaClientState.DISCONNECTED)),
            ]
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in waiting:
                    task.cancel()


def event_filter() -> ua.EventFilter:
    """Return the filter that selects FIELDS and ConditionId of all events."""
    base = ua.NodeId(ua.ObjectIds.BaseEventType)
    clauses = [
        ua.SimpleAttributeOperand(
            TypeDefinitionId=base,
            BrowsePath=[ua.QualifiedName(name, 0) for name in path.split("/")],
            AttributeId=ua.AttributeIds.Value,
        )
        for path in FIELDS
    ]
    clauses.append(
        ua.SimpleAttributeOperand(TypeDefinitionId=_CONDITION_TYPE, BrowsePath=[], AttributeId=ua.AttributeIds.NodeId)
    )
    return ua.EventFilter(SelectClauses=clauses)


async def watch(peer: Peer, console: Console, *, once: bool) -> None:
    """Show the list until cancelled, or `once`; a line for each event where `console` is no terminal.

    Raises StartError when the server refuses the user, TimeoutError when `once` and it does not answer.
    """

    def line(alarm: Alarm) -> None:
        if following.complete.is_set():
            console.print("  ".join(cells(alarm)), style=style(alarm), highlight=False, soft_wrap=True)

    lines = not once and not console.is_terminal
    following = Following(peer, line if lines else lambda _: None)
    task = asyncio.create_task(following.run())
    try:
        if once or lines:
            async with asyncio.timeout(_REFRESH_S if once else None):
                await _first(task, following.complete.wait())
            console.print(following.list.table(f"Alarms of {peer.url}"))
        if lines:
            await asyncio.shield(task)
        if not once:
            await _live(following, task, peer, console)
    finally:
        while not task.done():  # a cancellation may get lost on the way through a connection that is being made
            task.cancel()
            await asyncio.wait((task,), timeout=_AGAIN_S)
        await asyncio.gather(task, return_exceptions=True)


async def _live(following: Following, task: "asyncio.Task[None]", peer: Peer, console: Console) -> None:
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while not task.done():
            title = f"Alarms of {peer.url}" + (f": {following.trouble}" if following.trouble else "")
            live.update(following.list.table(title, max(1, console.height - _FOOT)), refresh=True)
            await asyncio.wait((task,), timeout=_PUBLISHING_MS / 1000)
    task.result()


async def _first(task: "asyncio.Task[None]", work: Any) -> None:
    """Wait for work, or for the connection to fail."""
    waiting = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if task.done():
        task.result()
