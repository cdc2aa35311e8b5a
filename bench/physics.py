"""What a step of the simulation costs: one machine of a model beside a thousand."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from address_space import load_plant
from address_space.load import DEFAULT_PLANT
from bench import plants, processes, report
from bench.report import Samples, progress
from server.ports import SourceContext
from server.store import Store
from sources.physics import create

EPILOG = """\
A step is what the physics source does each period of 0.1 s: step the models, read their sensors, write the store.
Steps of the two sizes alternate in blocks, so that a disturbance hits both; a figure is the median over the blocks of
a block's fastest tenth.

examples:
  python -m bench.physics            40 blocks of 20 steps; rewrites bench/RESULTS.md
  python -m bench.physics --quick    5 blocks; writes nothing
"""

MANY = 1000
_PERIOD = 0.1
_TYPES = {
    "generators": "GeneratorType",
    "lines": "ProductionLineType",
    "energy meters": "EnergyMeterType",
    "environments": "EnvironmentType",
}
_STEPS = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.physics",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="5 blocks, nothing written")
    parser.add_argument("--blocks", type=int, default=40, help="blocks of 20 steps of each size (default 40)")
    args = parser.parse_args(arguments)
    if args.quick:
        args.blocks = 5
    processes.pin_client()
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory(prefix="plantree-bench-") as name, progress() as bar:
        task = bar.add_task("", total=len(_TYPES) * args.blocks)
        for title, machine_type in _TYPES.items():
            bar.update(task, description=title)
            one, many = (_source(Path(name), machine_type, count) for count in (1, MANY))
            costs = {1: Samples(), MANY: Samples()}
            for _ in range(args.blocks):
                costs[1].values.append(_block(one))
                costs[MANY].values.append(_block(many))
                bar.advance(task)
            ratio = costs[MANY].median / costs[1].median
            share = costs[MANY].median / 1000 / _PERIOD * 100
            cells = (str(costs[1]), str(costs[MANY]), report.number(ratio), f"{share:.1f} %")
            rows.append([title, *cells])
    heads = ["", "1 machine, ms a step", f"{MANY:,} machines, ms a step", "ratio", "of a core at 10 Hz"]
    report.table(f"Physics: a step of {MANY:,} machines beside one of a single machine", heads, rows)
    if not args.quick:
        lines = [
            "## Physics",
            "",
            report.conditions(),
            f"- {args.blocks} blocks of {_STEPS} steps of each size, in turn",
        ]
        text = "A step of the physics source (models, sensors, one write to the store); median (lowest..highest)."
        report.write_section("physics", "\n".join([*lines, "", text, "", report.markdown(heads, rows)]))
    return 0


def _source(folder: Path, machine_type: str, count: int) -> Callable[[float], None]:
    """Return what advances a physics source of `count` machines, which run."""
    default = yaml.safe_load(DEFAULT_PLANT.read_text(encoding="utf-8"))
    default["sources"] = {"physics": {"kind": "physics", "seed": 1, "period": _PERIOD, "autostart": True}}
    default["objects"] = {f"Machine[1..{count}]": {"type": machine_type, "source": "physics"}}
    del default["register_maps"]
    plant = load_plant(plants.write(default, folder / f"{machine_type}-{count}.yaml"))
    machines = tuple(machine for machine in plant.machines if machine.source == "physics")
    store = Store(plant)
    source = create(SourceContext("physics", plant, machines, store, plant.sources["physics"].options))
    for _ in range(100):
        source.advance(_PERIOD)
    return source.advance


def _block(advance: Callable[[float], None]) -> float:
    """Return the milliseconds of a step: the mean of the fastest tenth of a block."""
    found: list[float] = []
    for _ in range(_STEPS):
        start = time.perf_counter()
        advance(_PERIOD)
        found.append((time.perf_counter() - start) * 1000)
    best = sorted(found)[: max(1, _STEPS // 10)]
    return sum(best) / len(best)


if __name__ == "__main__":
    sys.exit(main())
