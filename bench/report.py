"""Results: numbers with their spread, the machine they hold for, tables, and sections of RESULTS.md."""

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
import yaml
from numpy.typing import ArrayLike
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table as Grid

from bench.errors import BenchError
from bench.peers import environment
from bench.processes import ROOT, node_version
from bench.wire import WireError

RESULTS = ROOT / "bench" / "RESULTS.md"
LIMITS = ROOT / "bench" / "limits.yaml"
SECTIONS = (
    "opcua", "opcua_secure", "fairness", "emergency_stop", "modbus",
    "influx", "history", "alarms", "alarm_delivery", "scale", "physics", "vision", "web",
)  # fmt: skip
"""In the order of RESULTS.md."""

console = Console(width=None if sys.stdout.isatty() else 240)


@dataclass
class Samples:
    """One figure, measured once a round; `note` says why there is none."""

    values: list[float] = field(default_factory=list)
    note: str = ""

    @property
    def median(self) -> float:
        """The median over the rounds, NaN where there is none."""
        return statistics.median(self.values) if self.values else float("nan")

    def over(self, other: "Samples") -> "Samples":
        """Return the ratios to other figures, round by round; to a median where one has fewer; none if negative."""
        if not self.values or not other.values or min(*self.values, *other.values) <= 0:
            return Samples()
        if len(self.values) == len(other.values):
            return Samples([ours / theirs for ours, theirs in zip(self.values, other.values, strict=True)])
        if len(self.values) < len(other.values):
            return Samples([self.median / theirs for theirs in other.values])
        return Samples([ours / other.median for ours in self.values])

    def __str__(self) -> str:
        if not self.values:
            return self.note or "-"
        low, median, high = number(min(self.values)), number(self.median), number(max(self.values))
        return median if low == high else f"{median} ({low}..{high})"


def number(value: float) -> str:
    """Write a number with three digits that count."""
    if value >= 1000:
        return f"{value:,.0f}"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f}"


@dataclass(frozen=True)
class Table:
    """A table of a section; every cell is text."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""


@dataclass(frozen=True)
class Section:
    """A section of RESULTS.md: paragraphs of Markdown and tables, then what limits each of `rows` (key to title)."""

    title: str
    parts: Sequence[str | Table]
    rows: Mapping[str, str] = field(default_factory=dict)
    peers: bool = False
    """Whether other OPC UA servers were measured, so that their versions belong here."""


def run(
    name: str,
    measure: Callable[[int, bool], Section],
    description: str | None,
    arguments: Sequence[str] | None,
    *,
    rounds: int = 3,
) -> int:
    """Run a benchmark from the command line, as `bench` says; returns the exit code."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=description)
    parser.add_argument("--quick", action="store_true", help="one short round, nothing written")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"rounds (default {rounds})")
    args = parser.parse_args(arguments)
    try:
        section = measure(1 if args.quick else args.rounds, args.quick)
    except (BenchError, WireError, OSError) as error:
        console.print(f"[red]{name}: {error}", soft_wrap=True)
        return 1
    show(section)
    if not args.quick:
        write_section(name, text_of(name, section, args.rounds))
    return 0


def show(section: Section) -> None:
    """Print the tables of a section to the terminal."""
    for part in section.parts:
        if isinstance(part, Table):
            table(part.title or section.title, part.heads, part.rows)


def text_of(name: str, section: Section, rounds: int) -> str:
    """Return a section as Markdown."""
    said = conditions(peers=section.peers) + f"\n- {rounds} round{'s' if rounds > 1 else ''}"
    parts = [f"## {section.title}", said]
    for part in section.parts:
        if isinstance(part, Table):
            head = f"**{part.title}**\n\n" if part.title else ""
            parts.append(head + markdown(part.heads, part.rows))
        else:
            parts.append(part.strip())
    return "\n\n".join([*parts, *filter(None, [limits(name, section.rows)])])


def limits(name: str, rows: Mapping[str, str]) -> str:
    """Return what limits each row (key to title), as a person wrote it in limits.yaml; empty where there is none."""
    written: Mapping[str, str] = (yaml.safe_load(LIMITS.read_text(encoding="utf-8")) or {}).get(name, {})
    lines = [f"- **{title}**: {' '.join(written[key].split())}" for key, title in rows.items() if key in written]
    return "\n".join(["### What limits each row now\n", *lines]) if lines else ""


def percentile(values: ArrayLike, share: float) -> float:
    """Return the smallest value that `share` of all do not exceed (nearest rank)."""
    return float(np.quantile(np.asarray(values), share, method="inverted_cdf"))


def progress() -> Progress:
    """Return a progress bar for the terminal."""
    return Progress(
        TextColumn("[progress.description]{task.description}", justify="left"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table to the terminal; cells may carry rich's markup."""
    shown = Grid(title=title, title_justify="left", title_style="bold")
    for place, head in enumerate(heads):
        shown.add_column(
            head, justify="left" if place == 0 else "right", no_wrap=place > 0, min_width=place == 0 and 24
        )
    for row in rows:
        shown.add_row(*row)
    console.print(shown)


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join('---' if i == 0 else '--:' for i in range(len(heads)))}|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


def conditions(*, peers: bool = False) -> str:
    """Return machine, kernel, versions, date and load, as a section of the results begins."""
    system = f"{platform.system()} {platform.release()}"
    memory = psutil.virtual_memory().total / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in ("asyncua", "numpy", "uvloop"))
    versions = f"Python {platform.python_version()}, {packages}"
    if peers:
        versions += f", node-opcua {node_version() or 'not installed'}, {environment.version()}"
    load = os.getloadavg()[0]
    return "\n".join(
        (
            f"- Machine: {_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, {system}",
            f"- Load average when the table was made: {load:.1f}",
            f"- Versions: Plantree {_commit()}, {versions}",
            f"- Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            f"- Command: `{_command()}`",
        )
    )


def write_section(name: str, text: str, path: Path = RESULTS) -> None:
    """Put a section in its place in RESULTS.md; the others stay as they are."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    parts = ["# Results\n\nWritten by `python -m bench`: each benchmark rewrites its own section."]
    for section in SECTIONS:
        begin, end = f"<!-- bench:{section} -->", f"<!-- /bench:{section} -->"
        found = re.search(f"{re.escape(begin)}\n(.*?)\n{re.escape(end)}", old, re.DOTALL)
        body = text.strip() if section == name else found.group(1) if found else ""
        if body:
            parts.append(f"{begin}\n{body}\n{end}")
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    console.print(f"section [bold]{name}[/bold] of {path.relative_to(ROOT)} written")


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    if file.exists():
        found = re.search(r"model name\s*:\s*(.+)", file.read_text(encoding="utf-8"))
        if found:
            return found.group(1).strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"


def _command() -> str:
    module = Path(sys.argv[0]).with_suffix("")
    name = "bench" if module.name == "__main__" else f"bench.{module.name}"
    return " ".join(("python -m", name, *sys.argv[1:]))
