"""`python -m server grafana provision`: dashboards, data source and alert rules in Grafana."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from address_space import load_plant
from grafana.settings import GrafanaSettings, Language

if TYPE_CHECKING:
    from grafana.datasource import Database
    from grafana.provision import Step, Wanted

_EPILOG = """\
Makes the folder, the data source, the contact point, the alert rules and a dashboard a type of machine, from the plant
file. Run it as often as you like: what is right already stays as it is, what somebody changed is set right and shown.
Grafana asks the database that influx.url names; grafana.datasource_url is its address as Grafana sees it.

examples:
  python -m server grafana provision
  python -m server grafana provision --dry-run         what would be changed
  python -m server grafana provision --renew-secrets   the database's password is another one now
"""
_EXIT_OK, _EXIT_FAILED, _EXIT_CONFIGURATION = 0, 1, 2
_MOST_LINES = 8


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:  # pyright: ignore[reportPrivateUsage]
    """Add `grafana provision`; its handler takes (arguments, settings) and returns the exit code."""
    grafana = subparsers.add_parser("grafana", help="set Grafana up")
    commands = grafana.add_subparsers(required=True, metavar="COMMAND")
    provision = commands.add_parser(
        "provision",
        help="folder, data source, dashboards, alert rules",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    provision.add_argument("--dry-run", action="store_true", help="only say what would be changed")
    provision.add_argument("--full", action="store_true", help="show every difference, however many")
    provision.add_argument("--renew-secrets", action="store_true", help="send the database's password again")
    provision.set_defaults(handler=_provision)


def _provision(args: argparse.Namespace, settings: Any) -> int:
    from grafana.provision import ProvisionError  # noqa: PLC0415  slow, and only for this

    grafana: GrafanaSettings = settings.grafana
    influx: Any = getattr(settings, "influx", None)
    for name, value, question in (
        ("grafana.url", grafana.url, "where is Grafana?"),
        ("grafana.token", grafana.token.get_secret_value(), "make one for a service account with the role Admin"),
        ("influx.url", grafana.datasource_url or (influx and influx.url), "where is the database?"),
    ):
        if not value:
            sys.stderr.write(f"error: {name} is not set: {question}\n")
            return _EXIT_CONFIGURATION
    try:
        return _set_up(args, grafana, _wanted(args, settings))
    except ProvisionError as error:
        sys.stderr.write(f"error: {error}\n")
    return _EXIT_FAILED


def _wanted(args: argparse.Namespace, settings: Any) -> "Wanted":
    from grafana.languages import SPEAKERS  # noqa: PLC0415
    from grafana.pages import dashboards  # noqa: PLC0415  slow
    from grafana.provision import Wanted  # noqa: PLC0415

    database = _database(settings)
    pages = dashboards(load_plant(settings.plant), SPEAKERS[database.language])
    grafana: GrafanaSettings = settings.grafana
    return Wanted(
        grafana.folder,
        database,
        {uid: json.loads(text) for uid, text in pages.items()},
        grafana.contact_url,
        args.renew_secrets,
    )


def _database(settings: Any) -> "Database":
    from grafana.datasource import Database  # noqa: PLC0415

    grafana: GrafanaSettings = settings.grafana
    influx: Any = getattr(settings, "influx", None)
    if influx is None:
        return Database(language_of(grafana, "auto", ""), grafana.datasource_url)
    return Database(
        language_of(grafana, influx.database, influx.org),
        grafana.datasource_url or influx.url,
        influx.org,
        influx.bucket,
        influx.token.get_secret_value(),
        influx.username,
    )


def language_of(grafana: GrafanaSettings, database: str, organization: str) -> Language:
    """Return what Grafana is to ask in."""
    if grafana.language != "auto":
        return grafana.language
    return "promql" if database == "victoriametrics" or not organization else "flux"


def _set_up(args: argparse.Namespace, settings: GrafanaSettings, wanted: "Wanted") -> int:
    from grafana.provision import apply, check_data_source, check_health, connect, steps, total  # noqa: PLC0415

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 1000)
    api = connect(settings)
    console.print(
        f"Grafana {escape(check_health(api))} at {escape(settings.url)}, asking in {wanted.database.language}"
    )
    columns = TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn()
    changed = 0
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("setting up Grafana", total=total(wanted))
        for step in steps(api, wanted):
            progress.update(bar, description=escape(step.what))
            if not args.dry_run:
                apply(step)
            _show(progress.console, step, full=args.full)
            changed += bool(step.changes)
            progress.advance(bar)
    console.print(f"{changed} of {total(wanted)} {'to be changed' if args.dry_run else 'changed'}")
    if not args.dry_run:
        console.print(f"the database, asked by Grafana: {escape(check_data_source(api))}")
    return _EXIT_OK


def _show(console: Console, step: "Step", *, full: bool) -> None:
    """Print one line for a thing that is right, a diff for one that is not."""
    if not step.changes:
        console.print(f"[dim]=[/dim] {escape(step.what)}: as it should be")
        return
    if len(step.changes) == 1:
        console.print(f"[yellow]~[/yellow] {escape(step.what)}: {escape(step.changes[0])}")
        return
    console.print(f"[yellow]~[/yellow] {escape(step.what)}: {len(step.changes)} differences")
    shown = step.changes if full else step.changes[:_MOST_LINES]
    for line in shown:
        console.print(f"    {escape(line)}")
    if len(shown) < len(step.changes):
        console.print(f"    and {len(step.changes) - len(shown)} more: --full shows them")
