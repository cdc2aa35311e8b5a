import asyncio
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from address_space.model import Role
from server.security.database import UsersError
from server.security.roles import ALL_ROLES
from server.security.users import Users

from . import pki_builder as pki

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def users(tmp_path: Path) -> Iterator[Users]:
    made = Users(tmp_path / "data" / "users.sqlite", tmp_path / "users", hasher=CHEAP)
    (tmp_path / "users").mkdir()
    yield made
    made.close()


def test_add_verify_list_remove(users: Users) -> None:
    users.add("anna", "correct horse", [Role.Operator])
    users.add("bert", "battery staple", ["observer", "ENGINEER"])
    principal = users.verify("anna", "correct horse")
    assert principal is not None
    assert principal.name == "anna"
    assert principal.has(Role.AuthenticatedUser)
    assert principal.has(Role.Observer)
    assert not principal.has(Role.Supervisor)
    assert [(user.name, user.roles) for user in users.list()] == [
        ("anna", {Role.Operator}),
        ("bert", {Role.Observer, Role.Engineer}),
    ]
    users.remove("anna")
    assert users.verify("anna", "correct horse") is None
    assert [user.name for user in users.list()] == ["bert"]


def test_a_user_by_name_alone(users: Users) -> None:
    users.add("anna", "correct horse", [Role.Operator])
    assert users.named("anna") == users.verify("anna", "correct horse")
    assert users.named("bert") is None
    users.remove("anna")
    assert users.named("anna") is None


def test_how_a_user_stands_changes_with_password_roles_and_person(users: Users) -> None:
    assert users.standing("anna") is None
    stamps: list[str] = []
    for password, role in (
        ("correct horse", Role.Operator),
        ("other horses", Role.Operator),
        ("other horses", Role.Observer),
    ):
        users.add("anna", password, [role], replace=True)
        principal, stamp = users.standing("anna") or (None, "")
        assert principal == users.named("anna") == users.verify("anna", password)
        assert users.standing("anna") == (principal, stamp)
        stamps.append(stamp)
    users.remove("anna")
    users.add("anna", "other horses", [Role.Observer])
    stamps.append((users.standing("anna") or (None, ""))[1])
    assert len(set(stamps)) == 4


@pytest.mark.parametrize("password", ["", "correct hors", "Correct horse", "correct horse ", "x" * 5000, "\ud800"])
def test_a_wrong_password(users: Users, password: str) -> None:
    users.add("anna", "correct horse", [Role.Operator])
    assert users.verify("anna", password) is None


def test_accents_however_they_are_composed(users: Users) -> None:
    users.add("anna", "M\u00fcllerstra\u00dfe", [Role.Operator])
    assert users.verify("anna", "Mu\u0308llerstra\u00dfe") is not None


@pytest.mark.parametrize(
    ("name", "password", "roles", "sentence"),
    [
        ("", "correct horse", [], "no user name"),
        ("a b", "correct horse", [], "no user name"),
        ("anna\n", "correct horse", [], "no user name"),
        ("x" * 65, "correct horse", [], "no user name"),
        ("anna", "short12", [], "8 to 1024 characters"),
        ("anna", "x" * 1025, [], "8 to 1024 characters"),
        ("annabella", "AnnaBella", [], "must not be the user's name"),
        ("anna", "correct horse", ["Boss"], "'Boss' is not a role"),
        ("anna", "correct horse", ["Anonymous"], "'Anonymous' is not a role"),
    ],
)
def test_rules(users: Users, name: str, password: str, roles: list[str], sentence: str) -> None:
    with pytest.raises(UsersError, match=sentence):
        users.add(name, password, roles)
    assert users.list() == []


def test_a_name_is_taken_once_unless_replaced(users: Users) -> None:
    users.add("anna", "correct horse", [Role.Operator])
    with pytest.raises(UsersError, match="there is a user 'anna' already"):
        users.add("anna", "battery staple", [Role.Supervisor])
    assert users.verify("anna", "battery staple") is None
    users.add("anna", "battery staple", [Role.Observer], replace=True)
    principal = users.verify("anna", "battery staple")
    assert principal is not None
    assert not principal.has(Role.Operator)


