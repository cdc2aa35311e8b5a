"""`python -m server`: run the plant, or one of the subcommands. Exit codes: 0 stopped, 1 failed, 2 configuration."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from address_space import PlantError
from gateways.verify_cli import register as register_verify
from gateways.watch_cli import register as register_watch
from server import VERSION, config_cli, logs
from server.composition import PlantreeSettings, command_lines
from server.errors import StartError
from server.opcua.export_cli import register as register_export
from server.security import cli as security_cli
from server.security.certificates import CertificateError
from server.security.users import UsersError
from server.settings import Settings, SettingsError
from server.settings_load import load

EXIT_STOPPED, EXIT_FAILED, EXIT_CONFIGURATION = 0, 1, 2

_EPILOG = """\
examples:
  python -m server                              run the plant until Ctrl-C
  python -m server --plant my-plant.yaml        run another plant
  python -m server users add anna --role Operator
  python -m server certs list                   which applications have asked to connect
  python -m server certs trust UaExpert@desk    let one in
  python -m server config show                  every setting and where it comes from
  python -m server export nodeset plant.xml     the address space for other tools
  python -m server export modbus map.csv        the Modbus register map; `export mqtt` lists the topics
  python -m server verify --user anna           do OPC UA, Modbus, MQTT and the database show the same?
  python -m server watch alarms --user anna     the live list of alarms

Settings come from PLANTREE_ environment variables, .env and plantree.yaml: see docs/configuration.md.
"""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and do what it says; returns the exit code."""
    args = _parser().parse_args(arguments)
    try:
        settings = _settings(args)
        if not hasattr(args, "handler"):
            return _run(settings)
        if args.group in ("users", "certs"):
            logs.configure("warning", settings.log.format)
            return int(args.handler(args, settings.data_dir, settings.certs_dir))
        return int(args.handler(args, settings))
    except (PlantError, SettingsError, CertificateError, UsersError) as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_CONFIGURATION
    except StartError as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m server",
        description="Plantree: one OPC UA tree for the whole plant.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"Plantree {VERSION}")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file of settings")
    parser.add_argument("--plant", type=Path, metavar="FILE", help="plant file, in place of the setting `plant`")
    parser.add_argument(
        "--nodeset", type=Path, action="append", default=[], metavar="FILE", help="NodeSet2 file to load besides"
    )
    subparsers = parser.add_subparsers(title="subcommands", metavar="COMMAND", dest="group")
    security_cli.register(subparsers)
    config_cli.register(subparsers)
    exports = register_export(subparsers)
    for module in command_lines():
        if hasattr(module, "register_export"):
            module.register_export(exports)
        if hasattr(module, "register"):
            module.register(subparsers)
    register_verify(subparsers)
    register_watch(subparsers)
    return parser


def _settings(args: argparse.Namespace) -> Settings:
    settings = load(args.config, model=PlantreeSettings)
    changes: dict[str, Any] = {}
    if args.plant is not None:
        changes["plant"] = args.plant
    if args.nodeset:
        changes["nodesets"] = [*settings.nodesets, *args.nodeset]
    return settings.model_copy(update=changes) if changes else settings


def _run(settings: Settings) -> int:
    logs.configure(settings.log.level, settings.log.format)
    return _loop(_serve(settings))


def _loop(work: Coroutine[Any, Any, int]) -> int:
    """Run on uvloop where it exists."""
    if sys.platform == "win32":
        return asyncio.run(work)
    import uvloop  # noqa: PLC0415  # not on Windows

    return uvloop.run(work)


async def _serve(settings: Settings) -> int:
    from server.assembly import Plantree  # noqa: PLC0415  a third of a second that no subcommand should pay

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    plantree = Plantree(settings)
    try:
        await plantree.start()
        failed = asyncio.create_task(plantree.wait_failed())
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait((failed, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if failed.done():
            await failed
        failed.cancel()
    finally:
        await plantree.stop()
    return EXIT_STOPPED


if __name__ == "__main__":
    sys.exit(main())
