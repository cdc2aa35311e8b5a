"""`python -m bench`: every benchmark, one after the other. How a benchmark is written: `bench/__init__.py`."""

import argparse
import importlib
import importlib.util
import sys
from types import ModuleType

from bench import profiles
from bench.report import console

BENCHMARKS = (
    "opcua", "opcua_secure", "fairness", "emergency_stop", "modbus",
    "influx", "history", "alarms", "alarm_delivery", "scale", "physics", "vision", "web",
)  # fmt: skip
"""Modules of this package, in the order in which they run; what a checkout does not have is left out."""

_EPILOG = """\
examples:
  python -m bench                     all; rewrites bench/RESULTS.md and bench/opcua.png
  python -m bench --quick             all in some minutes, to see that they run; writes nothing
  python -m bench --only scale,physics
  python -m bench --profile           no figures: flame graphs of the server under each load, into bench/profiles
  python -m bench.opcua --help        what one of them does, and its own options
"""


def main() -> int:
    """Run the benchmarks; returns 1 when one of them failed."""
    modules = _modules()
    described = "\n".join(f"  {name:<16}{(module.__doc__ or '').strip()}" for name, module in modules.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=f"The benchmarks of Plantree:\n\n{described}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="short runs, nothing written")
    parser.add_argument("--only", default=",".join(modules), metavar="NAMES", help="which, separated by commas")
    parser.add_argument("--profile", action="store_true", help="flame graphs instead of figures")
    args = parser.parse_args()
    if args.profile:
        return profiles.run(quick=args.quick)
    names = args.only.split(",")
    unknown = [name for name in names if name not in modules]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(modules)}")
    failed = 0
    for name in names:
        console.rule(name)
        failed += modules[name].main(["--quick"] if args.quick else []) != 0
    return 1 if failed else 0


def _modules() -> dict[str, ModuleType]:
    """Return the benchmarks that there are."""
    found: dict[str, ModuleType] = {}
    for name in BENCHMARKS:
        if importlib.util.find_spec(f"bench.{name}") is not None:
            found[name] = importlib.import_module(f"bench.{name}")
    return found


if __name__ == "__main__":
    sys.exit(main())
