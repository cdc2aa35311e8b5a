"""Sessions: tokens that cannot be guessed or borrowed, and a connection that is not held up by a slow command."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from asyncua import Client, ua
from asyncua.ua import uaerrors
from opcua_rig import PASSWORD, nid, read, session, small_server

from server.assembly import Plantree
from server.security.database import UsersError
from server.security.users import Users
from tests.server.security import pki_builder as pki

pytestmark = pytest.mark.asyncio(loop_scope="module")

ITEM = [(nid("Plant.Press1.Target"), ua.AttributeIds.Value)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plantree(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plantree]:
    async with small_server(tmp_path_factory.mktemp("sessions")) as plantree:
        yield plantree


def token(client: Client) -> ua.NodeId:
    return client.uaclient.protocol.authentication_token


async def test_tokens_are_random(plantree: Plantree) -> None:
    tokens: list[ua.NodeId] = []
    for _ in range(3):
        async with session(plantree) as client:
            tokens.append(token(client))
    assert all(t.NodeIdType is ua.NodeIdType.ByteString and len(t.Identifier) == 32 for t in tokens)
    assert len({bytes(t.Identifier) for t in tokens}) == 3
    shared = [a == b for a, b in zip(tokens[0].Identifier, tokens[1].Identifier, strict=True)]
    assert sum(shared) < 8, "not one counted up from the other"


async def test_a_token_is_worth_nothing_on_another_session_s_channel(plantree: Plantree) -> None:
    async with session(plantree) as owner, session(plantree) as thief:
        own = token(thief)
        thief.uaclient.protocol.authentication_token = token(owner)
        with pytest.raises(uaerrors.BadSessionIdInvalid):
            await read(thief, ITEM)
        thief.uaclient.protocol.authentication_token = own
        assert (await read(thief, ITEM))[0].Value.Value == 10.0
        assert (await read(owner, ITEM))[0].Value.Value == 10.0


async def test_a_token_is_worth_nothing_on_a_channel_without_a_session(plantree: Plantree) -> None:
    thief = Client(f"opc.tcp://127.0.0.1:{plantree.opcua.port}/plantree")
    async with session(plantree) as owner:
        await thief.connect_socket()
        try:
            await thief.send_hello()
            await thief.open_secure_channel()
            thief.uaclient.protocol.authentication_token = token(owner)
            with pytest.raises(uaerrors.UaStatusCodeError):
                await asyncio.wait_for(read(thief, ITEM), 2)
        finally:
            thief.disconnect_socket()


async def test_an_invented_token_is_refused(plantree: Plantree) -> None:
    async with session(plantree) as client:
        own = token(client)
        for invented in (ua.NodeId(), ua.NodeId(1), ua.NodeId(b"\0" * 32, 0)):
            client.uaclient.protocol.authentication_token = invented
            with pytest.raises(uaerrors.BadSessionIdInvalid):
                await read(client, ITEM)
        client.uaclient.protocol.authentication_token = own


async def test_a_wrong_password_is_refused(plantree: Plantree) -> None:
    async with session(plantree, "Operator"):
        pass
    client = Client(f"opc.tcp://127.0.0.1:{plantree.opcua.port}/plantree")
    client.set_user("Operator")
    client.set_password(PASSWORD + "x")
    with pytest.raises(uaerrors.UaStatusCodeError):
        await client.connect()


async def test_a_stop_does_not_wait_for_a_command_of_the_same_client(plantree: Plantree, tmp_path: Path) -> None:
    """One connection: while a write waits for its machine, an emergency stop goes through."""
    machine = plantree.plant.machine("Plant.Press1")
    lock = plantree.commands._locks.setdefault(machine.path, asyncio.Lock())
    async with session(plantree, "Supervisor") as client:
        press = client.get_node(nid("Plant.Press1"))
        async with lock:
            aiming = asyncio.create_task(press.call_method(nid("Plant.Press1.Aim"), 5.0))
            reason = ua.Variant("smoke", ua.VariantType.String)
            with pytest.raises(uaerrors.BadNoCommunication):  # nothing feeds the press: it is latched all the same
                await asyncio.wait_for(press.call_method(nid("Plant.Press1.EmergencyStop"), reason), 2)
            assert not aiming.done()
        await aiming
    assert plantree.stops.latched(machine)


async def test_a_chunk_larger_than_the_buffer_is_hung_up_on(plantree: Plantree) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", plantree.opcua.port)
    writer.write(b"HELF" + (2**31 - 1).to_bytes(4, "little") + b"x" * 1000)
    answer = await asyncio.wait_for(reader.read(), 5)  # to the end: the server has closed
    assert answer.startswith(b"ERRF")
    assert ua.StatusCodes.BadTcpMessageTooLarge.to_bytes(4, "little") in answer
    writer.close()


async def _read_on(client: Client) -> None:
    async with asyncio.timeout(30):
        while True:
            await read(client, ITEM)


def _removed(users: Users) -> None:
    users.remove("engineer")


def _other_password(users: Users) -> None:
    users.add("engineer", "another one", ["engineer"], replace=True)


def _other_role(users: Users) -> None:
    users.add("engineer", PASSWORD, ["observer"], replace=True)


@pytest.mark.parametrize("change", [_removed, _other_password, _other_role])
async def test_a_changed_user_s_sessions_end(plantree: Plantree, change: Callable[[Users], None]) -> None:
    plantree.users.add("engineer", PASSWORD, ["engineer"], replace=True)
    beside = Users(plantree.settings.data_dir / "users.sqlite", plantree.settings.certs_dir / "users")
    try:
        async with session(plantree, "operator") as other, session(plantree, "engineer") as client:
            assert (await read(client, ITEM))[0].StatusCode.is_good()
            await asyncio.to_thread(change, beside)  # as `users` on the command line does, in a process of its own
            with pytest.raises(uaerrors.BadSessionIdInvalid):
                await _read_on(client)
            assert (await read(other, ITEM))[0].StatusCode.is_good()
    finally:
        beside.close()


async def test_a_session_ends_when_its_user_s_certificate_is_taken_away(plantree: Plantree) -> None:
    card, folder = pki.make("card", uri=None), plantree.settings.certs_dir / "users"
    plantree.users.add("carla", PASSWORD, ["operator"])
    (folder / "carla.der").write_bytes(pki.der(card))
    async with session(plantree) as anybody:
        [endpoint, *_] = await anybody.get_endpoints()
    by_card = Client(f"opc.tcp://127.0.0.1:{plantree.opcua.port}/plantree", timeout=30, watchdog_intervall=30)
    by_card.user_certificate, by_card.user_private_key = card, pki.key()
    by_card.security_policy.peer_certificate = endpoint.ServerCertificate
    async with session(plantree, "carla") as by_password, by_card:
        await plantree.opcua.departures.look()
        assert (await read(by_card, ITEM))[0].StatusCode.is_good()
        await asyncio.to_thread((folder / "carla.der").unlink)
        with pytest.raises(uaerrors.BadSessionIdInvalid):
            await _read_on(by_card)
        assert (await read(by_password, ITEM))[0].StatusCode.is_good()


async def test_who_cannot_be_looked_up_stays(plantree: Plantree, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_name: str) -> None:
        raise UsersError("the disk is gone")

    async with session(plantree, "operator") as client:
        monkeypatch.setattr(plantree.users, "standing", broken)
        await plantree.opcua.departures.look()
        assert (await read(client, ITEM))[0].StatusCode.is_good()


async def test_the_tree_shows_how_many_there_are_and_who_was_refused(plantree: Plantree) -> None:
    sessions, refused = (plantree.plant.variable(f"Plant.ServerDiagnostics.{name}").id for name in
                         ("Sessions", "RefusedSignIns"))  # fmt: skip
    async with session(plantree, "operator") as client:
        await plantree.store.journal.wait(lambda: plantree.store.value(sessions) == 1)
        stranger = Client(client.server_url.geturl())
        stranger.set_user("operator")
        stranger.set_password("wrong")
        before = plantree.users.failures
        with pytest.raises(uaerrors.BadUserAccessDenied):
            await stranger.connect()
        await plantree.store.journal.wait(lambda: plantree.store.value(refused) == before + 1)
    await plantree.store.journal.wait(lambda: plantree.store.value(sessions) == 0)
