"""What refusals mean: answers as the databases' documentation and sources have them."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from gateways.influx.answers import refusal

V2_PARSE = {"code": "invalid", "message": "unable to parse 'opcua value=': missing field value"}
V2_PARTIAL = {
    "code": "unprocessable entity",
    "message": "failure writing points to database: partial write: field type conflict: input field \"value\" on "
    "measurement \"opcua\" is type integer, already exists as type float dropped=1",
}  # fmt: skip
V3_PARTIAL = {
    "error": "partial write of line protocol occurred",
    "data": [
        {"original_line": "opcua v=hi", "line_number": 2, "error_message": "No fields were provided"},
        {"original_line": "dquote", "line_number": 4, "error_message": "invalid column type"},
    ],
}
V3_V2_API = {"code": "invalid", "message": "failed to parse line protocol: errors encountered on line(s): line 3: bad"}


@pytest.mark.parametrize(
    ("status", "answer", "lines"),
    [
        (400, V2_PARSE, {}),
        (422, V2_PARTIAL, {}),
        (400, V3_PARTIAL, {1: "No fields were provided", 3: "invalid column type"}),
        (400, V3_V2_API, {2: "bad"}),
        (400, {"error": "partial write: unable to parse 'x': missing fields dropped=0"}, {}),
    ],
)
def test_answers_about_lines(status: int, answer: dict[str, object], lines: dict[int, str]) -> None:
    found = refusal(status, json.dumps(answer), {})
    assert found.about_lines
    assert found.lines == lines
    assert found.reason.startswith(str(status))


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (401, {"code": "unauthorized", "message": "unauthorized access"}),
        (403, {}),
        (404, {"code": "not found", "message": 'bucket "x" not found'}),
        (400, {"code": "invalid", "message": "bucket name is required"}),
        (429, {}),
        (500, {"code": "internal error", "message": "disk"}),
        (503, {"error": "engine: cache-max-memory-size exceeded"}),
    ],
)
def test_answers_about_the_database_are_no_reason_to_give_lines_up(status: int, answer: dict[str, object]) -> None:
    found = refusal(status, json.dumps(answer), {})
    assert not found.about_lines
    assert not found.too_large


def test_too_large_is_for_smaller_requests() -> None:
    assert refusal(413, "", {}).too_large


def test_an_answer_of_what_stands_before_the_database() -> None:
    found = refusal(502, "<html>\n<h1>Bad  Gateway</h1></html>", {})
    assert found.reason == "502 Bad Gateway: <html> <h1>Bad Gateway</h1></html>"
    assert refusal(599, "[]", {}).reason == "599 unknown status: []"


def test_retry_after() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert refusal(429, "", {"retry-after": "7"}).retry_after == 7
    assert refusal(503, "", {"Retry-After": soon}).retry_after == pytest.approx(30, abs=3)
    assert refusal(503, "", {"Retry-After": "soon"}).retry_after is None
    assert refusal(503, "", {}).retry_after is None
