"""The subcommands `users` and `certs` of `python -m server`.

Each handler is called with the parsed arguments, the data directory and the certificates' directory, and returns
the exit code: 0, or 2 after one clear sentence on standard error.
"""

import argparse
import getpass
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from server.security.certificates import CERTIFICATE_FILE, VALIDITY_DAYS, CertificateError, renew
from server.security.database import UsersError
from server.security.files import make_certificate_folders
from server.security.pki import CertificateFileError, application_uris, common_name, read_certificate, thumbprint
from server.security.report import describe
from server.security.roles import GRANTABLE
from server.security.trust import TrustError, TrustList
from server.security.users import Users

Handler = Callable[[argparse.Namespace, Path, Path], int]

USERS_FILE = "users.sqlite"
EXIT_OK, EXIT_CONFIGURATION = 0, 2

_USERS_EPILOG = """\
examples:
  python -m server users add anna --role Operator            (asks for the password twice)
  echo "$PASSWORD" | python -m server users add scada --role Observer --role Engineer
  python -m server users add anna --role Supervisor --replace   (new password and roles)
  python -m server users list
  python -m server users remove anna

A running server ends the sessions of a user who was changed or removed within seconds. A user with a certificate
in certs/users/NAME.der may sign in with that instead of the password, for as long as the file is there.
"""

_CERTS_EPILOG = """\
examples:
  python -m server certs list                       what is trusted, rejected, ours
  python -m server certs trust UaExpert@desk        a client that was refused, by name
  python -m server certs trust 3F2A90C1             ... or by (the start of) its thumbprint
  python -m server certs trust ~/plc.der            a certificate file that you were given
  python -m server certs reject UaExpert@desk       refuse it from its next connection on
  python -m server certs show                       the server's own certificate
  python -m server certs renew                      a new key and certificate for the server

A running server sees changes of trust at the next connection; a renewed certificate at its next start.
"""


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:  # pyright: ignore[reportPrivateUsage]
    """Add `users` and `certs`; each sets `handler`, a function (arguments, data_dir, certs_dir) -> exit code."""
    _register_users(subparsers)
    _register_certs(subparsers)


