"""Where the server's time goes under each load: flame graphs (profiles/*.svg) and the functions that take most."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from asyncua import ua
from rich.markup import escape

from bench import flame, processes, report, wire
from bench.opcua_round import QUEUE
from bench.opcua_rows import ITEMS, MAIN
from bench.processes import ROOT, BenchError, Server, serving
from bench.raw_client import Prepared, RawClient
from bench.report import console, progress
from bench.subscription import Subscription

FOLDER = ROOT / "bench" / "profiles"
_RATE = 500
_SHOWN = 14
_HEAD = """\
# Profiles

Written by `python -m bench --profile`: the server's process under one load each, {rate} samples a second for
{seconds:g} s by py-spy, C code included; samples in which a thread only waits are left out. Open an SVG in a browser:
width is time, a frame stands on who called it, and names in brackets (blue) are the C functions that were at work
(`[write]` is the kernel's share of sending, `[read]` that of receiving). The lists are the functions with the most
time of their own.

{conditions}
"""
_HEADS = ("function", "% itself", "% with what it calls")


def run(*, quick: bool = False) -> int:
    """Profile all loads; `quick` writes nothing. Returns the exit code."""
    seconds = 1.0 if quick else 6.0
    try:
        found = _profiles(seconds)
    except (BenchError, wire.WireError, OSError) as error:
        console.print(f"[red]{error}", soft_wrap=True)
        return 1
    parts = [_HEAD.format(rate=_RATE, seconds=seconds, conditions=report.conditions())]
    for (key, title), profile in zip(_LOADS, found, strict=True):
        rows = [[name, f"{100 * own:.0f}", f"{100 * whole:.0f}"] for name, own, whole in profile.functions()[:_SHOWN]]
        busy = f"{profile.total:,} samples at work, {profile.waiting:,} waiting"
        report.table(f"{title}: {busy}", _HEADS, [[escape(row[0]), *row[1:]] for row in rows])
        table = report.markdown(_HEADS, [[f"`{name}`", *rest] for name, *rest in rows])
        parts.append(f"## {title}\n\n[{key}.svg]({key}.svg), {busy}\n\n{table}\n")
    if not quick:
        FOLDER.mkdir(exist_ok=True)
        for (key, title), profile in zip(_LOADS, found, strict=True):
            (FOLDER / f"{key}.svg").write_text(flame.draw(profile, title), encoding="utf-8")
        (FOLDER / "README.md").write_text("\n".join(parts), encoding="utf-8")
        console.print(f"{FOLDER.relative_to(ROOT)} written")
    return 0


_LOADS = (
    ("read_1", "Reads, 1 value a request"),
    ("read_1000", "Reads, 1,000 values a request, 8 under way"),
    ("read_1000_encrypted", "Reads, 1,000 values a request, 8 under way, SignAndEncrypt"),
    ("write_1", "Writes, 1 set-point a request"),
    ("write_1000", "Writes, 1,000 set-points a request"),
    ("call", "Method calls that set a set-point"),
    ("notify_20k", "Notifications, 20,000 items at 10 Hz"),
)


def _profiles(seconds: float) -> list[flame.Profile]:
    processes.pin_client()
    found: list[flame.Profile] = []
    with tempfile.TemporaryDirectory(prefix="plantree-bench-") as name, progress() as bar:
        folder = Path(name)
        processes.prepare(folder)
        task = bar.add_task("", total=len(_LOADS))
        with serving("plantree", MAIN, folder) as server:
            server.wait_ready(60)
            for key, title in _LOADS:
                bar.update(task, advance=1, description=title)
                with server.connect(secure=key.endswith("_encrypted")) as client, _load(key, server, client) as work:
                    file = folder / f"{key}.raw"
                    _spy(server, file, seconds, work)
                    found.append(flame.parse(file.read_text(encoding="utf-8")))
    return found


@contextmanager
def _load(key: str, server: Server, client: RawClient):  # noqa: ANN202  # an iterator of the work
    """Return a function that works for about a tenth of a second."""
    if key == "notify_20k":
        subscription = Subscription(client, 100.0)
        subscription.monitor(MAIN.value_paths()[: ITEMS["20k"]], queue=QUEUE)
        server.process.steer(changing=ITEMS["20k"])

        def take() -> None:
            end = time.monotonic() + 0.1
            for _ in subscription.answers(lambda: time.monotonic() > end, poll=0.05):
                pass

        try:
            yield take
        finally:
            server.process.steer(changing=0)
        return
    prepared, check, outstanding = _request(key, client)
    yield lambda: client.pump(prepared, check, 0.1, outstanding)


def _request(key: str, client: RawClient) -> tuple[Prepared, Callable[[bytes], object], int]:
    values, setpoints = MAIN.value_paths(), MAIN.setpoint_paths()[:1000]
    if key.startswith("read_1000"):
        return client.read_request(values[:1000]), lambda b: wire.check_read(b, 1000), 8
    if key == "read_1":
        return client.read_request(values[:1]), lambda b: wire.check_read(b, 1), 1
    if key == "write_1000":
        return client.write_request(setpoints, 2.5), lambda b: wire.check_write(b, 1000), 1
    if key == "write_1":
        return client.write_request(setpoints[:1], 2.5), lambda b: wire.check_write(b, 1), 1
    return client.call_request("Plant.Machine1", "Set", ua.Variant(4.5, ua.VariantType.Double)), wire.check_call, 1


def _spy(server: Server, file: Path, seconds: float, work: Callable[[], object]) -> None:
    """Have py-spy look at the server while it works."""
    beside = Path(sys.executable).with_name("py-spy")
    command = str(beside) if beside.exists() else shutil.which("py-spy")
    if command is None:
        raise BenchError("py-spy is not installed: `pip install py-spy`")
    work()
    options = ["--native", "--function", "--rate", str(_RATE), "--duration", f"{max(1, round(seconds))}"]
    spy = subprocess.Popen(
        [command, "record", "--pid", str(server.process.pid), "--format", "raw", "--output", str(file), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while spy.poll() is None:
            work()
    finally:
        if spy.poll() is None:
            spy.kill()
        said = spy.communicate()[1]
    if spy.returncode or not file.exists():
        raise BenchError(f"py-spy may not look at the server (it needs root or SYS_PTRACE): {said.strip()[-300:]}")