def test_nobody_to_remove(users: Users) -> None:
    with pytest.raises(UsersError, match="there is no user 'anna'"):
        users.remove("anna")


def test_first_start_makes_one_administrator(users: Users) -> None:
    password = users.ensure_administrator()
    assert password is not None
    assert len(password) >= 20
    administrator = users.verify("admin", password)
    assert administrator is not None
    assert administrator.roles == ALL_ROLES
    assert users.ensure_administrator() is None


def test_an_existing_user_needs_no_administrator(users: Users) -> None:
    users.add("anna", "correct horse", [Role.Operator])
    assert users.ensure_administrator() is None
    assert [user.name for user in users.list()] == ["anna"]


def test_the_files_are_private_and_hold_no_password(users: Users, tmp_path: Path) -> None:
    users.add("anna", "correct horse", [Role.Operator])
    connection = sqlite3.connect(tmp_path / "data" / "users.sqlite")
    try:
        # An open reader keeps the -wal and -shm files in place.
        stored = connection.execute("SELECT password FROM users").fetchone()[0]
        files = list((tmp_path / "data").iterdir())
        assert len(files) == 3
        for file in files:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
            assert b"correct horse" not in file.read_bytes()
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    finally:
        connection.close()
    assert stored.startswith("$argon2id$")