def _register_users(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:  # pyright: ignore[reportPrivateUsage]
    users = _group(subparsers, "users", "who may sign in, and as what", _USERS_EPILOG)
    add = users.add_parser("add", help="add a user; the password comes from standard input or is asked for")
    add.add_argument("name", metavar="NAME", help="letters, digits, '_', '.' and '-'")
    add.add_argument(
        "--role",
        dest="roles",
        metavar="ROLE",
        action="append",
        required=True,
        help=f"one of {', '.join(GRANTABLE)}; may be given several times",
    )
    add.add_argument("--replace", action="store_true", help="change an existing user's password and roles")
    add.set_defaults(handler=_reporting(_users_add))
    users.add_parser("list", help="every user with roles").set_defaults(handler=_reporting(_users_list))
    remove = users.add_parser("remove", help="remove a user")
    remove.add_argument("name", metavar="NAME")
    remove.set_defaults(handler=_reporting(_users_remove))


def _register_certs(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:  # pyright: ignore[reportPrivateUsage]
    certs = _group(
        subparsers, "certs", "which applications may connect, and the server's own certificate", _CERTS_EPILOG
    )
    certs.add_parser("list", help="every certificate with its folder").set_defaults(handler=_reporting(_certs_list))
    for command, function, text in (
        ("trust", _certs_trust, "let a refused client connect"),
        ("reject", _certs_reject, "stop trusting a certificate"),
    ):
        parser = certs.add_parser(command, help=text)
        parser.add_argument(
            "name", metavar="NAME", help="common name, file name, or 8 or more digits of the thumbprint"
        )
        parser.set_defaults(handler=_reporting(function))
    show = certs.add_parser("show", help="everything in a certificate; without NAME the server's own")
    show.add_argument("name", metavar="NAME", nargs="?")
    show.set_defaults(handler=_reporting(_certs_show))
    new = certs.add_parser("renew", help="make the server a new key and certificate; the old stay as *.old")
    new.add_argument("--application-uri", metavar="URI", help="default: the one in the old certificate")
    new.add_argument("--host", dest="hosts", metavar="NAME", action="append", default=[], help="a further name or IP")
    new.add_argument("--days", type=int, default=VALIDITY_DAYS, help="validity (default: %(default)s)")
    new.add_argument("--bits", type=int, default=2048, choices=(2048, 3072, 4096), help="size of the RSA key")
    new.set_defaults(handler=_reporting(_certs_renew))


def _group(subparsers: Any, name: str, text: str, epilog: str) -> Any:
    parser = subparsers.add_parser(
        name, help=text, description=text, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    return parser.add_subparsers(title="commands", required=True, metavar="COMMAND")


def _reporting(function: Handler) -> Handler:
    """Turn the expected errors of a handler into one sentence and exit code 2."""

    def handler(args: argparse.Namespace, data_dir: Path, certs_dir: Path) -> int:
        try:
            return function(args, data_dir, certs_dir)
        except (UsersError, TrustError, CertificateError, CertificateFileError) as error:
            message = str(error)
        except OSError as error:
            message = f"{error.filename or 'a file'} cannot be used: {error.strerror or error}"
        sys.stderr.write(f"error: {message}\n")
        return EXIT_CONFIGURATION

    return handler


def _users_add(args: argparse.Namespace, data_dir: Path, certs_dir: Path) -> int:
    _users(data_dir, certs_dir).add(args.name, _read_password(), args.roles, replace=args.replace)
    _say(f"user {args.name} may sign in")
    return EXIT_OK


def _users_list(_args: argparse.Namespace, data_dir: Path, certs_dir: Path) -> int:
    table = Table("Name", "Roles", "Since")
    for user in _users(data_dir, certs_dir).list():
        table.add_row(Text(user.name), ", ".join(role for role in GRANTABLE if role in user.roles), user.created)
    _console().print(table)
    return EXIT_OK


def _users_remove(args: argparse.Namespace, data_dir: Path, certs_dir: Path) -> int:
    _users(data_dir, certs_dir).remove(args.name)
    _say(f"user {args.name} is removed")
    return EXIT_OK


def _certs_list(_args: argparse.Namespace, _data_dir: Path, certs_dir: Path) -> int:
    table = Table("Folder", "Name", "Application", "Expires", "Thumbprint")
    rows = [
        (stored.folder, stored.name, stored.certificate, stored.thumbprint) for stored in TrustList(certs_dir).list()
    ]
    own = certs_dir / CERTIFICATE_FILE
    if own.exists():
        mine = read_certificate(own)
        rows.insert(0, ("own", common_name(mine), mine, thumbprint(mine)))
    for folder, name, certificate, digits in rows:
        uri = (application_uris(certificate) or [""])[0]
        table.add_row(folder, Text(name), Text(uri), f"{certificate.not_valid_after_utc:%Y-%m-%d}", digits)
    _console().print(table)
    return EXIT_OK


def _certs_trust(args: argparse.Namespace, _data_dir: Path, certs_dir: Path) -> int:
    stored = TrustList(certs_dir).trust(args.name)
    _say(f"{stored.name} ({stored.thumbprint}) is trusted")
    return EXIT_OK


def _certs_reject(args: argparse.Namespace, _data_dir: Path, certs_dir: Path) -> int:
    stored = TrustList(certs_dir).reject(args.name)
    _say(f"{stored.name} ({stored.thumbprint}) is rejected")
    return EXIT_OK


def _certs_show(args: argparse.Namespace, _data_dir: Path, certs_dir: Path) -> int:
    make_certificate_folders(certs_dir)
    if args.name is None:
        file = certs_dir / CERTIFICATE_FILE
        if not file.exists():
            raise CertificateError(f"there is no {file} yet: the server makes it at its first start")
        certificate = read_certificate(file)
    else:
        stored = TrustList(certs_dir).find(args.name)
        file, certificate = stored.file, stored.certificate
    table = Table(show_header=False, box=None)
    for name, value in describe(certificate, file):
        table.add_row(name, Text(value))
    _console().print(table)
    return EXIT_OK


def _certs_renew(args: argparse.Namespace, _data_dir: Path, certs_dir: Path) -> int:
    own = renew(certs_dir, args.application_uri, host_names=args.hosts, key_size=args.bits, days=args.days)
    _say(
        f"{own.certificate_file} ({own.thumbprint}) is valid until {own.certificate.not_valid_after_utc:%Y-%m-%d};"
        " restart the server, and let clients trust it"
    )
    return EXIT_OK


def _users(data_dir: Path, certs_dir: Path) -> Users:
    return Users(data_dir / USERS_FILE, certs_dir / "users")


def _read_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise UsersError("the two passwords differ")
    return password


def _console() -> Console:
    # Into a pipe or file a row stays one line, so that grep finds it.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 250)


def _say(message: str) -> None:
    sys.stdout.write(f"{message}\n")
