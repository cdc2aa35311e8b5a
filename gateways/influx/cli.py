"""`python -m server influx setup`: buckets, retention and down-sampling in the time-series database."""

import argparse
import asyncio
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from gateways.influx.settings import InfluxSettings

_EPILOG = """\
Which database: influx.url, influx.token, influx.org and influx.bucket (PLANTREE_INFLUX__URL and so on).

InfluxDB 2: makes the bucket of all samples and those of the minutes and hours with their retention (influx.retention),
and the tasks that fill them. VictoriaMetrics: checks the recording rules against the server, and says how to start
VictoriaMetrics and vmalert. InfluxDB 3 has a command of its own: influxdb3 create database.
Run it as often as you like: what is right already stays as it is.

examples:
  PLANTREE_INFLUX__URL=http://127.0.0.1:8428 python -m server influx setup
  python -m server influx setup --dry-run          what would be changed
  python -m server influx setup --rules rules.yml  a copy of the recording rules, for vmalert on another machine
"""
_EXIT_OK, _EXIT_FAILED, _EXIT_CONFIGURATION = 0, 1, 2


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:  # pyright: ignore[reportPrivateUsage]
    """Add `influx setup`; its handler takes (arguments, settings) and returns the exit code."""
    influx = subparsers.add_parser("influx", help="set the time-series database up")
    commands = influx.add_subparsers(required=True, metavar="COMMAND")
    setup = commands.add_parser(
        "setup",
        help="buckets, retention, minutes and hours",
        description="Make buckets, retention and down-sampling in the time-series database, or check them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    setup.add_argument("--dry-run", action="store_true", help="only say what would be changed")
    setup.add_argument("--rules", type=Path, metavar="FILE", help="write the recording rules there, too")
    setup.set_defaults(handler=_setup)


def generate() -> dict[Path, str]:
    """Return the committed recording rules."""
    from gateways.influx.rollups import RULES_FILE, rules  # noqa: PLC0415  pyarrow comes with it

    return {RULES_FILE: rules()}


def _setup(args: argparse.Namespace, settings: Any) -> int:
    from gateways.influx.peer import PeerError, RefusedError  # noqa: PLC0415  slow, and only for this
    from gateways.influx.setup import SetupError  # noqa: PLC0415

    influx: InfluxSettings = settings.influx
    if not influx.url:
        sys.stderr.write("error: influx.url is not set: where is the database?\n")
        return _EXIT_CONFIGURATION
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 1000)
    try:
        if args.rules is not None:
            args.rules.write_text("".join(generate().values()), encoding="utf-8")
            console.print(f"recording rules written to {escape(str(args.rules))}")
        database = asyncio.run(_database(influx))
        if database == "influxdb":
            return _influxdb(influx, console, dry_run=args.dry_run)
        return asyncio.run(_victoria(influx, console))
    except (SetupError, PeerError, RefusedError) as error:
        sys.stderr.write(f"error: {error}\n")
    except OSError as error:
        sys.stderr.write(f"error: {args.rules} cannot be written: {error.strerror}\n")
    return _EXIT_FAILED


async def _database(settings: InfluxSettings) -> str:
    from gateways.influx.peer import connect  # noqa: PLC0415

    async with connect(settings) as peer:
        return await peer.database()


def _influxdb(settings: InfluxSettings, console: Console, *, dry_run: bool) -> int:
    from influxdb_client.client.influxdb_client import InfluxDBClient  # noqa: PLC0415

    from gateways.influx.rollups import buckets, tasks  # noqa: PLC0415
    from gateways.influx.setup import apply, steps  # noqa: PLC0415

    token = settings.token.get_secret_value()
    ca = str(settings.ca) if settings.ca else None
    timeout = int(settings.timeout * 1000)
    total = len(buckets(settings)) + len(tasks(settings)) + 1
    changed = 0
    columns = TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn()
    with (
        InfluxDBClient(settings.url, token, org=settings.org, timeout=timeout, ssl_ca_cert=ca) as client,
        Progress(*columns, console=console, transient=True) as progress,
    ):
        bar = progress.add_task("setting up InfluxDB", total=total)
        for step in steps(client, settings):
            if step.change and not dry_run:
                apply(step)
            mark = "[dim]=[/dim]" if not step.change else "[yellow]+[/yellow]"
            progress.console.print(f"{mark} {escape(step.what)}: {escape(step.change or 'as it should be')}")
            changed += bool(step.change)
            progress.update(bar, advance=1, description=escape(step.what))
    done = "to be changed" if dry_run else "changed"
    console.print(f"{changed} of {total} {done}")
    return _EXIT_OK


async def _victoria(settings: InfluxSettings, console: Console) -> int:
    """Check every rule against the server; say how to start it."""
    from gateways.influx.peer import RefusedError, connect  # noqa: PLC0415
    from gateways.influx.rollups import ROLLUPS, RULES_FILE, expressions  # noqa: PLC0415

    wrong: list[str] = []
    async with connect(settings) as peer:
        found = [pair for rollup in ROLLUPS for pair in expressions(rollup)]
        columns = TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn()
        with Progress(*columns, console=console, transient=True) as progress:
            bar = progress.add_task("checking the recording rules", total=len(found))
            for name, expression in found:
                try:
                    await peer.get("/api/v1/query?" + urlencode({"query": expression}))
                except RefusedError as error:
                    wrong.append(f"{name}: {error}")
                progress.update(bar, advance=1, description=name)
    wrong += _vmalert(RULES_FILE)
    for sentence in wrong:
        sys.stderr.write(f"error: {RULES_FILE}: {sentence}\n")
    if wrong:
        return _EXIT_FAILED
    keep = settings.retention
    console.print(
        f"{len(found)} recording rules are right: {escape(str(RULES_FILE))}\n\n"
        "VictoriaMetrics has one retention a server. Start the one that Plantree writes to with\n"
        f"  victoria-metrics -retentionPeriod={_period(keep.raw_days)} -dedup.minScrapeInterval=1ms\n"
        "a second one for the minutes and hours with\n"
        f"  victoria-metrics -retentionPeriod={_period(max(keep.minute_days, keep.hour_days))} "
        "-httpListenAddr=:8429 -storageDataPath=rollups\n"
        "and between them\n"
        f"  vmalert -rule={RULES_FILE.name} -datasource.url={settings.url} "
        "-datasource.lookback=30s -remoteWrite.url=http://HOST:8429\n"
        "or write the minutes and hours back to the first, and keep everything that long.",
        soft_wrap=True,
    )
    return _EXIT_OK


def _vmalert(rules: Path) -> list[str]:
    """Let vmalert itself read the rules, where it is installed."""
    vmalert = shutil.which("vmalert")
    if vmalert is None:
        return []
    command = [vmalert, "-dryRun", f"-rule={rules}", "-loggerLevel=ERROR"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    return [] if done.returncode == 0 else [" ".join(done.stderr.split())]


def _period(days: int) -> str:
    return f"{days}d" if days else "100y"
