"""A process that appends to an archive until it is killed, and says of each batch when it is on the disk."""

import sys
from pathlib import Path

from tests.server.history.history_rig import NOON, archive, rows_of


def main() -> None:
    history = archive(Path(sys.argv[1]), head_rows=int(sys.argv[2]))
    first = int(sys.argv[3])
    for number in range(first, first + 1_000_000):
        rows = [(place, NOON + number * 10 + place, [float(number), number, f"text {number}"][place], 0)
                for place in range(3)]  # fmt: skip
        history.append(rows_of(history, rows))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


main()
