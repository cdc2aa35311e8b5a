"""`python -m server verify`: the command line of the comparison."""

import argparse
import asyncio
import getpass
import os
import sys
from typing import Any

from address_space import load_plant
from server import logs
from server.errors import StartError

AGREES, DIFFERS, CANNOT = 0, 1, 2
_EPILOG = """\
Every variable's value, status and time, as OPC UA, Modbus (each word order), MQTT (each layout), the time-series
server, REST and the operator page's stream show them, are compared within what each plane documents as its resolution.
The gateways are those of the settings; the server must be running. The password is taken from PLANTREE_PASSWORD, else
asked for, or read from standard input where that is no terminal. Exit codes: 0 all the same, 1 something differs, 2 it
cannot be told.
"""


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:  # pyright: ignore[reportPrivateUsage]
    """Add `verify`; its handler takes (arguments, settings) and returns the exit code."""
    verify = subparsers.add_parser(
        "verify",
        help="compare what OPC UA and every gateway show",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verify.add_argument("--user", required=True, metavar="NAME", help="user who may read everything: an Observer")
    verify.add_argument(
        "--seconds",
        type=float,
        default=12.0,
        metavar="S",
        help="how long to look; what does not change is repeated every 10 s (12)",
    )
    verify.add_argument("--only", action="append", default=[], metavar="GATEWAY", help="modbus, mqtt, influx or web")
    verify.set_defaults(handler=_verify)


def _verify(args: argparse.Namespace, settings: Any) -> int:
    logs.configure("error", settings.log.format)
    from rich.console import Console  # noqa: PLC0415  with asyncua a second that no other subcommand should pay

    from gateways.observing import ObserveError  # noqa: PLC0415
    from gateways.verify import compare, show  # noqa: PLC0415

    console = Console()
    plant = load_plant(settings.plant)
    password = _password(args.user)
    try:
        found = asyncio.run(compare(plant, settings, (args.user, password), args.seconds, args.only, console))
    except (StartError, ObserveError, OSError, ValueError, TimeoutError) as error:
        sys.stderr.write(f"error: {error or 'the server did not answer in time'}\n")
        return CANNOT
    if not found:
        sys.stderr.write("error: no gateway is enabled: there is nothing to compare\n")
        return CANNOT
    show(console, found)
    return AGREES if all(agreement.holds for agreement in found) else DIFFERS


def _password(user: str) -> str:
    given = os.environ.get("PLANTREE_PASSWORD")
    if given:
        return given
    return getpass.getpass(f"Password of {user}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
