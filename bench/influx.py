"""Time series: values a second from the journal to VictoriaMetrics, beside influxdb-client's own Points."""

import json
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import which

from bench import plants, processes, report
from bench.errors import BenchError
from bench.plants import Layout
from bench.processes import Process, fetch
from bench.report import Samples, Section, Table, progress

LAYOUT = Layout(machines=100, values=100, setpoints=1)
NAMES = {"plantree": "Plantree", "points": "influxdb-client, Points"}
TARGET = 200_000
_START_S = 30.0
_BOTH = ",".join(str(core) for core in sorted(processes.SERVER_CORES | processes.CLIENT_CORES))

_NOTES = f"""\
Writer and database share both cores; the database is a fresh VictoriaMetrics a run, on the disk. Plantree: every
change of {len(LAYOUT.value_paths()):,} Doubles goes through store, journal, outbox (SQLite, on the disk before it is
sent) and gateway, and counts when the database has confirmed it. influxdb-client: the same tags, fields and values as
`Point`s, in lists of 5,000 to its synchronous `WriteApi`, nothing kept on the disk. Afterwards the database is asked
how many values it holds: as many as were confirmed, or the run is void."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    return report.run("influx", measure, __doc__, arguments, rounds=3)


def measure(rounds: int, quick: bool) -> Section:
    """Measure both writers, each round with a fresh database."""
    if which("victoria-metrics") is None:
        raise BenchError("VictoriaMetrics is not installed: scripts/system_packages.sh")
    processes.pin_client()
    rates = {kind: Samples() for kind in NAMES}
    shares = {kind: (Samples(), Samples()) for kind in NAMES}
    with tempfile.TemporaryDirectory(prefix="plantree-bench-") as name, progress() as bar:
        folder = Path(name)
        plant = plants.write(plants.machines_plant(LAYOUT), folder / "plant.yaml")
        task = bar.add_task("", total=rounds * len(NAMES))
        for turn in range(rounds):
            for kind, writer in NAMES.items():
                bar.update(task, description=f"round {turn + 1}: {writer}")
                place = folder / f"{kind}-{turn}"
                place.mkdir()
                figures = _round(kind, plant, place, 0.5 if quick else 2.0)
                for samples, figure in zip((rates[kind], *shares[kind]), figures, strict=True):
                    samples.values.append(figure)
                bar.update(task, advance=1)
    cells = [(str(rates[kind]), " / ".join(f"{share.median:.0f} %" for share in shares[kind])) for kind in NAMES]
    title = "values/s into VictoriaMetrics"
    row = (title, cells[0][0], cells[1][0], f"{rates['plantree'].over(rates['points'])}x", cells[0][1], cells[1][1])
    heads = ("", *NAMES.values(), "ratio", *(f"{name}: cores of writer / database" for name in NAMES.values()))
    reached = sum(rate >= TARGET for rate in rates["plantree"].values)
    target = f"Target: {TARGET:,} values/s on two cores, reached in {reached} of {rounds} rounds."
    return Section("Time series", (_NOTES, Table(heads, (row,)), target), {"values": title})


def _round(kind: str, plant: Path, folder: Path, seconds: float) -> tuple[float, float, float]:
    """Return values a second, and the shares of a core (%) that writer and database took."""
    with _database(folder) as (database, url):
        before = database.cpu_seconds()
        command = [sys.executable, "-m", "bench.peers.influx_writers", kind, "--plant", str(plant), "--url", url]
        writer = _process([*command, "--data", str(folder / "data"), "--seconds", str(seconds)], folder / "writer.log")
        try:
            done = writer.steer()
        except BenchError as error:
            raise BenchError(f"{NAMES[kind]}: {writer.log.read_text(errors='replace')[-300:]}") from error
        finally:
            writer.end()
        worked = database.cpu_seconds() - before
        held = _held(url)
        if held != done["written"]:
            raise BenchError(f"{NAMES[kind]}: {done['written']:,} values confirmed, but the database holds {held:,}")
        return done["written"] / done["elapsed"], *(100 * cpu / done["elapsed"] for cpu in (done["cpu"], worked))


@contextmanager
def _database(folder: Path) -> Generator[tuple[Process, str]]:
    url = f"http://127.0.0.1:{processes.free_port()}"
    command = ["victoria-metrics", f"-storageDataPath={folder / 'victoria'}", "-retentionPeriod=100y"]
    process = _process([*command, f"-httpListenAddr={url.removeprefix('http://')}"], folder / "victoria.log")
    try:
        process.wait(lambda: fetch(f"{url}/health"), _START_S)
        yield process, url
    finally:
        process.end()


def _process(command: Sequence[str], log: Path) -> Process:
    """Start on both cores: Go counts them when it starts."""
    return Process(["taskset", "-c", _BOTH, *command], log)


def _held(url: str) -> int:
    """Count the values of the last ten minutes that the database holds."""
    fetch(f"{url}/internal/force_flush")
    expression = 'sum(count_over_time(opcua_value{name=~"Value.*"}[20m]))'
    query = urllib.parse.urlencode({"query": expression, "time": f"{time.time() + 600:.3f}", "nocache": "1"})
    found = json.loads(fetch(f"{url}/api/v1/query?{query}"))["data"]["result"]
    return int(found[0]["value"][1]) if found else 0


if __name__ == "__main__":
    sys.exit(main())
