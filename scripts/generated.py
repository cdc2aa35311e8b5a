"""Write the generated files, or with --check fail when a committed one is stale."""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from address_space import load_plant
from gateways.influx.cli import generate as influx_rules
from gateways.modbus.cli import generate as modbus_map
from gateways.mqtt.cli import generate as mqtt_topics
from grafana.generate import generate as grafana_files
from scripts.variables import variable_list
from server.composition import PlantreeSettings
from server.config_cli import reference

ROOT = Path(__file__).resolve().parent.parent

GENERATED = {**influx_rules(), **modbus_map(), **grafana_files()}

FILES: dict[str, Callable[[], str]] = {
    "docs/configuration.md": lambda: reference(PlantreeSettings),
    "docs/variables.md": lambda: variable_list(load_plant()),
    "docs/mqtt/topics.md": mqtt_topics,
    **{str(file.relative_to(ROOT)): partial(str, text) for file, text in GENERATED.items()},
}


def main() -> int:
    """Write or compare; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare with what is committed")
    args = parser.parse_args()
    stale: list[str] = []
    for name, generate in FILES.items():
        path = ROOT / name
        text = generate()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if args.check:
            stale.append(name)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {name}\n")
    for name in stale:
        sys.stderr.write(f"error: {name} is stale: run `make docs`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
