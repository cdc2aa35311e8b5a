"""`export nodeset FILE`: the plant's address space as a NodeSet2 file."""

import argparse
import sys
from pathlib import Path

from address_space import load_plant
from server.audit_cli import register_export as register_audit
from server.opcua.nodeset import write_nodeset
from server.opcua.space import PlantAddressSpace
from server.settings import Settings
from server.store import Store


def register(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",  # pyright: ignore[reportPrivateUsage]
) -> "argparse._SubParsersAction[argparse.ArgumentParser]":  # pyright: ignore[reportPrivateUsage]
    """Add `export` and return what its commands are added to; handlers take (arguments, settings)."""
    export = subparsers.add_parser("export", help="write what the plant looks like to other tools")
    commands = export.add_subparsers(title="commands", required=True, metavar="COMMAND")
    nodeset = commands.add_parser("nodeset", help="the address space as a NodeSet2 XML file (OPC 10000-6 Annex F)")
    nodeset.add_argument("file", type=Path, metavar="FILE", help="file to write")
    nodeset.set_defaults(handler=_nodeset)
    register_audit(commands)
    return commands


def _nodeset(args: argparse.Namespace, settings: Settings) -> int:
    plant = load_plant(settings.plant)
    try:
        count = write_nodeset(PlantAddressSpace(plant, Store(plant, 1)), args.file)
    except OSError as error:
        sys.stderr.write(f"error: {args.file} cannot be written: {error.strerror}\n")
        return 2
    sys.stdout.write(f"{count} nodes written to {args.file}\n")
    return 0
