"""Encrypted channels: large answers, and who may go on with a session on another channel (OPC 10000-4 5.7.3)."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.ua import uaerrors
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from server.assembly import Plantree
from tests.server.opcua.opcua_rig import PASSWORD, Changes, nid, read, session, small_server
from tests.server.security import pki_builder as pki

pytestmark = pytest.mark.asyncio(loop_scope="module")
COUNT = 2_000
PRESSES = f"  Press[1..{COUNT}]: {{type: PressType}}\n"
TARGET = [(nid("Plant.Press1.Target"), ua.AttributeIds.Value)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plantree(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plantree]:
    async with small_server(tmp_path_factory.mktemp("secured"), PRESSES) as plantree:
        await asyncio.to_thread(plantree.users.add, "Operator", PASSWORD, ["Operator"])
        await asyncio.to_thread(plantree.users.add, "Engineer", PASSWORD, ["Engineer"])
        yield plantree


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the clients' keys and certificates are."""
    return tmp_path_factory.mktemp("clients")


def make_client(plantree: Plantree, folder: Path, name: str) -> Client:
    """Return a client whose certificate the server trusts."""
    certificate, key = folder / f"{name}.der", folder / f"{name}.pem"
    if not certificate.exists():
        certificate.write_bytes(pki.der(pki.make(name, private_key=pki.key(name))))
        key.write_bytes(pki.key(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        plantree.trust.trust(str(certificate))
    client = Client(f"opc.tcp://127.0.0.1:{plantree.opcua.port}/plantree", timeout=20)
    client.application_uri = pki.URI
    return client


@contextlib.asynccontextmanager
async def channel(plantree: Plantree, folder: Path, name: str = "client") -> AsyncGenerator[Client]:
    """Open an encrypted channel without a session."""
    client = make_client(plantree, folder, name)
    await secure(client, plantree, folder, name)
    await client.connect_socket()
    try:
        await client.send_hello()
        await client.open_secure_channel()
        yield client
    finally:
        client.disconnect_socket()


async def secure(client: Client, plantree: Plantree, folder: Path, name: str) -> None:
    await client.set_security(
        SecurityPolicyBasic256Sha256,
        certificate=str(folder / f"{name}.der"),
        private_key=str(folder / f"{name}.pem"),
        server_certificate=str(plantree.own.certificate_file),
        mode=ua.MessageSecurityMode.SignAndEncrypt,
    )


@contextlib.asynccontextmanager
async def secured(plantree: Plantree, folder: Path, user: str | None = None) -> AsyncGenerator[Client]:
    """Open an encrypted session."""
    client = make_client(plantree, folder, "client")
    await secure(client, plantree, folder, "client")
    if user is not None:
        client.set_user(user)
        client.set_password(PASSWORD)
    async with client:
        yield client


async def test_ten_thousand_references_in_one_encrypted_answer(plantree: Plantree, folder: Path) -> None:
    wanted = ua.BrowseParameters()
    for number in range(1, COUNT + 1):
        description = ua.BrowseDescription(nid(f"Plant.Press{number}"))
        description.BrowseDirection, description.IncludeSubtypes = ua.BrowseDirection.Forward, True
        description.ReferenceTypeId, description.ResultMask = ua.NodeId(ua.ObjectIds.HierarchicalReferences), 63
        wanted.NodesToBrowse.append(description)
    async with secured(plantree, folder) as client, session(plantree) as plain:
        encrypted, open_ = await client.uaclient.browse(wanted), await plain.uaclient.browse(wanted)
    assert sum(len(it.References) for it in encrypted) >= 10_000
    assert encrypted == open_
    assert not any(it.ContinuationPoint for it in encrypted)


async def test_a_notification_of_twenty_thousand_items_in_encrypted_chunks(plantree: Plantree, folder: Path) -> None:
    names = ("Speed", "Target", "Count", "State", "Due")
    paths = [f"Plant.Press{number}.{name}" for number in range(1, COUNT + 1) for name in names]
    ids = np.array([plantree.plant.variable(path).id for path in paths])
    async with secured(plantree, folder) as client:
        changes = Changes()
        wanted = ua.CreateSubscriptionParameters(200.0, 1000, 10, 0, True, 0)  # any number of notifications
        subscription = await client.create_subscription(wanted, changes)
        for _ in range(2):  # each variable twice: 20,000 items
            nodes = [client.get_node(nid(path)) for path in paths]
            for start in range(0, len(nodes), 5_000):
                await subscription.subscribe_data_change(nodes[start : start + 5_000], sampling_interval=0)
        await changes.until(lambda: len(changes.values) == 2 * len(paths), 30)
        (own,) = plantree.opcua.internal.subscriptions.subscriptions.values()
        before, changes.values[:] = own.next_sequence, []
        plantree.store.write(ids, np.arange(len(ids)) % 2, 1_000_000)
        await changes.until(lambda: len(changes.values) == 2 * len(paths), 30)
        assert own.next_sequence - before == 1, "one message"
    assert sorted({float(it) if not hasattr(it, "year") else -1.0 for it in changes.values}) == [-1.0, 0.0, 1.0]


async def move(plantree: Plantree, owner: Client, other: Client) -> None:
    """Activate the session of one client on the channel of another."""
    mine = plantree.opcua.internal.lookup_external_session(owner.uaclient.protocol.authentication_token)
    other.uaclient.protocol.authentication_token = mine.auth_token
    other._server_nonce = mine.nonce
    await other.activate_session(owner._username, owner._password)


async def test_a_session_moves_with_its_user_and_leaves_its_old_channel(plantree: Plantree, folder: Path) -> None:
    async with secured(plantree, folder, "Operator") as owner:
        async with channel(plantree, folder) as other:
            other._policy_ids = owner._policy_ids
            await move(plantree, owner, other)
            assert (await read(other, TARGET))[0].StatusCode.is_good()
            for audit in (None, "slow"):
                request = ua.ReadRequest(Parameters=ua.ReadParameters(NodesToRead=[ua.ReadValueId(*TARGET[0])]))
                request.RequestHeader.AuditEntryId = audit
                with pytest.raises(uaerrors.BadSecureChannelIdInvalid):
                    await owner.uaclient.protocol.send_request(request)
            await move(plantree, owner, owner)  # and back
        assert (await read(owner, TARGET))[0].StatusCode.is_good(), "the channel in between has gone, the session not"


async def test_a_session_moves_to_no_other_user(plantree: Plantree, folder: Path) -> None:
    async with secured(plantree, folder, "Operator") as owner, channel(plantree, folder) as other:
        other._policy_ids = owner._policy_ids
        owner_name, owner._username = owner._username, "Engineer"
        with pytest.raises(uaerrors.BadIdentityChangeNotSupported):
            await move(plantree, owner, other)
        owner._username = owner_name
        with pytest.raises(uaerrors.UaStatusCodeError):
            await read(other, TARGET)
        assert (await read(owner, TARGET))[0].StatusCode.is_good()


async def test_a_session_moves_to_no_other_application(plantree: Plantree, folder: Path) -> None:
    async with secured(plantree, folder, "Operator") as owner, channel(plantree, folder, "another") as other:
        other._policy_ids = owner._policy_ids
        with pytest.raises(uaerrors.BadSecurityChecksFailed):
            await move(plantree, owner, other)
        with pytest.raises(uaerrors.UaStatusCodeError):
            await read(other, TARGET)
        assert (await read(owner, TARGET))[0].StatusCode.is_good()


async def test_who_is_no_longer_trusted_can_neither_renew_nor_activate(plantree: Plantree, folder: Path) -> None:
    async with secured(plantree, folder, "Operator") as owner, channel(plantree, folder) as other:
        other._policy_ids = owner._policy_ids
        await owner.open_secure_channel(renew=True)
        assert (await read(owner, TARGET))[0].StatusCode.is_good()
        plantree.trust.reject("client")
        try:
            with pytest.raises(uaerrors.BadSecurityChecksFailed):
                await move(plantree, owner, other)
            with pytest.raises(uaerrors.BadSecurityChecksFailed):
                await owner.activate_session(owner._username, owner._password)
            owner._closing = True  # it must not try to come back
            with pytest.raises((ConnectionError, ua.UaError, TimeoutError)):
                await asyncio.wait_for(owner.open_secure_channel(renew=True), 5)
        finally:
            plantree.trust.trust("client")


async def test_another_user_on_the_session_sees_what_that_one_may(plantree: Plantree, folder: Path) -> None:
    async with secured(plantree, folder, "Engineer") as client:
        changes = Changes()
        subscription = await client.create_subscription(20, changes)
        await subscription.subscribe_data_change(client.get_node(nid("Plant.Press1.Secret")))
        await changes.until(lambda: changes.values == [7.0])
        await client.activate_session("Operator", PASSWORD)
        await changes.until(lambda: len(changes.data) == 2)
        assert changes.data[-1].StatusCode.name == "BadUserAccessDenied"
        assert changes.values[-1] is None
        await client.activate_session("Engineer", PASSWORD)
        await changes.until(lambda: changes.values[-1] == 7.0)
