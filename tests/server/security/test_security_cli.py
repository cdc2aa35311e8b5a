"""The subcommands as a person or a script calls them: in a process of their own, behind a tiny main."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from address_space.model import Role
from server.security import TrustList, Users, load_or_create
from server.security.trust import CertificateRefused

from . import pki_builder as pki

MAIN = """
import argparse, sys
from pathlib import Path
from server.security.cli import register
parser = argparse.ArgumentParser(prog="python -m server")
register(parser.add_subparsers())
data, certs, *rest = sys.argv[1:]
args = parser.parse_args(rest)
sys.exit(args.handler(args, Path(data), Path(certs)))
"""
ROOT = Path(__file__).parents[3]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def command(tmp_path: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-c", MAIN, str(tmp_path / "data"), str(tmp_path / "certs"), *arguments]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(*arguments: str, password: str = "", code: int = 0) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            command(tmp_path, *arguments),
            input=password,
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=50,
            check=False,
        )
        assert done.returncode == code, done
        return done

    return run


def users(tmp_path: Path) -> Users:
    return Users(tmp_path / "data" / "users.sqlite")


def test_users_from_add_to_remove(run: Run, tmp_path: Path) -> None:
    added = run("users", "add", "anna", "--role", "operator", "--role", "Engineer", password="correct horse\n")
    assert added.stdout == "user anna may sign in\n"
    principal = users(tmp_path).verify("anna", "correct horse")
    assert principal is not None
    assert principal.has(Role.Engineer)
    assert not principal.has(Role.Supervisor)
    (line,) = [line for line in run("users", "list").stdout.splitlines() if "anna" in line]
    assert "Operator, Engineer" in line
    run("users", "add", "anna", "--role", "Supervisor", "--replace", password="battery staple")
    assert users(tmp_path).verify("anna", "battery staple") is not None
    run("users", "remove", "anna")
    assert users(tmp_path).list() == []


@pytest.mark.parametrize(
    ("arguments", "password", "sentence"),
    [
        (("users", "add", "anna", "--role", "Boss"), "correct horse", "'Boss' is not a role that a user can have"),
        (("users", "add", "anna", "--role", "Operator"), "", "a password has 8 to 1024 characters"),
        (("users", "add", "an na", "--role", "Operator"), "correct horse", "'an na' is no user name"),
        (("users", "remove", "anna"), "", "there is no user 'anna'"),
        (("certs", "trust", "nobody"), "", "there is no certificate 'nobody' among the rejected ones"),
        (("certs", "reject", "nobody"), "", "there is no certificate 'nobody' among the trusted ones"),
        (("certs", "show"), "", "the server makes it at its first start"),
        (("certs", "renew", "--days", "99999"), "", "the validity 1 to 18250 days"),
    ],
)
def test_errors_are_one_sentence(run: Run, arguments: tuple[str, ...], password: str, sentence: str) -> None:
    failed = run(*arguments, password=password, code=2)
    assert failed.stdout == ""
    (line,) = failed.stderr.splitlines()
    assert line.startswith("error: ")
    assert sentence in line


def test_a_damaged_database(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "users.sqlite").write_bytes(b"nonsense" * 1000)
    (line,) = run("users", "list", code=2).stderr.splitlines()
    assert "is damaged" in line


@pytest.mark.parametrize(("again", "code"), [("correct horse", 0), ("correct house", 2)])
def test_a_terminal_is_asked_twice_and_shows_nothing(tmp_path: Path, again: str, code: int) -> None:
    terminal, side = pty.openpty()
    # In a session of its own it has no /dev/tty, so that it asks on this terminal.
    arguments = command(tmp_path, "users", "add", "anna", "--role", "Operator")
    process = subprocess.Popen(arguments, cwd=ROOT, stdin=side, stdout=side, stderr=side, start_new_session=True)
    os.close(side)
    shown = b""
    try:
        for prompt, answer in ((b"Password: ", "correct horse"), (b"Again: ", again)):
            while prompt not in shown:
                shown += os.read(terminal, 1024)
            os.write(terminal, f"{answer}\n".encode())
        while True:
            shown += os.read(terminal, 1024)
    except OSError:  # what reading a terminal says when the other side has ended
        pass
    finally:
        os.close(terminal)
    assert process.wait(timeout=50) == code
    assert b"correct ho" not in shown
    assert (users(tmp_path).verify("anna", "correct horse") is not None) == (code == 0)


async def test_certs_from_refusal_to_rejection(run: Run, tmp_path: Path) -> None:
    own = load_or_create(tmp_path / "certs", "urn:test:server")
    certificate = pki.make("UaExpert@desk")
    trust = TrustList(tmp_path / "certs")
    with pytest.raises(CertificateRefused):
        await trust.validate(certificate)
    (stored,) = trust.list()

    listed = {line.split()[1]: line for line in run("certs", "list").stdout.splitlines() if "urn:" in line}
    assert own.thumbprint in listed["own"]
    assert stored.thumbprint in listed["rejected"]
    assert pki.URI in listed["rejected"]

    assert "UaExpert@desk" in run("certs", "trust", stored.thumbprint[:8]).stdout
    await trust.validate(certificate)
    shown = run("certs", "show", "UaExpert@desk").stdout
    assert stored.thumbprint in shown
    assert "RSA 2048 bits" in shown

    run("certs", "reject", "UaExpert@desk")
    with pytest.raises(CertificateRefused):
        await trust.validate(certificate)


def test_renew_and_show(run: Run, tmp_path: Path) -> None:
    first = load_or_create(tmp_path / "certs", "urn:test:server")
    renewed = run("certs", "renew", "--host", "plant.example", "--days", "1095").stdout
    second = load_or_create(tmp_path / "certs")
    assert second.thumbprint != first.thumbprint
    assert second.application_uri == "urn:test:server"
    assert second.thumbprint in renewed
    shown = run("certs", "show").stdout
    assert "plant.example" in shown
    assert second.thumbprint in shown


@pytest.mark.parametrize("name", ["users", "certs"])
def test_help_teaches(run: Run, name: str) -> None:
    text = run(name, "--help").stdout
    assert "examples:" in text
    assert text.count(f"python -m server {name} ") >= 5


def test_a_user_without_role_is_asked_for_one(run: Run) -> None:
    assert "--role" in run("users", "add", "anna", code=2).stderr
