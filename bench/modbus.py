"""Modbus TCP: requests a second while 10,000 variables change at 10 Hz, beside pymodbus's server with static data."""

import socket
import struct
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import plants, processes, report
from bench.plants import Layout
from bench.processes import BenchError, Process
from bench.report import Samples, Section, Table, progress

LAYOUT = Layout(machines=100, values=99, setpoints=1)
COUNTS = (1, 125)
NAMES = {"plantree": "Plantree, 10,000 variables at 10 Hz", "pymodbus": "pymodbus, static"}
_START_S = 30.0
_HEAD = struct.Struct(">HHHB")
_ASK = struct.Struct(">HHHBBHH")

_NOTES = """\
One master on one connection, one request under way, function 4 (input registers); every answer is checked for its
size and function. Both servers run on uvloop. The master is a socket and nothing else."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return report.run("modbus", measure, __doc__, arguments, rounds=5)


def measure(rounds: int, quick: bool) -> Section:
    """Measure both servers, each round with a fresh process."""
    processes.pin_client()
    rates = {(kind, count): Samples() for kind in NAMES for count in COUNTS}
    shares = {(kind, count): Samples() for kind in NAMES for count in COUNTS}
    with tempfile.TemporaryDirectory(prefix="plantree-bench-") as name, progress() as bar:
        folder = Path(name)
        plant = plants.write(plants.machines_plant(LAYOUT), folder / "plant.yaml")
        task = bar.add_task("", total=rounds * len(rates))
        for turn in range(rounds):
            for kind in NAMES:
                with _serving(kind, plant, folder) as (process, port):
                    for count in COUNTS:
                        bar.update(task, advance=1, description=f"round {turn + 1}: {kind}, {count} registers")
                        before = process.cpu_seconds()
                        rate, elapsed = _ask(port, count, 0.5 if quick else 3.0)
                        rates[kind, count].values.append(rate)
                        shares[kind, count].values.append(100 * (process.cpu_seconds() - before) / elapsed)
    rows = [
        (
            f"{count} register{'s' if count > 1 else ''} a request, requests/s",
            *(str(rates[kind, count]) for kind in NAMES),
            f"{rates['plantree', count].over(rates['pymodbus', count])}x",
            " / ".join(f"{shares[kind, count].median:.0f} %" for kind in NAMES),
        )
        for count in COUNTS
    ]
    heads = ("", *NAMES.values(), "ratio", "server's core")
    keys = {f"read_{count}": str(row[0]) for count, row in zip(COUNTS, rows, strict=True)}
    return Section("Modbus TCP", (_NOTES, Table(heads, rows)), keys)


@contextmanager
def _serving(kind: str, plant: Path, folder: Path) -> Iterator[tuple[Process, int]]:
    command = [sys.executable, "-m", "bench.peers.modbus_servers", kind]
    if kind == "plantree":
        command += ["--plant", str(plant), "--data", str(folder / "modbus")]
    process = Process(command, folder / f"{kind}.log")
    try:
        port = int(process.steer()["port"])
        process.wait(lambda: _ask(port, 1, 0.0), _START_S)
        yield process, port
    finally:
        process.end()


def _ask(port: int, count: int, seconds: float) -> tuple[float, float]:
    """Read registers again and again; returns requests a second and the time it took."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as master:
        master.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        size = _HEAD.size + 2 + 2 * count
        begin = time.perf_counter()
        number, end = 0, begin + seconds
        while True:
            number += 1
            transaction = number & 0xFFFF
            master.sendall(_ASK.pack(transaction, 0, 6, 1, 4, number % 100 + 4, count))
            answer = master.recv(512)
            if len(answer) != size or answer[7] != 4 or answer[:2] != transaction.to_bytes(2, "big"):
                raise BenchError(f"a wrong answer: {answer[:12].hex()}")
            now = time.perf_counter()
            if now >= end:
                return number / (now - begin), now - begin


if __name__ == "__main__":
    sys.exit(main())
