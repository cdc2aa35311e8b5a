"""The operator page: what open pages with live values cost the server, and what OPC UA clients notice of them."""

import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from address_space import DEFAULT_PLANT, load_plant
from bench import processes, report
from bench.errors import BenchError
from bench.processes import Process
from bench.raw_client import RawClient
from bench.report import Samples, Section, Table, progress
from server.composition import available

COUNTS = (0, 50, 200)
"""Pages open; the first is what the others are compared with."""
_START_S = 60.0
_START_UP_S = 25.0
"""Until the plant runs as it does all day, and the historian has looked after itself for the first time."""
_SETTLE_S = 2.0
_LEAST_FRAMES = 2.0
"""A second and page: what changes comes four times a second."""
_TEXT = """\
`python -m server` with the default plant ({variables} variables; of the gateways, this one alone), on a core of its own
with the plant's simulated PLCs. Pages are sockets with a token that take the frames of `/live` and do nothing with
them, on the client's core; that they came is checked ({least:g} frames a second and page at least). Meanwhile an OPC UA
client reads every variable of the plant again and again, one request under way, first with no page, then with pages.
The processor time is that of the server while nobody reads."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return report.run("web", measure, __doc__, arguments, rounds=5)


def measure(rounds: int, quick: bool) -> Section:
    """Measure with no page and with pages, each round with a fresh process."""
    processes.pin_client()
    seconds, counts = (3.0, COUNTS[:2]) if quick else (10.0, COUNTS)
    shares = {count: Samples() for count in counts}
    reads = {count: Samples() for count in counts}
    sizes = Samples()
    with tempfile.TemporaryDirectory(prefix="plantree-bench-") as name, progress() as bar:
        folder = Path(name)
        processes.prepare(folder)
        task = bar.add_task("", total=rounds * len(counts))
        for turn in range(rounds):
            with _serving(folder) as (server, port), _pages(folder, port[1]) as pages:
                time.sleep(1.0 if quick else _START_UP_S)
                for count in counts:
                    bar.update(task, description=f"round {turn + 1}: {count} pages")
                    share, size = _share(server, pages, count, seconds)
                    shares[count].values.append(share)
                    reads[count].values.append(_reads(port[0], seconds))
                    if count:
                        sizes.values.append(size)
                    bar.update(task, advance=1)
    rows = [
        ["Server, % of a core", *(str(shares[count]) for count in counts), "-"],
        ["of it for a page, %", "-", *(_of_a_page(shares, count) for count in counts[1:]), "-"],
        ["OPC UA reads of the whole plant a second", *(str(reads[count]) for count in counts), _ratio(reads)],
        ["A page's stream, kB/s", "-", *[str(sizes)] * (len(counts) - 1), "-"],
    ]
    heads = ("", "no page", *(f"{count} pages" for count in counts[1:]), f"with {COUNTS[1]} / without")
    text = _TEXT.format(variables=len(load_plant(DEFAULT_PLANT).variables), least=_LEAST_FRAMES)
    return Section("Operator page", (text, Table(heads, rows)))


def _of_a_page(shares: dict[int, Samples], count: int) -> str:
    """Return what one page costs, in % of a core."""
    pairs = zip(shares[count].values, shares[COUNTS[0]].values, strict=True)
    return ", ".join(f"{(share - idle) / count:.3f}" for share, idle in pairs)


def _ratio(reads: dict[int, Samples]) -> str:
    return str(reads[COUNTS[1]].over(reads[COUNTS[0]]))


def _share(server: Process, pages: Process, count: int, seconds: float) -> tuple[float, float]:
    """Open pages; returns the server's processor time in % of a core, and kB/s of one page."""
    pages.steer(open=count)
    time.sleep(_SETTLE_S)
    before, begun, spent = pages.steer(count=True), time.perf_counter(), server.cpu_seconds()
    time.sleep(seconds)
    after, elapsed, used = pages.steer(count=True), time.perf_counter() - begun, server.cpu_seconds() - spent
    if count and (after["frames"] - before["frames"]) / count / elapsed < _LEAST_FRAMES:
        raise BenchError(f"{count} pages took only {after['frames'] - before['frames']} frames in {elapsed:.1f} s")
    return 100 * used / elapsed, (after["bytes"] - before["bytes"]) / max(count, 1) / elapsed / 1000


def _reads(port: int, seconds: float) -> float:
    """Return how often a second the whole plant is read over OPC UA, one request under way."""
    paths = [it.path for it in load_plant(DEFAULT_PLANT).variables]
    with RawClient(port, "/plantree", processes.USER, 60.0) as client:
        request = client.read_request(paths)
        begun = time.perf_counter()
        count = client.pump(request, lambda _: None, seconds, 1)
        return count / (time.perf_counter() - begun)


@contextmanager
def _serving(folder: Path) -> Generator[tuple[Process, tuple[int, int]]]:
    """Run the default plant; yields the process and the ports of OPC UA and HTTP."""
    opcua, http, web = (processes.free_port() for _ in range(3))
    off = {f"PLANTREE_{name.upper()}__ENABLED": str(name == "web").lower() for name in available()}
    environment = processes.environment(folder) | off | {
        "PLANTREE_OPCUA__HOST": "127.0.0.1",
        "PLANTREE_OPCUA__PORT": str(opcua),
        "PLANTREE_OPCUA__ALLOW_NONE": "true",
        "PLANTREE_HTTP__PORT": str(http),
        "PLANTREE_WEB__PORT": str(web),
        "PLANTREE_LOG__LEVEL": "warning",
    }  # fmt: skip
    process = Process([sys.executable, "-m", "server"], folder / "server.log", environment)
    try:
        process.wait(lambda: processes.fetch(f"http://127.0.0.1:{web}/api/v1/openapi.json"), _START_S, 0.05)
        yield process, (opcua, web)
    finally:
        process.end()


@contextmanager
def _pages(folder: Path, port: int) -> Generator[Process]:
    user, password = processes.USER
    body = json.dumps({"user": user, "password": password}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/v1/tokens", body, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  of our own process
        token = json.load(answer)["token"]
    cores = ",".join(map(str, processes.CLIENT_CORES))
    command = ["taskset", "-c", cores, sys.executable, "-m", "bench.peers.web_pages", "--port", str(port)]
    process = Process([*command, "--token", token], folder / "pages.log")
    try:
        yield process
    finally:
        process.end()


if __name__ == "__main__":
    sys.exit(main())
