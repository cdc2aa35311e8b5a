"""`python -m bench`: every benchmark, one after the other."""

import argparse
import sys

from bench import emergency_stop, opcua, physics, scale
from bench.report import console

_ALL = {"opcua": opcua, "emergency_stop": emergency_stop, "scale": scale, "physics": physics}

_EPILOG = """\
examples:
  python -m bench                     all, about half an hour; rewrites bench/RESULTS.md and bench/opcua.png
  python -m bench --quick             all in a few minutes, to see that they run; writes nothing
  python -m bench --only scale,physics
  python -m bench.opcua --help        what one of them does, and its own options
"""


def main() -> int:
    """Run the benchmarks; returns 1 when one of them failed."""
    described = "\n".join(f"  {name:<16}{module.__doc__}" for name, module in _ALL.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=f"The benchmarks of Plantree:\n\n{described}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="short runs, nothing written")
    parser.add_argument("--only", default=",".join(_ALL), metavar="NAMES", help="which, separated by commas")
    args = parser.parse_args()
    names = args.only.split(",")
    unknown = [name for name in names if name not in _ALL]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(_ALL)}")
    failed = 0
    for name in names:
        console.rule(name)
        failed += _ALL[name].main(["--quick"] if args.quick else []) != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
