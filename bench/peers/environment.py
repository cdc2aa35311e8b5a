"""The environment of the peers that are Python but not ours: .venv-peers, made on demand, pinned and hashed.

o6 (open62541 for Python) is proprietary. Its wheel has no licence file; its README says: without a credential it runs
in "ten-minute Script Mode, which permits commercial use. The full Client and Server API is available"; the process
ends ten minutes after the import. It is used here as a peer only, unmodified, never longer than that, and nothing of
it is in Plantree.
"""

import hashlib
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

from bench.errors import BenchError

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".venv-peers"
PYTHON = FOLDER / "bin" / "python"
LOCK = Path(__file__).with_name("requirements.lock")
_STAMP = FOLDER / ".installed"
_PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:")


def installed() -> bool:
    """Whether the environment holds what the lock file names."""
    return _STAMP.exists() and _STAMP.read_text(encoding="utf-8") == _digest()


def install() -> None:
    """Make the environment unless it is there; BenchError when the packages cannot be had."""
    if installed():
        return
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / ".gitignore").write_text("*\n", encoding="utf-8")
    for command in ([sys.executable, "-m", "venv", str(FOLDER)], [str(PYTHON), *_PIP, "-r", str(LOCK)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"o6 cannot be installed ({(done.stderr or done.stdout).strip()[-300:]}); leave it out")
    _STAMP.write_text(_digest(), encoding="utf-8")


def version() -> str:
    """Return the version of o6, or that there is none."""
    if not installed():
        return "o6 not installed"
    folders = [str(folder) for folder in FOLDER.glob("lib/python*/site-packages")]
    found = {it.metadata["Name"]: it.version for it in distributions(path=folders)}
    return f"o6 {found.get('o6', '?')} (open62541)"


def _digest() -> str:
    return hashlib.sha256(LOCK.read_bytes()).hexdigest()


if __name__ == "__main__":
    install()
    print(version())
