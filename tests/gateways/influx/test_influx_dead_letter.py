"""Lines that nobody takes are kept, within bounds, the newest."""

import json
from pathlib import Path

from gateways.influx.dead_letter import FILE, OLDER, DeadLetters, Rejected


def read(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_lines_are_kept_with_the_reason(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "new", 4096)
    letters.add([Rejected('opcua text="é\n"', "why"), Rejected("second", "also")])
    letters.add([Rejected("third", "later")])
    found = read(tmp_path / "new" / FILE)
    assert [(one["line"], one["reason"]) for one in found] == [
        ('opcua text="é\n"', "why"), ("second", "also"), ("third", "later"),
    ]  # fmt: skip
    assert all(one["time"].endswith("+00:00") for one in found)


def test_the_files_are_bounded_and_the_newest_stay(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, 8192)
    for number in range(500):
        letters.add([Rejected(f"line {number} " + "x" * 50, "why")])
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 8192
    newest, before = read(tmp_path / FILE), read(tmp_path / OLDER)
    numbers = [int(one["line"].split()[1]) for one in before + newest]
    assert numbers == list(range(numbers[0], 500))
    assert len(numbers) > 30
