"""Who gets in, with what, from where and how often: cookies, CSRF, origins, limits, TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import httpx
import pytest
from web_rig import PASSWORD, World, until, world

from gateways.web.ports import preferred

SPEED, TARGET = "/api/v1/values/Plant.Press1.Speed", "/api/v1/values/Plant.Press1.Target"


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def test_a_login_is_a_cookie_that_no_script_and_no_other_site_gets(plant: World) -> None:
    await plant.add_user("olga", "Operator")
    client = await plant.stranger()
    answer = await client.post("/login", json={"user": "olga", "password": PASSWORD, "language": "de"})
    assert answer.status_code == 200
    assert answer.json().items() >= {"name": "olga", "language": "de"}.items()
    assert "Operator" in answer.json()["roles"]
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("plantree=")
    assert {"httponly", "samesite=strict", "path=/"} <= set(cookie.split("; "))
    assert "secure" not in cookie
    assert (await client.get("/api/v1/session")).json()["name"] == "olga"
    assert (await client.get(SPEED)).status_code == 200


@pytest.mark.parametrize("given", [{"password": "wrong horse"}, {"user": "nobody"}])
async def test_wrong_credentials_open_nothing(plant: World, given: dict[str, str]) -> None:
    await plant.add_user("olga", "Operator")
    client = await plant.stranger()
    answer = await client.post("/login", json={"user": "olga", "password": PASSWORD} | given)
    assert answer.status_code == 401
    assert answer.json()["detail"] == "wrong name or password"
    assert answer.headers["content-type"] == "application/problem+json"
    assert "set-cookie" not in answer.headers
    assert len(plant.gateway.web.sessions) == 0


@pytest.mark.parametrize("body", [{}, {"user": "olga"}, {"user": 1, "password": "x"}, {"user": "", "password": "x"}])
async def test_a_login_of_the_wrong_form_says_what_is_wrong(plant: World, body: dict[str, object]) -> None:
    answer = await (await plant.stranger()).post("/login", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"]


async def test_strangers_see_the_login_and_nothing_else(plant: World) -> None:
    client = await plant.stranger()
    sent = await client.get("/trends?of=Press1")
    assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=/trends%3Fof%3DPress1")
    assert (await client.get("/")).headers["location"] == "/login"
    for path in (SPEED, "/api/v1/model", "/api/v1/tokens", "/api/v1/session", "/api/v1/nothing"):
        answer = await client.get(path)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
    assert (await client.put(TARGET, json={"value": 1.0})).status_code == 401
    assert (await client.post("/logout")).status_code == 401
    assert (await client.get("/api/v1/openapi.json")).status_code == 200


async def test_a_change_needs_the_token_of_its_session(plant: World) -> None:
    client, other = await plant.person("Operator"), await plant.person("Operator")
    csrf = client.headers.pop("X-CSRF-Token")
    for wrong in ("", "x", "ü".encode(), other.headers["X-CSRF-Token"]):
        answer = await client.put(TARGET, json={"value": 20.0}, headers={"X-CSRF-Token": wrong})
        assert answer.status_code == 403
    assert (await client.post("/logout")).status_code == 403
    assert plant.value("Press1.Target") == 10.0
    assert (await client.put(TARGET, json={"value": 20.0}, headers={"X-CSRF-Token": csrf})).status_code == 200
    assert plant.value("Press1.Target") == 20.0


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"},
     {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}],
)  # fmt: skip
async def test_a_change_comes_from_a_page_of_ours(plant: World, headers: dict[str, str]) -> None:
    client = await plant.person("Operator")
    assert (await client.put(TARGET, json={"value": 20.0}, headers=headers)).status_code == 403
    assert (await client.post("/login", json={"user": "x", "password": "y"}, headers=headers)).status_code == 403
    assert plant.value("Press1.Target") == 10.0
    own = {"Origin": plant.url, "Sec-Fetch-Site": "same-origin"}
    assert (await client.put(TARGET, json={"value": 20.0}, headers=own)).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
async def test_the_live_stream_is_for_pages_of_ours(plant: World, origin: str) -> None:
    client = await plant.person("Operator")
    with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
        async with plant.page(client, Origin=origin):
            pass
    with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
        async with plant.page(await plant.stranger()):
            pass


async def test_a_logout_ends_the_session_and_its_live_page(plant: World) -> None:
    client = await plant.person("Operator")
    async with plant.page(client) as page:
        await page.frame()
        cookie = dict(client.cookies)
        assert (await client.post("/logout")).status_code == 204
        assert await page.closed() == 4401
    assert (await client.get(SPEED)).status_code == 401
    stolen = httpx.AsyncClient(base_url=plant.url, cookies=cookie)
    async with stolen:
        assert (await stolen.get(SPEED)).status_code == 401


async def test_a_login_ends_when_it_is_not_used(tmp_path: Path) -> None:
    async with world(tmp_path, session_timeout=60.0, session_lifetime=100.0) as plant:
        now = 1000.0
        sessions = plant.gateway.web.sessions
        sessions.now = sessions.known._clock = lambda: now
        client = await plant.person("Operator")
        for now in (1059.0, 1099.0):  # noqa: B007  the clock reads it
            assert (await client.get(SPEED)).status_code == 200
        now = 1101.0
        assert (await client.get(SPEED)).status_code == 401
        again = await plant.person("Operator")
        now = 1162.0
        assert (await again.get(SPEED)).status_code == 401
        await until(lambda: plant.ends() == [("operator", "web 127.0.0.1", "Timeout")] * 2)


async def test_attempts_to_log_in_are_limited_by_address(tmp_path: Path) -> None:
    async with world(tmp_path, logins_per_minute=3) as plant:
        now = 1000.0
        for buckets in (plant.gateway.web.sessions.attempts, plant.gateway.web.sessions.held_up):
            buckets._clock = lambda: now
        client = await plant.stranger()
        wrong = {"user": "nobody", "password": "x"}
        answers = await asyncio.gather(*(client.post("/login", json=wrong | {"user": str(n)}) for n in range(5)))
        codes = [it.status_code for it in answers]
        assert sorted(codes) == [401, 401, 401, 429, 429]
        assert all(int(it.headers["retry-after"]) > 0 for it in answers if it.status_code == 429)
        assert (await client.post("/api/v1/tokens", json=wrong)).status_code == 429
        now += 20.0
        assert (await client.post("/api/v1/tokens", json=wrong)).status_code == 401
        messages = [it.message for it in plant.trail()]
        assert messages.count("too many attempts to log in from this address") == 1, "the trail is not flooded"
        assert len(messages) == 3 + 1 + 1
        now += 60.0
        for _ in range(4):
            await client.post("/login", json=wrong)
        assert plant.trail()[-1].message == "too many attempts to log in from this address"


async def test_requests_are_limited_but_never_a_stop(tmp_path: Path) -> None:
    async with world(tmp_path, requests_per_minute=5) as plant:
        plant.gateway.web.sessions.requests._clock = lambda: 1000.0
        client = await plant.person("Operator")
        codes = [(await client.get(SPEED)).status_code for _ in range(7)]
        assert codes == [200] * 5 + [429] * 2
        stop = await client.post("/api/v1/commands/Plant.EmergencyStop")
        assert stop.status_code == 200
        assert len(plant.source.stopped) == 2
        assert (await (await plant.person("Engineer")).get(SPEED)).status_code == 200


async def test_a_body_too_large_is_refused_with_and_without_its_length(plant: World) -> None:
    client = await plant.person("Operator")

    async def endless():
        for _ in range(40):
            yield b" " * 65_536

    for body in (b" " * 2_000_000, endless()):
        answer = await client.put(TARGET, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
    assert plant.value("Press1.Target") == 10.0


async def test_answers_say_what_browsers_may_do_with_them(plant: World) -> None:
    answer = await (await plant.person("Operator")).get("/api/v1/session")
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers


async def test_tls_is_the_server_s_certificate(tmp_path: Path) -> None:
    async with world(tmp_path, tls=True) as plant:
        assert plant.url.startswith("https://")
        client = await plant.person("Operator")
        assert (await client.get(SPEED)).status_code == 200
        cookie = next(iter(client.cookies.jar))
        assert (cookie.name, cookie.secure) == ("__Host-plantree", True)
        shown = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", plant.gateway.port))
        assert shown.strip() == plant.certificate.read_text().strip()
        async with httpx.AsyncClient() as plain:
            with pytest.raises(httpx.HTTPError):
                await plain.get(plant.url.replace("https", "http"))


@pytest.mark.parametrize(
    ("header", "language"),
    [("", "en"), ("de", "de"), ("de-AT,en;q=0.8", "de"), ("fr, de;q=0.1", "de"), ("en;q=0.3, de;q=0.7", "de"),
     ("en, de", "en"), ("de;q=x", "en"), ("*", "en")],
)  # fmt: skip
def test_the_language_is_the_browser_s_choice(header: str, language: str) -> None:
    assert preferred(header) == language


async def test_a_stop_works_though_the_users_cannot_be_read(plant: World) -> None:
    client = await plant.script("Operator")
    assert (await client.get(SPEED)).status_code == 200
    sessions = plant.gateway.web.sessions
    then, principal = sessions.known._found["operator"]
    sessions.known._found["operator"] = (then - 60, principal)  # what is believed for two seconds
    (plant.folder / "users.sqlite").write_bytes(b"this is no database" * 1000)
    for file in plant.folder.glob("users.sqlite-*"):
        file.unlink()
    assert (await client.post("/api/v1/commands/Plant.EmergencyStop")).status_code == 200
    assert len(plant.source.stopped) == 2
    assert (await (await plant.stranger()).post("/login", json={"user": "x", "password": "y"})).status_code == 503