def test_lax_permissions_are_tightened(users: Users, tmp_path: Path) -> None:
    file = tmp_path / "data" / "users.sqlite"
    file.chmod(0o644)
    Users(file, hasher=CHEAP).close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_hash_of_other_parameters_is_renewed_at_sign_in(users: Users, tmp_path: Path) -> None:
    users.add("anna", "correct horse", [Role.Operator])
    file = tmp_path / "data" / "users.sqlite"
    stronger = Users(file, hasher=PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    assert stronger.verify("anna", "wrong horse") is None
    assert "m=8,t=1" in _hash(file)
    assert stronger.verify("anna", "correct horse") is not None
    assert "m=16,t=2" in _hash(file)
    assert stronger.verify("anna", "correct horse") is not None
    stronger.close()


def _hash(file: Path) -> str:
    connection = sqlite3.connect(file)
    try:
        return str(connection.execute("SELECT password FROM users").fetchone()[0])
    finally:
        connection.close()


class CountingHasher(PasswordHasher):
    """Tells which hashes were checked, and in which thread."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.checked: list[tuple[str, str]] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # noqa: A002
        self.checked.append((str(hash).rsplit("$", 2)[0], threading.current_thread().name))
        return super().verify(hash, password)


async def test_an_unknown_name_costs_the_same_hash_and_gets_the_same_answer(tmp_path: Path) -> None:
    hasher = CountingHasher()
    users = Users(tmp_path / "users.sqlite", hasher=hasher)
    users.add("anna", "correct horse", [Role.Operator])
    assert await users.authenticate("anna", "wrong horse", "p") is None
    assert await users.authenticate("nobody", "wrong horse", "p") is None
    users.close()
    (known, _), (unknown, _) = hasher.checked
    assert known == unknown == "$argon2id$v=19$m=8,t=1,p=1"
    assert users.failures == 2


async def test_hashing_happens_off_the_event_loop(tmp_path: Path) -> None:
    hasher = CountingHasher()
    users = Users(tmp_path / "users.sqlite", hasher=hasher)
    users.add("anna", "correct horse", [Role.Operator])
    assert await users.authenticate("anna", "correct horse", "p") is not None
    users.close()
    assert [thread.startswith("password") for _, thread in hasher.checked] == [True]
    assert users.failures == 0


async def test_many_sign_ins_at_once(users: Users) -> None:
    users.add("gateway", "correct horse", [Role.Observer])
    results = await asyncio.gather(*(users.authenticate("gateway", "correct horse", "p") for _ in range(20)))
    assert all(results)


def test_changes_of_another_process_are_seen(users: Users, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from server.security import Users\n"
        "u = Users(Path(sys.argv[1]))\n"
        "for i in range(int(sys.argv[3]), int(sys.argv[3]) + 5): u.add(f'user{i}', 'correct horse', ['Operator'])\n"
    )
    file = tmp_path / "data" / "users.sqlite"
    started = [
        subprocess.Popen([sys.executable, "-c", script, str(file), "x", str(first)], cwd=_ROOT, stderr=subprocess.PIPE)
        for first in (0, 100)
    ]
    for process in started:
        _, errors = process.communicate(timeout=50)
        assert process.returncode == 0, errors.decode()
    assert len(users.list()) == 10
    assert users.verify("user104", "correct horse") is not None


_ROOT = Path(__file__).parents[3]


def test_two_processes_may_make_the_database_at_once(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from server.security import Users\n"
        "print(Users(Path(sys.argv[1])).ensure_administrator() or '')\n"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "users.sqlite")],
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=50) for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    assert sum(bool(output.strip()) for output, _ in outputs) == 1


def test_a_damaged_database_is_one_clear_sentence(tmp_path: Path) -> None:
    file = tmp_path / "users.sqlite"
    file.write_bytes(b"this is no database, whatever its name says" * 50)
    with pytest.raises(UsersError, match=r"users\.sqlite is damaged .*restore it from a backup"):
        Users(file)


def test_a_database_that_goes_away_does_not_come_back_empty(users: Users, tmp_path: Path) -> None:
    for file in (tmp_path / "data").iterdir():
        file.unlink()
    with pytest.raises(UsersError, match=r"users\.sqlite cannot be used"):
        users.verify("anna", "correct horse")
    assert list((tmp_path / "data").iterdir()) == []


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(UsersError, match="cannot be opened: Is a directory"):
        Users(tmp_path)


def test_a_database_of_a_newer_version(tmp_path: Path) -> None:
    file = tmp_path / "users.sqlite"
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(UsersError, match="newer Plantree"):
        Users(file)


@pytest.mark.parametrize("form", ["der", "pem"])
def test_a_user_with_a_certificate(users: Users, tmp_path: Path, form: str) -> None:
    users.add("anna", "correct horse", [Role.Operator])
    certificate = pki.make("Anna", uri=None)
    (tmp_path / "users" / f"anna.{form}").write_bytes(getattr(pki, form)(certificate))
    (tmp_path / "users" / "aaa.der").write_bytes(b"no certificate")
    principal = users.authenticate_certificate(pki.der(certificate))
    assert principal is not None
    assert principal.name == "anna"
    assert principal.has(Role.Operator)
    assert users.is_certificate_of(pki.der(certificate), "anna")
    assert not users.is_certificate_of(pki.der(certificate), "aaa")
    (tmp_path / "users" / f"anna.{form}").write_bytes(pki.der(pki.make("Anna", uri=None)))
    assert not users.is_certificate_of(pki.der(certificate), "anna"), "it was replaced"
    (tmp_path / "users" / f"anna.{form}").write_bytes(b"no certificate")
    assert not users.is_certificate_of(pki.der(certificate), "anna")
    (tmp_path / "users" / f"anna.{form}").write_bytes(getattr(pki, form)(certificate))
    users.remove("anna")
    assert users.authenticate_certificate(pki.der(certificate)) is None
    assert users.failures == 1


def test_certificates_that_are_no_users(users: Users, tmp_path: Path) -> None:
    users.add("anna", "correct horse", [Role.Operator])
    expired = pki.make("Anna", uri=None, start=pki.NOW - 3 * pki.DAY, end=pki.NOW - pki.DAY)
    (tmp_path / "users" / "anna.der").write_bytes(pki.der(expired))
    assert users.authenticate_certificate(pki.der(expired)) is None
    assert users.authenticate_certificate(pki.der(pki.make("Anna", uri=None))) is None
    assert users.authenticate_certificate(b"") is None
    assert users.failures == 3
