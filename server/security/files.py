"""Private files and folders: made with their final permission bits, replaced in one step."""

import contextlib
import os
import secrets
import sys
from collections.abc import Generator
from pathlib import Path

if sys.platform != "win32":
    import fcntl

PRIVATE = 0o600
PUBLIC = 0o644
LAX_BITS = 0o077

CERTIFICATE_FOLDERS = ("own", "trusted", "rejected", "issuers", "crl", "users")


def make_certificate_folders(certs_dir: Path) -> None:
    """Make the folders of certs/README.md that are missing; only the server's user may enter `own`."""
    for name in CERTIFICATE_FOLDERS:
        (certs_dir / name).mkdir(mode=0o700 if name == "own" else 0o755, parents=True, exist_ok=True)


def write_atomic(path: Path, data: bytes, mode: int) -> None:
    """Write `data` beside `path` and move it there: readers see the old or the new file, never a part.

    The file is created with `mode`, so a private key is never readable by others, not even for a moment.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut, where the system can."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_readable_by_others(path: Path) -> bool:
    """Whether group or others have any right on `path` (always False where there are no such bits)."""
    return sys.platform != "win32" and bool(path.stat().st_mode & LAX_BITS)


@contextlib.contextmanager
def locked(folder: Path) -> Generator[None]:
    """Hold the folder alone among processes, so that two first starts make one certificate."""
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
