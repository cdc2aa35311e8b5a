"""What bench.opcua shows: the table in the terminal, the section of RESULTS.md and the plot."""

import argparse
import math
from collections.abc import Sequence

from bench import report
from bench.opcua_rows import Measure, Results
from bench.processes import NAMES, ROOT, SERVER_CORES
from bench.report import Samples

PLOT = ROOT / "bench" / "opcua.png"
_COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c")

_NOTES = """\
What is compared: each server holds the same machines, Doubles and set-points under the same string
NodeIds, and the same method. The client is one raw TCP client for all (SecurityPolicy None), which checks that every
answer is Good and complete. What differs: Plantree checks the role of whoever writes or calls, keeps each set-point
on disk and audits each write and call on disk before it answers; the peers only change a value in memory. node-opcua
stamps sources in whole milliseconds. Lag is from the source timestamp to the arrival of the notification, so it
contains the wait for the next publishing interval ({interval:g} ms). A start-up ends when a session has read the last
variable as Good; that of Plantree, asyncua and open62541 includes the start of Python, that of node-opcua the start
of node. A start that takes over ten seconds is measured in one round only.

With one request under way, client and server sleep in turn. A process of the lowest class (SCHED_IDLE) keeps each core
awake, for all servers alike: what it takes the machine to wake one is no server's work. (Without, on this project's
test machine, a call of Plantree took 173 µs, with it 117; of open62541 143 and 113.)

open62541 is the C stack through o6, its makers' package for Python: requests are answered in C, the method, the
changing values and the address space are made from Python, as its documentation does. Without a licence file o6 ends
its process after ten minutes ("Script Mode, which permits commercial use. The full Client and Server API is
available", says its README; the wheel has no other terms); no process here lives longer than two. It is a peer of
this bench and no part of Plantree."""

_SHARES = """\
Who was busy: share of a core of server / client, and where variables change, the changes a second that the server's own
driver made (a server that cannot keep up makes fewer) and what was not delivered."""


def print_results(measures: Sequence[Measure], results: Results) -> None:
    """Print the tables, ratios in colour."""
    heads, rows = table_of(measures, results, colour=True)
    report.table("OPC UA, median (lowest..highest); ×: times better than the peer", heads, rows)
    heads, rows = shares(results)
    report.table("Shares of a core: server / client, %", heads, rows)


def write_results(measures: Sequence[Measure], results: Results, args: argparse.Namespace) -> None:
    """Rewrite the section of RESULTS.md."""
    pinned = "server and client each on a core of its own" if len(SERVER_CORES) == 1 else "not pinned"
    parts = [
        "## OPC UA\n",
        report.conditions(peers=True),
        f"- {args.rounds} rounds, {args.seconds:g} s a measurement, servers in turn, each a fresh process; {pinned}",
        "",
        "Median (lowest..highest) over the rounds; × is how many times better Plantree is (below 1: worse).",
        "",
        report.markdown(*table_of(measures, results)),
        "",
        "![Plantree over its peers](opcua.png)",
        "",
        _NOTES.format(interval=args.interval),
        "",
        report.limits("opcua", {measure.key: measure.title for measure in measures}),
        "",
        "### Who was busy\n",
        _SHARES,
        "",
        report.markdown(*shares(results)),
    ]
    report.write_section("opcua", "\n".join(parts))


def table_of(
    measures: Sequence[Measure], results: Results, *, colour: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of the results, the target last."""
    peers = results.kinds[1:]
    heads = ["", "unit", *(NAMES[kind] for kind in results.kinds), *(f"× {NAMES[kind]}" for kind in peers), "target"]
    rows: list[list[str]] = []
    for measure in measures:
        cells = [str(results.of(measure.key, kind)) for kind in results.kinds]
        ratios = [_ratio(results.ratio(measure, kind), colour=colour) for kind in peers]
        ours = results.of(measure.key, "plantree")
        rows.append([measure.title, measure.unit, *cells, *ratios, measure.verdict(ours.median) if ours.values else ""])
    return heads, rows


def shares(results: Results) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of the shares of a core, with what else is to be said."""
    heads = ["", *(NAMES[kind] for kind in results.kinds)]
    rows: list[list[str]] = []
    for key in dict.fromkeys(key for key, _ in (*results.client, *results.notes)):
        row = [key]
        for kind in results.kinds:
            cells: list[str] = []
            if (key, kind) in results.server:
                cells.append(f"{results.server[key, kind].median:.0f} / {results.client[key, kind].median:.0f}")
            row.append(", ".join([*cells, *filter(None, [results.notes.get((key, kind))])]))
        rows.append(row)
    return heads, rows


def save_plot(measures: Sequence[Measure], results: Results) -> None:
    """Draw the ratios as grouped bars on a logarithmic axis, with their lowest and highest."""
    import matplotlib as mpl  # noqa: PLC0415  # a second, only where it is drawn

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    peers = results.kinds[1:]
    shown = [m for m in measures if any(results.ratio(m, peer).values for peer in peers)]
    figure, axes = plt.subplots(figsize=(10, 0.55 * len(shown) + 1.8), layout="constrained")
    height = 0.84 / max(len(peers), 1)
    for index, (peer, colour) in enumerate(zip(peers, _COLOURS, strict=False)):
        for row, measure in enumerate(shown):
            found = results.ratio(measure, peer)
            if not found.values:
                continue
            value = found.median
            place = row + (index - (len(peers) - 1) / 2) * height
            label = f"against {NAMES[peer]}" if row == 0 else None
            spread = [[value - min(found.values)], [max(found.values) - value]]
            axes.barh(place, value - 1, height * 0.9, left=1, color=colour, label=label)
            axes.errorbar(value, place, xerr=spread, color="black", linewidth=0.8, capsize=1.5)
            side, shift = ("left", 4) if value >= 1 else ("right", -4)
            end = max(found.values) if value >= 1 else min(found.values)
            axes.annotate(
                _plain(value), (end, place), (shift, 0), textcoords="offset points", va="center", ha=side, fontsize=8
            )
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=1)
    low, high = axes.get_xlim()
    axes.set_xlim(low / 2, high * 2)
    axes.set_yticks(range(len(shown)), [measure.title for measure in shown])
    axes.invert_yaxis()
    axes.set_xlabel("times better than the peer (left of 1: worse), median with lowest and highest")
    axes.set_title("Plantree over its peers, one run, one client")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="best")
    figure.savefig(PLOT, dpi=110)
    plt.close(figure)


def _ratio(found: Samples, *, colour: bool) -> str:
    if not found.values:
        return "-"
    low, median, high = (_plain(value) for value in (min(found.values), found.median, max(found.values)))
    text = median if low == high else f"{median} ({low}..{high})"
    return f"[{'green' if found.median >= 1 else 'red'}]{text}[/]" if colour else text


def _plain(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}" if value < 100 else f"{value:,.0f}"
