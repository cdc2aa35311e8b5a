"""`python -m server watch`: the command line of the live list of alarms."""

import argparse
import asyncio
import getpass
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from server import logs
from server.errors import StartError

ENDED, CANNOT = 0, 2
_FOLDER = "watch"
_EPILOG = """\
The list has what needs somebody: alarms that are active, not acknowledged or not confirmed. On top is what nobody has
acknowledged yet, the most severe first. Colours are severities (800 and more red on the whole row, 600 red, 400 orange,
200 yellow, below cyan); what is shelved, suppressed or over is dim; "(earlier)" is an activation before the present one
that nobody has acknowledged. Nothing is acknowledged here: an OPC UA client's Alarms view does that.

examples:
  python -m server watch alarms --user anna           until Ctrl-C
  python -m server watch alarms --user anna --once    the list as it is now
  python -m server watch alarms --user anna | tee log a line for each event: standard output is no terminal

The server is that of the settings and must be running. The password is taken from PLANTREE_PASSWORD, else asked for, or
read from standard input where that is no terminal. Exit codes: 0 ended, 2 the server cannot be watched.
"""


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:  # pyright: ignore[reportPrivateUsage]
    """Add `watch`; its handlers take (arguments, settings) and return the exit code."""
    watch = subparsers.add_parser("watch", help="show in the terminal what is going on: `watch alarms`")
    commands = watch.add_subparsers(title="commands", required=True, metavar="COMMAND")
    alarms = commands.add_parser(
        "alarms",
        help="the live list of alarms, over OPC UA",
        description="Show the live list of alarms, over OPC UA.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    alarms.add_argument("--user", required=True, metavar="NAME", help="user who may see alarms: an Observer will do")
    alarms.add_argument("--once", action="store_true", help="print the list as it is now, and end")
    alarms.set_defaults(handler=_alarms)


def _alarms(args: argparse.Namespace, settings: Any) -> int:
    logs.configure("error", settings.log.format)
    from rich.console import Console  # noqa: PLC0415  with asyncua a second that no other subcommand should pay

    from gateways.watch import watch  # noqa: PLC0415

    try:
        peer = _peer(settings, args.user, _password(args.user))
        asyncio.run(watch(peer, Console(), once=args.once))
    except KeyboardInterrupt:
        return ENDED
    except (StartError, OSError, TimeoutError) as error:
        sys.stderr.write(f"error: {error or 'the server did not answer in time'}\n")
        return CANNOT
    return ENDED


def _peer(settings: Any, user: str, password: str) -> Any:
    """Return the server of these settings, which trusts this command: who may run it can write the trust list, too."""
    from gateways.remote import Peer  # noqa: PLC0415
    from server.security.certificates import load_or_create  # noqa: PLC0415

    folder: Path = settings.data_dir / _FOLDER
    own = load_or_create(folder / "certs")
    trusted = settings.certs_dir / "trusted"
    trusted.mkdir(parents=True, exist_ok=True)
    shutil.copy(own.certificate_file, trusted / f"plantree-{_FOLDER}.der")
    host: str = settings.opcua.host
    reached = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104
    return Peer(f"opc.tcp://{reached}:{settings.opcua.port}/plantree", user, password, own, folder)


def _password(user: str) -> str:
    given = os.environ.get("PLANTREE_PASSWORD")
    if given:
        return given
    return getpass.getpass(f"Password of {user}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
