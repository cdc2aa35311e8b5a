"""How logins end, on every way and at once when the user is another one; and that all of it is on the audit trail."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from asyncua import ua
from web_rig import PASSWORD, World, until, world

from server.audit import AuditKind
from server.opcua.events.audit import AuditEvent

SPEED = "/api/v1/values/Plant.Press1.Speed"


@pytest.mark.parametrize("change", ["password", "role", "removed"])
async def test_a_user_who_is_changed_is_out_on_every_way(plant: World, change: str) -> None:
    client, script = await plant.person("Operator"), await plant.script("Operator")
    untouched = await plant.person("Observer")
    async with plant.page(client) as page, plant.page(script) as stream:
        await page.frame()
        await stream.frame()
        if change == "password":
            await users(plant.folder, "add", "operator", "--role", "Operator", "--replace")
        elif change == "role":
            plant.users.add("operator", PASSWORD, ["Observer"], replace=True)
        else:
            plant.users.remove("operator")
        assert (await page.closed(), await stream.closed()) == (4401, 4401)
    assert (await client.get(SPEED)).status_code == 401
    assert (await script.get(SPEED)).status_code == 401
    ended = [("operator", "rest", "Terminated"), ("operator", "web 127.0.0.1", "Terminated")]
    await until(lambda: [it for it in sorted(plant.ends()) if it[0] == "operator"] == ended)
    assert not plant.gateway.web.tokens.of("operator")
    assert (await untouched.get(SPEED)).status_code == 200


async def test_a_user_made_anew_does_not_open_the_token_of_the_one_before(tmp_path: Path) -> None:
    async with world(tmp_path) as plant:
        token = (await plant.script("Operator")).headers["Authorization"]
    async with world(tmp_path) as plant:
        plant.users.remove("operator")
        plant.users.add("operator", PASSWORD, ["Operator"])
        client = await plant.stranger()
        assert (await client.get(SPEED, headers={"Authorization": token})).status_code == 401
        await until(lambda: not plant.gateway.web.tokens.of("operator"))


async def test_logins_and_their_ends_are_audited(plant: World) -> None:
    stranger = await plant.stranger()
    await plant.add_user("olga", "Operator")
    for path in ("/login", "/api/v1/tokens"):
        assert (await stranger.post(path, json={"user": "olga", "password": "wrong horse"})).status_code == 401
    client, script = await plant.person("Operator"), await plant.script("Operator")
    (token,) = (await script.get("/api/v1/tokens")).json()["tokens"]
    assert (await script.delete(f"/api/v1/tokens/{token['id']}")).status_code == 204
    assert (await script.get(SPEED)).status_code == 401
    assert (await client.post("/logout")).status_code == 204
    assert plant.audit() == [
        ("olga", "web 127.0.0.1", "ActivateSession", "0x801F0000"),
        ("olga", "rest 127.0.0.1", "ActivateSession", "0x801F0000"),
        ("operator", "web 127.0.0.1", "ActivateSession", "0x00000000"),
        ("operator", "rest 127.0.0.1", "ActivateSession", "0x00000000"),
        ("operator", "rest 127.0.0.1", "CloseSession", "0x00000000"),
        ("anonymous", "rest 127.0.0.1", "ActivateSession", "0x80200000"),
        ("operator", "web 127.0.0.1", "CloseSession", "0x00000000"),
    ]
    kept = plant.trail()
    assert [it.kind for it in kept[:2]] == [AuditKind.ACTIVATE_SESSION] * 2
    assert kept[2].details["session"] == kept[6].details["session"] != kept[3].details["session"]
    event = AuditEvent(kept[2], plant.plant, "urn:x")
    assert event.value(("EventType",)).Value == ua.NodeId(ua.ObjectIds.AuditActivateSessionEventType)  # type: ignore[union-attr]
    assert event.value(("UserIdentityToken",)).Value.UserName == "operator"  # type: ignore[union-attr]
    assert all(PASSWORD not in str(it) and "wrong horse" not in str(it) for it in kept)


async def test_unknown_tokens_are_audited_but_do_not_flood_the_trail(tmp_path: Path) -> None:
    async with world(tmp_path, logins_per_minute=3) as plant:
        client = await plant.stranger()
        for _ in range(5):
            assert (await client.get(SPEED, headers={"Authorization": "Bearer plantree_x"})).status_code == 401
        assert len(plant.audit()) == 3


async def test_an_end_of_the_server_ends_sessions_on_the_trail(tmp_path: Path) -> None:
    async with world(tmp_path) as plant:
        await plant.person("Operator")
    assert plant.ends() == [("operator", "web 127.0.0.1", "Terminated")]


async def users(folder: Path, *arguments: str) -> None:
    """Change users as the command line does, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server", "users", *arguments,
        env=os.environ | {"PLANTREE_DATA_DIR": str(folder), "PLANTREE_CERTS_DIR": str(folder / "certs")},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate(b"another correct horse\n")
    assert process.returncode == 0, said.decode()
