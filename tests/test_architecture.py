"""How the code hangs together: who imports whom, what a folder holds, and what must not be in it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from asyncua import ua

from server import quality
from server.assembly import SOURCE_KINDS

ROOT = Path(__file__).parent.parent
PACKAGES = ("address_space", "server", "sources", "tests")
LONGEST = 400  # lines
PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/=]{20}")
STATUSES = {
    name: value
    for name, value in vars(quality).items()
    if name.isupper() and isinstance(value, int) and not name.startswith("QUALITY_")  # those of OPC DA
}


def tracked() -> list[Path]:
    """Every file that git knows and the folder has."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_imports_run_one_way() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout
    assert " 0 kept" not in done.stdout


def test_every_source_folder_has_the_same_files() -> None:
    folders = {file.parent for file in (ROOT / "sources").glob("*/__init__.py")}
    assert {folder.name for folder in folders} == set(SOURCE_KINDS)
    for folder in folders:
        assert {"settings.py", "source.py"} <= {file.name for file in folder.iterdir()}, folder
        assert "def create(" in (folder / "__init__.py").read_text(encoding="utf-8"), folder


def test_no_file_is_too_long_to_read_in_one_sitting() -> None:
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    lengths = {str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines()) for file in files}
    assert len(lengths) > 100
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_no_private_key_is_tracked() -> None:
    files = tracked()
    assert files
    assert [str(file) for file in files if PRIVATE_KEY.search(file.read_bytes())] == []
    assert [str(file) for file in files if file.suffix in {".key", ".p12", ".pfx"}] == []


def test_the_search_for_private_keys_finds_one() -> None:
    begin = b"-----BEGIN " + b"PRIVATE KEY-----\n"  # apart, so that this file is not found
    assert PRIVATE_KEY.search(begin + b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n")


def test_every_status_code_is_here() -> None:
    assert len(STATUSES) > 20


@pytest.mark.parametrize("name", STATUSES)
def test_status_codes_are_the_standard_s(name: str) -> None:
    camel = "".join(part.capitalize() for part in name.split("_"))
    spelled = {"UncertainLastUsable": "UncertainLastUsableValue"}.get(camel, camel)
    assert getattr(ua.StatusCodes, spelled) == STATUSES[name]
