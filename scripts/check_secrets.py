"""Fail when a tracked file holds a private key or a token: nothing of the kind is ever committed."""

import re
import subprocess
import sys
from pathlib import Path

PATTERNS = {
    "a private key": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "an AWS key": re.compile(rb"\bAKIA[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(rb"\bgh[pousr]_[A-Za-z0-9]{36}\b"),
    "a Grafana token": re.compile(rb"\bgl(sa|c)_[A-Za-z0-9_]{32,}\b"),
    "a password in a URL": re.compile(rb"\b(mqtts?|https?|opc\.tcp)://[^/\s:@]+:(?!password|\$|<)[^/\s:@]{6,}@"),
}
FORBIDDEN_NAMES = re.compile(r"(\.pem|\.key|\.pfx|\.p12|\.sqlite3?|(^|/)\.env)$")


def main() -> int:
    """Look at every file that git tracks; returns the exit code."""
    listed = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True).stdout.decode()  # noqa: S607
    faults: list[str] = []
    for name in filter(None, listed.split("\0")):
        path = Path(name)
        if FORBIDDEN_NAMES.search(name):
            faults.append(f"{name}: a file of this kind does not belong in the repository")
        if not path.is_file():
            continue
        content = path.read_bytes()
        faults += [f"{name}: holds {what}" for what, pattern in PATTERNS.items() if pattern.search(content)]
    for fault in faults:
        sys.stderr.write(f"error: {fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
