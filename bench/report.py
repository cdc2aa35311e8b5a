"""Results: numbers with their spread, the machine they hold for, tables, and sections of RESULTS.md."""

import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from bench.processes import ROOT, node_version

RESULTS = ROOT / "bench" / "RESULTS.md"
SECTIONS = ("opcua", "emergency_stop", "scale", "physics")

console = Console(width=None if sys.stdout.isatty() else 140)


@dataclass
class Samples:
    """One figure, measured once a round; `note` says why there is none."""

    values: list[float] = field(default_factory=list)
    note: str = ""

    @property
    def median(self) -> float:
        """The median over the rounds, NaN where there is none."""
        return statistics.median(self.values) if self.values else float("nan")

    def __str__(self) -> str:
        if not self.values:
            return self.note or "-"
        if len(self.values) == 1:
            return number(self.values[0])
        return f"{number(self.median)} ({number(min(self.values))}..{number(max(self.values))})"


def number(value: float) -> str:
    """Write a number with three digits that count."""
    if value >= 1000:
        return f"{value:,.0f}"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f}"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that `share` of all do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, -int(-share * len(ranked) // 1) - 1))]


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
    shown = Table(title=title, title_justify="left", title_style="bold")
    for place, head in enumerate(heads):
        shown.add_column(head, justify="left" if place == 0 else "right", no_wrap=place > 0)
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
        versions += f", node-opcua {node_version() or 'not installed'}"
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
