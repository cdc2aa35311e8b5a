"""What a database's refusal means: try again later, try smaller, or never; pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, cast

from server.store import now_ticks, to_ticks
from server.store.ticks import TICKS_PER_SECOND

_LINE_FAULTS = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})
_NUMBERED = re.compile(r"line (\d+):\s*([^;]+)")
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is no success.

    `about_lines`: some of the lines are wrong; `lines` says which (from 0) and why, where the answer does. `too_large`:
    the same lines in smaller requests may pass. Otherwise it is about the peer: what was sent is fine, try it again,
    after `retry_after` seconds where the answer asks for that.
    """

    status: int
    reason: str
    about_lines: bool = False
    too_large: bool = False
    lines: Mapping[int, str] = field(default_factory=dict[int, str])
    retry_after: float | None = None


def refusal(status: int, body: str, headers: Mapping[str, str]) -> Refusal:
    """Read an answer of InfluxDB 1.x, 2 or 3, or of what stands before it."""
    answer = _object(body)
    reason = _reason(status, body, answer)
    if status in _LINE_FAULTS and not _about_target(answer):
        return Refusal(status, reason, about_lines=True, lines=_lines(answer, reason))
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Refusal(status, reason, too_large=True)
    return Refusal(status, reason, retry_after=_retry_after(headers))


def _object(body: str) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except json.JSONDecodeError:
        return {}
    return cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}


def _reason(status: int, body: str, answer: Mapping[str, Any]) -> str:
    text = answer.get("message") or answer.get("error") or body
    words = " ".join(str(text).split())[:_LONGEST]
    try:
        name = HTTPStatus(status).phrase
    except ValueError:
        name = "unknown status"
    return f"{status} {name}" + (f": {words}" if words else "")


def _about_target(answer: Mapping[str, Any]) -> bool:
    """Whether a 400 is about organization, bucket or precision, which no line can help."""
    text = str(answer.get("message") or answer.get("error") or "").lower()
    return any(word in text for word in ("bucket", "organization", "org id", "database name", "precision")) and not any(
        word in text for word in ("parse", "partial write", "field type")
    )


def _lines(answer: Mapping[str, Any], reason: str) -> dict[int, str]:
    """Return the wrong lines that an answer of InfluxDB 3 names, by number from 0."""
    found: dict[int, str] = {}
    data = answer.get("data")
    entries = cast("list[Any]", data) if isinstance(data, list) else [data] if isinstance(data, dict) else []
    for entry in entries:
        number = cast("dict[str, Any]", entry).get("line_number") if isinstance(entry, dict) else None
        if isinstance(number, int) and number >= 1:
            found[number - 1] = str(cast("dict[str, Any]", entry).get("error_message") or reason)
    if not found and "error" in reason:
        for number, text in _NUMBERED.findall(reason):
            if int(number) >= 1:
                found[int(number) - 1] = text.strip()
    return found


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that Retry-After asks for: a number or an HTTP date (RFC 9110 10.2.3)."""
    value = next((text for name, text in headers.items() if name.lower() == "retry-after"), None)
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (to_ticks(moment) - now_ticks()) / TICKS_PER_SECOND)
