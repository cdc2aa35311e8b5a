"""`export modbus FILE`: the register map for the masters' engineers."""

import argparse
import sys
from pathlib import Path
from typing import Any

from address_space import DEFAULT_PLANT, Plant, load_plant
from gateways.modbus.addresses import Addresses, MapError
from gateways.modbus.lock import DEFAULT_LOCK, lock_file
from gateways.modbus.mapping import RegisterMap, as_csv, as_markdown


def register_export(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:  # pyright: ignore[reportPrivateUsage]
    """Add `modbus` to `export`; its handler takes (arguments, settings) and returns the exit code."""
    modbus = commands.add_parser("modbus", help="the Modbus register map, as CSV or Markdown by the file's ending")
    modbus.add_argument("file", type=Path, metavar="FILE", help="file to write: map.csv or map.md")
    modbus.set_defaults(handler=_export)


def generate() -> dict[Path, str]:
    """Return the committed files of the default plant's map: map.md, map.csv and the lock file of its addresses."""
    register_map = RegisterMap(load_plant(DEFAULT_PLANT), Addresses.load(DEFAULT_LOCK))
    folder = DEFAULT_LOCK.parent
    return {
        DEFAULT_LOCK: register_map.addresses.text(),
        folder / "map.csv": as_csv(register_map),
        folder / "map.md": as_markdown(register_map),
    }


def map_of(plant: Plant, settings: Any) -> RegisterMap:
    """Return the map that a server with these settings serves; raises MapError."""
    file = lock_file(settings.modbus, plant.file, settings.data_dir / "gateways" / "modbus")
    return RegisterMap(plant, Addresses.load(file))


def _export(args: argparse.Namespace, settings: Any) -> int:
    form = {".csv": as_csv, ".md": as_markdown}.get(args.file.suffix.lower())
    if form is None:
        sys.stderr.write(f"error: {args.file}: name a file that ends in .csv or .md\n")
        return 2
    try:
        register_map = map_of(load_plant(settings.plant), settings)
        args.file.write_text(form(register_map), encoding="utf-8")
    except MapError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"error: {args.file} cannot be written: {error.strerror}\n")
        return 2
    sys.stdout.write(f"{len(register_map.items)} entries written to {args.file}\n")
    return 0
