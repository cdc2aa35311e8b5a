"""Pictures of alarms over HTTP: who gets them, what is said where there is none (any more), and links to them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest
from argon2 import PasswordHasher

from address_space import Plant, Role, load_plant
from server.evidence import Evidence, EvidenceRegister
from server.http import Http
from server.metrics import Metrics
from server.security.throttle import Throttle
from server.security.users import Users
from server.settings import HttpSettings
from server.snapshots import Snapshots
from sources.vision.evidence import Archive, EvidenceStore
from sources.vision.settings import EvidenceSettings
from tests.server.evidence_rig import PLANT, seen

PASSWORD = "correct horse battery"


class Rig:
    """The HTTP server with its users, and a folder of evidence."""

    def __init__(self, folder: Path, plant: Plant) -> None:
        self.folder = folder / "vision"
        self.store = EvidenceStore(self.folder, EvidenceSettings(min_free=0))
        self.register = EvidenceRegister()
        self.register.add(Archive(self.folder))
        self.waits: list[float] = []
        self.users = Users(
            folder / "users.sqlite",
            hasher=PasswordHasher(time_cost=1, memory_cost=8, parallelism=1),
            throttle=Throttle(clock=lambda: 0.0, sleep=self._sleep),
        )
        for role in (Role.AuthenticatedUser, Role.Observer, Role.Engineer):
            self.users.add(role.value, PASSWORD, [role])
        self.told: dict[str, Evidence] = {}
        self.http = Http(HttpSettings(port=0), Metrics())
        Snapshots(plant, self.register, self.users, self._past).attach(self.http.app)

    async def _past(self, id_: str) -> Evidence | None:
        return self.told.get(id_)

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def stored(self, rule: str = "Fire", boxed: bytes = b"with boxes", clean: bytes = b"clean") -> Evidence:
        found = self.store.store(seen(rule), boxed, clean)
        self.told[found.id] = found
        return found

    async def get(
        self, name: str, user: str | None = "Observer", password: str = PASSWORD, **headers: str
    ) -> tuple[int, bytes, Mapping[str, str]]:
        url = f"http://127.0.0.1:{self.http.port}/snapshots/{name}"
        given = {key.replace("_", "-"): it for key, it in headers.items()}
        if user is not None:
            given["Authorization"] = aiohttp.encode_basic_auth(user, password)
        async with aiohttp.ClientSession() as session, session.get(url, headers=given) as response:
            return response.status, await response.read(), response.headers

    async def status(self, name: str, user: str | None = "Observer", password: str = PASSWORD) -> int:
        return (await self.get(name, user, password))[0]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    file = tmp_path / "plant.yaml"
    file.write_text(PLANT, encoding="utf-8")
    found = Rig(tmp_path, load_plant(file))
    await found.http.start()
    found.register.base_url = found.http.base_url
    yield found
    await found.http.stop()
    found.users.close()


async def test_both_pictures_come_as_they_were_stored(rig: Rig) -> None:
    stored = rig.stored()
    status, body, headers = await rig.get(f"{stored.id}.jpg")
    assert (status, body, headers["Content-Type"]) == (200, b"with boxes", "image/jpeg")
    assert hashlib.sha256(body).hexdigest() == stored.snapshot_sha256
    assert headers["Cache-Control"] == "private, no-cache"
    assert headers["X-Content-Type-Options"] == "nosniff"
    status, body, _ = await rig.get(f"{stored.id}.clean.jpg")
    assert (status, body) == (200, b"clean")


async def test_what_a_browser_has_already_is_not_sent_again_but_only_to_who_may_see_it(rig: Rig) -> None:
    stored = rig.stored()
    tag = (await rig.get(f"{stored.id}.jpg"))[2]["ETag"]
    assert (await rig.get(f"{stored.id}.jpg", If_None_Match=tag))[:2] == (304, b"")
    assert (await rig.get(f"{stored.id}.jpg", None, If_None_Match=tag))[0] == 401
    assert (await rig.get(f"{stored.id}.clean.jpg", If_None_Match=tag))[0] == 200


async def test_the_address_is_that_of_the_register(rig: Rig) -> None:
    stored = rig.stored()
    assert rig.register.uri(stored) == f"http://127.0.0.1:{rig.http.port}/snapshots/{stored.id}.jpg"


async def test_nobody_without_a_password_gets_in(rig: Rig) -> None:
    name = f"{rig.stored().id}.jpg"
    status, _, headers = await rig.get(name, None)
    assert (status, headers["WWW-Authenticate"]) == (401, 'Basic realm="Plantree", charset="UTF-8"')
    assert await rig.status(name, password="wrong") == 401
    assert await rig.status(name, "nobody") == 401
    assert await rig.status("none.jpg", None) == 401, "whether there is one is not told either"
    for header in ("Basic", "Basic %%%", "Bearer abc", "Basic bm9jb2xvbg=="):
        assert (await rig.get(name, None, Authorization=header))[0] == 401


async def test_guessing_is_slowed_down_as_everywhere(rig: Rig) -> None:
    name = f"{rig.stored().id}.jpg"
    for _ in range(3):
        assert await rig.status(name, password="guess") == 401
    assert await rig.status(name) == 200
    assert rig.waits == [0.5, 1.0, 2.0]
    assert rig.users.failures == 3


async def test_a_page_of_pictures_costs_one_check(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{rig.stored(rule).id}.jpg" for rule in ("A", "B", "C")]
    asked: list[str] = []
    verify = rig.users.verify
    monkeypatch.setattr(rig.users, "verify", lambda name, password: asked.append(name) or verify(name, password))
    assert [await rig.status(name) for name in names] == [200, 200, 200]
    assert asked == ["Observer"]
    assert await rig.status(names[0], password=f"{PASSWORD}?") == 401


async def test_the_role_decides(rig: Rig) -> None:
    fire, intruder = f"{rig.stored().id}.jpg", f"{rig.stored('Intruder').id}.jpg"
    assert await rig.status(fire, "AuthenticatedUser") == 403
    assert await rig.status("none.jpg", "AuthenticatedUser") == 403
    assert await rig.status(intruder, "Observer") == 403
    assert await rig.status(intruder, "Engineer") == 200


async def test_what_never_was_is_not_found(rig: Rig) -> None:
    rig.stored()
    for name in ("20260101T000000000Z-Plant.Camera1.Fire.jpg", "x.jpg", "x", "..%2f..%2fusers.sqlite", "%00.jpg"):
        assert (name, await rig.status(name)) == (name, 404)


async def test_what_retention_took_is_gone(rig: Rig) -> None:
    stored, intruder = rig.stored(), rig.stored("Intruder")
    for one in (stored, intruder):
        for file in (rig.folder / one.snapshot).parent.glob(f"{one.id}*"):
            file.unlink()
    status, body, _ = await rig.get(f"{stored.id}.jpg")
    assert (status, body) == (410, b"the picture is no longer kept\n")
    assert await rig.status(f"{stored.id}.clean.jpg") == 410
    assert await rig.status(f"{intruder.id}.jpg") == 403
    assert await rig.status(f"{intruder.id}.jpg", "Engineer") == 410


async def test_a_false_alarm_is_shown_although_retention_took_the_rest(rig: Rig) -> None:
    stored = rig.stored()
    rig.register.report_false_alarm(stored.id, "otto", "a red jacket")
    for file in (rig.folder / stored.snapshot).parent.glob(f"{stored.id}*"):
        file.unlink()
    assert (await rig.get(f"{stored.id}.jpg"))[:2] == (200, b"with boxes")


async def test_a_changed_picture_is_not_shown(rig: Rig) -> None:
    stored = rig.stored()
    (rig.folder / stored.snapshot).write_bytes(b"retouched")
    status, body, _ = await rig.get(f"{stored.id}.jpg")
    assert status == 500
    assert b"not as it was stored" in body
    assert await rig.status(f"{stored.id}.clean.jpg") == 200


async def test_a_rule_may_be_called_clean(rig: Rig) -> None:
    plain, called = rig.stored("A", b"a"), rig.stored("A.clean", b"b")
    assert (await rig.get(f"{called.id}.jpg"))[1] == b"b"
    assert (await rig.get(f"{plain.id}.clean.jpg"))[1] == b"clean"


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"host": "127.0.0.1"}, "http://127.0.0.1:{port}"),
        ({"public_url": "https://plant.example"}, "https://plant.example"),
        ({"public_url": "https://plant.example/tree/"}, "https://plant.example/tree"),
    ],
)
async def test_where_others_reach_the_server(settings: dict[str, str], wanted: str) -> None:
    http = Http(HttpSettings(port=0, **settings), Metrics())  # type: ignore[arg-type]
    await http.start()
    try:
        assert http.base_url == wanted.format(port=http.port)
    finally:
        await asyncio.shield(http.stop())


@pytest.mark.parametrize("wrong", ["plant.example", "ftp://plant.example", "https://plant example", "https://a?b=1"])
def test_what_is_no_address_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="public_url"):
        HttpSettings(public_url=wrong)
