"""A Sparkplug decoder that is not ours: the npm package sparkplug-payload, in a process of its own."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("sparkplug_decode.mjs")
PACKAGE = SCRIPT.parents[3] / "node_modules" / "sparkplug-payload"
needs_sparkplug_payload = pytest.mark.skipif(
    shutil.which("node") is None or not PACKAGE.is_dir(),
    reason="node or its package sparkplug-payload is not installed: `npm ci` in the root of the checkout",
)


def decode_all(payloads: Sequence[bytes]) -> list[dict[str, Any]]:
    """Return what the package makes of payloads, the last of a few values being its raw fields."""
    lines = "".join(f"{payload.hex()}\n" for payload in payloads)
    command = [shutil.which("node") or "node", str(SCRIPT)]
    run = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def number(value: Any) -> int:
    """Return a 64-bit number of `payload`, which the package leaves as the two halves of a Long."""
    if isinstance(value, dict):
        return (value["high"] << 32) + (value["low"] & 0xFFFFFFFF)
    return int(value)
