"""Tokens: made with a password, kept as hashes, ended by time, by their user, by an administrator."""

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from web_rig import PASSWORD, World, world

import gateways.web.tokens

SPEED = "/api/v1/values/Plant.Press1.Speed"


async def made(plant: World, **body: Any) -> dict[str, Any]:
    await plant.add_user("olga", "Operator")
    answer = await (await plant.stranger()).post("/api/v1/tokens", json={"user": "olga", "password": PASSWORD, **body})
    assert answer.status_code == 201, answer.text
    form: dict[str, Any] = answer.json()
    return form


async def status(plant: World, token: str) -> int:
    client = await plant.stranger()
    return (await client.get(SPEED, headers={"Authorization": f"Bearer {token}"})).status_code


async def test_a_token_lets_in_and_is_kept_as_its_hash(plant: World) -> None:
    form = await made(plant, note="for the report")
    assert form["token"].startswith("plantree_")
    assert await status(plant, form["token"]) == 200
    for wrong in ("x", "plantree_", form["token"][:-1], form["token"] + "x", form["id"]):
        assert await status(plant, wrong) == 401, wrong
    for file in plant.folder.rglob("tokens.sqlite*"):
        assert form["token"].encode() not in file.read_bytes()
    assert (plant.folder / "gateways" / "web" / "tokens.sqlite").stat().st_mode & 0o077 == 0


async def test_a_token_survives_a_restart_and_a_cookie_does_not(tmp_path: Path) -> None:
    async with world(tmp_path) as plant:
        token = (await made(plant))["token"]
        browser = await plant.person("Operator")
        cookies = dict(browser.cookies)
    async with world(tmp_path) as plant:
        assert await status(plant, token) == 200
        client = await plant.stranger()
        client.cookies.update(cookies)
        assert (await client.get(SPEED)).status_code == 401


async def test_a_token_has_an_end(plant: World, monkeypatch: pytest.MonkeyPatch) -> None:
    short, long = await made(plant, days=1), await made(plant, days=10_000)
    now = time.time()
    for days, codes in ((0.9, (200, 200)), (1.1, (401, 200)), (29.9, (401, 200)), (30.1, (401, 401))):
        monkeypatch.setattr(gateways.web.tokens.time, "time", lambda days=days: now + days * 86_400)
        assert (await status(plant, short["token"]), await status(plant, long["token"])) == codes, days


async def test_tokens_are_listed_without_their_secrets_and_revoked(plant: World) -> None:
    form, other = await made(plant, note="one"), await made(plant, note="two")
    client = await plant.stranger()
    client.headers["Authorization"] = f"Bearer {form['token']}"
    listed = (await client.get("/api/v1/tokens")).json()["tokens"]
    assert [it["note"] for it in listed] == ["one", "two"]
    assert all("token" not in it for it in listed)
    stranger = await plant.script("Engineer")
    assert (await stranger.delete(f"/api/v1/tokens/{other['id']}")).status_code == 404
    assert await status(plant, other["token"]) == 200
    assert (await client.delete(f"/api/v1/tokens/{other['id']}")).status_code == 204
    assert (await status(plant, other["token"]), await status(plant, form["token"])) == (401, 200)
    admin = await plant.script("SecurityAdmin")
    assert (await admin.delete(f"/api/v1/tokens/{form['id']}")).status_code == 204
    assert await status(plant, form["token"]) == 401
    assert (await admin.delete(f"/api/v1/tokens/{form['id']}")).status_code == 404


async def test_a_removed_user_s_token_opens_nothing(plant: World) -> None:
    token = (await made(plant))["token"]
    assert await status(plant, token) == 200
    plant.users.remove("olga")
    plant.gateway.web.sessions.known._found.clear()  # what is believed for two seconds
    assert await status(plant, token) == 401


async def test_a_revoked_token_s_live_stream_ends(plant: World) -> None:
    client = await plant.script("Operator")
    (token,) = (await client.get("/api/v1/tokens")).json()["tokens"]
    async with plant.page(client, Origin="http://anywhere.example") as page:  # a script has no page
        await page.frame()
        assert (await client.delete(f"/api/v1/tokens/{token['id']}")).status_code == 204
        assert await page.closed() == 4401


@pytest.mark.parametrize(
    ("body", "code"),
    [({"password": "wrong horse"}, 401), ({"user": "nobody"}, 401), ({"days": 0}, 422), ({"days": -1}, 422),
     ({"days": "x"}, 422), ({"note": "x" * 201}, 422), ({"more": 1}, 422), ({"user": "x" * 65}, 422)],
    ids=range(8),
)  # fmt: skip
async def test_a_token_is_not_made_of_what_is_wrong(plant: World, body: dict[str, Any], code: int) -> None:
    await plant.add_user("olga", "Operator")
    asked = {"user": "olga", "password": PASSWORD} | body
    answer = await (await plant.stranger()).post("/api/v1/tokens", json=asked)
    assert answer.status_code == code
    assert answer.headers["content-type"] == "application/problem+json"
    assert plant.gateway.web.tokens.of("olga") == []


async def test_a_user_has_so_many_tokens_and_no_more(plant: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways.web.tokens, "MOST_OF_ONE", 2)
    await made(plant)
    await made(plant)
    answer = await (await plant.stranger()).post("/api/v1/tokens", json={"user": "olga", "password": PASSWORD})
    assert answer.status_code == 409
    assert len(plant.gateway.web.tokens.of("olga")) == 2


async def test_a_token_that_cannot_be_kept_is_not_given(plant: World) -> None:
    await plant.add_user("olga", "Operator")
    file = plant.folder / "gateways" / "web" / "tokens.sqlite"
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("DROP TABLE tokens")
    answer = await (await plant.stranger()).post("/api/v1/tokens", json={"user": "olga", "password": PASSWORD})
    assert answer.status_code == 503
    assert plant.gateway.web.tokens.of("olga") == []
