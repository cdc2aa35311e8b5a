"""What bench.opcua shows: the table in the terminal, the section of RESULTS.md and the plot."""

import argparse
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench import report
from bench.processes import NAMES, ROOT, SERVER_CORES
from bench.report import Samples

if TYPE_CHECKING:
    from bench.opcua import Measure, Results

PLOT = ROOT / "bench" / "opcua.png"

_NOTES = """\
What is compared: each server holds the same machines, Doubles and set-points under the same string NodeIds, and the
same method. The client is one raw TCP client for all (SecurityPolicy None), which checks that every answer is Good
and complete. What differs: Plantree checks the role of whoever writes or calls, keeps each set-point on disk and
audits each write and call on disk before it answers; the peers only change a value in memory. node-opcua stamps
sources in whole milliseconds. Lag is from the source timestamp to the arrival of the notification, so it contains
the wait for the next publishing interval ({interval:g} ms). A start-up ends when a session has read the last variable
as Good; Plantree's and asyncua's include the start of Python, node-opcua's that of node."""

_SHARES = """\
Who was busy: share of a core of server / client, and changes a second that the server's own driver made where
variables change (a server that cannot keep up makes fewer)."""


def ratio(measure: "Measure", results: "Results", peer: str) -> float:
    """Return how many times better Plantree's median is than a peer's; NaN where one is missing."""
    empty = Samples()
    ours = results.figures.get((measure.key, "plantree"), empty).median
    theirs = results.figures.get((measure.key, peer), empty).median
    if not ours or not theirs:
        return math.nan
    return ours / theirs if measure.more_is_better else theirs / ours


def print_results(measures: Sequence["Measure"], results: "Results") -> None:
    """Print the table, ratios in colour."""
    peers = results.kinds[1:]
    heads = ["", "unit", *(NAMES[kind] for kind in results.kinds), *(f"x {NAMES[kind]}" for kind in peers)]
    rows: list[list[str]] = []
    for measure in measures:
        cells = [str(results.figures.get((measure.key, kind), Samples())) for kind in results.kinds]
        rows.append(
            [measure.title, measure.unit, *cells, *(_coloured(ratio(measure, results, kind)) for kind in peers)]
        )
    report.table("OPC UA, median (lowest..highest); x: times better than the peer", heads, rows)
    heads, rows = _shares(results)
    report.table("Shares of a core: server / client, %", heads, rows)


def write_results(measures: Sequence["Measure"], results: "Results", args: argparse.Namespace) -> None:
    """Rewrite the section of RESULTS.md."""
    peers = results.kinds[1:]
    heads = ["", "unit", *(NAMES[kind] for kind in results.kinds), *(f"× {NAMES[kind]}" for kind in peers)]
    rows: list[list[str]] = []
    for measure in measures:
        cells = [str(results.figures.get((measure.key, kind), Samples())) for kind in results.kinds]
        ratios = (_plain(ratio(measure, results, kind)) for kind in peers)
        rows.append([measure.title, measure.unit, *cells, *ratios])
    share_heads, share_rows = _shares(results)
    pinned = "server and client each on a core of its own" if len(SERVER_CORES) == 1 else "not pinned"
    parts = [
        "## OPC UA\n",
        report.conditions(peers=True),
        f"- {args.rounds} rounds, {args.seconds:g} s a measurement, servers in turn, each a fresh process; {pinned}",
        "",
        "Median (lowest..highest) over the rounds; × is how many times better Plantree is (below 1: worse).",
        "",
        report.markdown(heads, rows),
        "",
        "![Plantree over its peers](opcua.png)",
        "",
        _NOTES.format(interval=args.interval),
        "",
        _SHARES,
        "",
        report.markdown(share_heads, share_rows),
    ]
    report.write_section("opcua", "\n".join(parts))


def save_plot(measures: Sequence["Measure"], results: "Results") -> None:
    """Draw the ratios as grouped bars on a logarithmic axis."""
    import matplotlib as mpl  # noqa: PLC0415  # a second, only where it is drawn

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    peers = results.kinds[1:]
    shown = [m for m in measures if any(not math.isnan(ratio(m, results, peer)) for peer in peers)]
    figure, axes = plt.subplots(figsize=(10, 0.45 * len(shown) + 1.8), layout="constrained")
    height = 0.8 / max(len(peers), 1)
    for index, (peer, colour) in enumerate(zip(peers, ("#1f77b4", "#ff7f0e"), strict=False)):
        for row, measure in enumerate(shown):
            value = ratio(measure, results, peer)
            if math.isnan(value):
                continue
            place = row + (index - (len(peers) - 1) / 2) * height
            label = f"against {NAMES[peer]}" if row == 0 else None
            axes.barh(place, value - 1, height * 0.9, left=1, color=colour, label=label)
            side, shift = ("left", 4) if value >= 1 else ("right", -4)
            axes.annotate(_plain(value), (value, place), (shift, 0), textcoords="offset points", va="center", ha=side)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=1)
    low, high = axes.get_xlim()
    axes.set_xlim(low / 2, high * 2)
    axes.set_yticks(range(len(shown)), [measure.title for measure in shown])
    axes.invert_yaxis()
    axes.set_xlabel("times better than the peer (left of 1: worse), medians")
    axes.set_title("Plantree over its peers, one run, one client")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="best")
    figure.savefig(PLOT, dpi=130)
    plt.close(figure)


def _shares(results: "Results") -> tuple[list[str], list[list[str]]]:
    heads = ["", *(NAMES[kind] for kind in results.kinds)]
    rows: list[list[str]] = []
    for key in dict.fromkeys(key for key, _ in results.client):
        row = [key]
        for kind in results.kinds:
            server, client = (side.get((key, kind), Samples()).median for side in (results.server, results.client))
            written = results.written.get((key, kind))
            changes = f", {report.number(written.median)} changes/s" if written else ""
            row.append(f"{server:.0f} / {client:.0f}{changes}")
        rows.append(row)
    return heads, rows


def _plain(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def _coloured(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"[{'green' if value >= 1 else 'red'}]{_plain(value)}[/]"
