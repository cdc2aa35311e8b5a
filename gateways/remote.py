"""The tree of a server elsewhere: a store that an OPC UA subscription feeds, so that a gateway can run alone."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from asyncua import Client, ua
from asyncua.client.ua_client import UaClientState
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.crypto.uacrypto import CertProperties

from address_space.model import BuiltinType, Plant, Variable
from server import logs
from server.errors import StartError
from server.quality import BAD_NO_COMMUNICATION, BAD_TYPE_MISMATCH, BAD_WAITING_FOR_INITIAL_DATA
from server.security.certificates import OwnCertificate
from server.store import Store, from_ticks, now_ticks, to_ticks
from server.supervision import Backoff, describe

log = logs.get(__name__)

_ITEMS_A_REQUEST = 1000
_REQUEST_S = 10.0
_QUEUE = 100
_OVERFLOW = 0x0480  # InfoType DataValue and Overflow (OPC 10000-4 7.39.1): about the queue, not about the value
_REFUSED = (ua.StatusCodes.BadUserAccessDenied, ua.StatusCodes.BadIdentityTokenRejected)
LOST = (OSError, TimeoutError, ua.UaError, asyncio.IncompleteReadError)
"""What asyncua raises when the server does not answer, or not as it should."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The server to mirror and who asks; `folder` keeps the certificate that the server showed first.

    `interval` (ms) is the publishing interval.
    """

    url: str
    user: str
    password: str
    own: OwnCertificate
    folder: Path
    interval: float = 100.0

    async def client(self, user: str | None = None, password: str | None = None) -> Client:
        """Make a client for a session of its own over Basic256Sha256, SignAndEncrypt; not connected yet.

        The server's certificate is that of the first connection ever: another one is refused.
        """
        client = Client(self.url, timeout=_REQUEST_S)
        client.application_uri = self.own.application_uri
        client.set_user(user or self.user)
        client.set_password(self.password if password is None else password)
        known = self.known_certificate
        await client.set_security(
            SecurityPolicyBasic256Sha256,
            certificate=str(self.own.certificate_file),
            private_key=str(self.own.private_key_file),
            server_certificate=CertProperties(known.read_bytes(), "der") if known.exists() else None,
        )
        return client

    @property
    def known_certificate(self) -> Path:
        """The file of the certificate that the server showed first (DER)."""
        return self.folder / "server.der"

    def keep_certificate(self, client: Client) -> None:
        """Keep the certificate of a server with which a session stands."""
        if not self.known_certificate.exists():
            self.known_certificate.parent.mkdir(parents=True, exist_ok=True)
            self.known_certificate.write_bytes(client.security_policy.peer_certificate or b"")
            log.info("server's certificate kept, another one will be refused", file=str(self.known_certificate))


class RemotePlant:
    """Feeds a store from a server's variables of the same paths, with their source timestamps and StatusCodes.

    A lost connection is taken up again at once, then with backoff; from the second attempt on the values are
    BadNoCommunication. asyncua cuts source timestamps to the microsecond.
    """

    def __init__(self, plant: Plant, store: Store, peer: Peer, backoff: Backoff | None = None) -> None:
        self.namespace = 0
        self.ready = asyncio.Event()
        """Set once every variable has been subscribed to."""
        self._plant, self._store, self._peer = plant, store, peer
        self._backoff = backoff or Backoff(healthy_after=5.0)
        self._client: Client | None = None
        self._ended = asyncio.Event()
        self._ids = np.arange(len(store), dtype=np.int64)
        store.set_status(self._ids, BAD_WAITING_FOR_INITIAL_DATA)  # what the plant file says of set-points is no news

    @property
    def client(self) -> Client:
        """The session; ConnectionError while there is none."""
        if self._client is None:
            raise ConnectionError(f"{self._peer.url} is not connected")
        return self._client

    def node_id(self, path: str) -> ua.NodeId:
        """Return the NodeId of what is at `path`."""
        return ua.NodeId(path, self.namespace)  # pyright: ignore[reportArgumentType]

    async def run(self) -> None:
        """Feed the store until cancelled; raises StartError when the server refuses the user."""
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                async with self._session() as client:
                    await self._subscribe(client)
                    self.ready.set()
                    log.info("connected", server=self._peer.url, variables=len(self._ids))
                    await self._until_lost(client)
                    error: Exception = ConnectionError("the connection was lost")
            except LOST as caught:
                if isinstance(caught, ua.UaStatusCodeError) and caught.code in _REFUSED and not self.ready.is_set():
                    raise StartError(f"{self._peer.url} refuses the user {self._peer.user}: {caught}") from caught
                error = caught
            failures = 1 if loop.time() - began > self._backoff.healthy_after else failures + 1
            if failures > 1:
                self._store.set_status(self._ids, BAD_NO_COMMUNICATION)
            delay = 0.0 if failures == 1 else self._backoff.delay(failures - 1, random.random())  # noqa: S311
            log.warning("not connected", server=self._peer.url, error=describe(error), delay=round(delay, 1))
            await asyncio.sleep(delay)

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncGenerator[Client]:
        client = await self._peer.client()
        async with client:
            self._peer.keep_certificate(client)
            self.namespace = await client.get_namespace_index(self._plant.namespace)
            self._ended.clear()
            self._client = client
            try:
                yield client
            finally:
                self._client = None

    async def _until_lost(self, client: Client) -> None:
        async with client.uaclient.subscribe_state() as states:
            ended = asyncio.ensure_future(self._ended.wait())
            gone = asyncio.ensure_future(states.wait_for_state(UaClientState.DISCONNECTED))
            try:
                await asyncio.wait((ended, gone), return_when=asyncio.FIRST_COMPLETED)
            finally:
                ended.cancel()
                gone.cancel()

    async def _subscribe(self, client: Client) -> None:
        asked = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=self._peer.interval,
            RequestedLifetimeCount=600,
            RequestedMaxKeepAliveCount=20,
            MaxNotificationsPerPublish=0,
            PublishingEnabled=True,
        )
        subscription = await client.uaclient.create_subscription(asked, self._published)
        variables = self._plant.variables
        for start in range(0, len(variables), _ITEMS_A_REQUEST):
            part = variables[start : start + _ITEMS_A_REQUEST]
            items = ua.CreateMonitoredItemsParameters(
                SubscriptionId=subscription.SubscriptionId,
                TimestampsToReturn=ua.TimestampsToReturn.Source,
                ItemsToCreate=[self._item(variable) for variable in part],
            )
            results = await client.uaclient.create_monitored_items(items)
            self._refuse(part, results)

    def _item(self, variable: Variable) -> ua.MonitoredItemCreateRequest:
        return ua.MonitoredItemCreateRequest(
            ItemToMonitor=ua.ReadValueId(self.node_id(variable.path), ua.AttributeIds.Value),
            MonitoringMode=ua.MonitoringMode.Reporting,
            RequestedParameters=ua.MonitoringParameters(
                ClientHandle=ua.UInt32(variable.id),
                SamplingInterval=0.0,  # every change, as it comes
                Filter=ua.DataChangeFilter(ua.DataChangeTrigger.StatusValueTimestamp),
                QueueSize=ua.UInt32(_QUEUE),
                DiscardOldest=True,
            ),
        )

    def _refuse(self, variables: Iterable[Variable], results: Iterable[ua.MonitoredItemCreateResult]) -> None:
        """Give variables that the server does not let us have the reason as their status."""
        for variable, result in zip(variables, results, strict=True):
            if not result.StatusCode.is_good():
                self._store.set_status(np.array([variable.id], np.int64), result.StatusCode.value)
                log.warning("variable cannot be subscribed to", path=variable.path, status=result.StatusCode.name)

    def _published(self, result: ua.PublishResult) -> None:
        """Write one publish response to the store as one batch."""
        rows: list[tuple[int, Any, int, int]] = []
        for notification in result.NotificationMessage.NotificationData or ():
            if isinstance(notification, ua.DataChangeNotification):
                rows += [self._row(item.ClientHandle, item.Value) for item in notification.MonitoredItems]
            elif isinstance(notification, ua.StatusChangeNotification):
                self._ended.set()  # the server has given the subscription up
        if rows:
            ids, values, stamps, statuses = zip(*rows, strict=True)
            column = np.empty(len(rows), object)
            column[:] = values
            at = np.array(ids, np.int64), column, np.array(stamps, np.int64), np.array(statuses, np.uint32)
            self._store.write(*at)

    def _row(self, id_: int, value: ua.DataValue) -> tuple[int, Any, int, int]:
        builtin = self._plant.variables[id_].declaration.type
        status = value.StatusCode.value if value.StatusCode is not None else 0
        stamp = now_ticks() if value.SourceTimestamp is None else to_ticks(value.SourceTimestamp)
        shown, fits = _shown(value, builtin)
        return id_, shown, stamp, (status & ~_OVERFLOW if fits else BAD_TYPE_MISMATCH)


def _shown(value: ua.DataValue, builtin: BuiltinType) -> tuple[Any, bool]:
    """Return a value as the store takes it, and whether it is of the declared type; nothing is."""
    nothing = "" if builtin is BuiltinType.String else 0
    variant = value.Value
    if variant is None or variant.Value is None:
        return nothing, True
    if variant.VariantType.value != builtin or variant.is_array:
        return nothing, False
    return to_ticks(variant.Value) if builtin is BuiltinType.DateTime else variant.Value, True


def variant(value: Any, builtin: BuiltinType) -> ua.Variant:
    """Make the Variant of a value as the store has it."""
    shown = from_ticks(value) if builtin is BuiltinType.DateTime else value
    return ua.Variant(shown, ua.VariantType(int(builtin)))
