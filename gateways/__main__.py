"""`python -m gateways NAME`: one gateway in a process of its own, against an OPC UA server anywhere."""

import argparse
import asyncio
import getpass
import os
import signal
import sys
from pathlib import Path

from address_space import Plant, PlantError, load_plant
from gateways.remote import Peer, RemotePlant
from gateways.remote_commands import RemoteCommands, RemoteIdentities
from server import composition, logs
from server.diagnostics import gateway_task_name, register_gateway_metrics
from server.errors import StartError
from server.gateway_part import GatewayPart, GatewaySettings, pem_copy
from server.http import Http
from server.metrics import Metrics
from server.ports import GatewayContext, GatewayStatus
from server.security.certificates import CertificateError, load_or_create
from server.settings import Settings, SettingsError
from server.settings_load import load
from server.store import Store
from server.supervision import Supervisor

EXIT_STOPPED, EXIT_FAILED, EXIT_CONFIGURATION = 0, 1, 2

_FIRST_VALUES_S = 5.0
"""How long the gateway waits for the first values; then it starts with what there is."""
_FLUSH_S = 3.0
_EPILOG = """\
The password is taken from PLANTREE_PASSWORD, else asked for, or read from standard input where that is no terminal.
Settings are those of the server (docs/configuration.md); give each process a data and a certs folder of its own, and
let the server trust its certificate: `python -m server certs list`, `certs trust`.
"""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run the gateway until it is stopped; returns the exit code."""
    args = _parser().parse_args(arguments)
    try:
        settings = load(args.config, model=composition.PlantreeSettings)
        plant = load_plant(args.plant or settings.plant)
        own = load_or_create(settings.certs_dir)
        peer = Peer(args.server, args.user, _password(args.user), own, settings.data_dir / "gateways")
        logs.configure(settings.log.level, settings.log.format)
        return asyncio.run(Alone(args.name, settings, plant, peer).serve())
    except (PlantError, SettingsError, CertificateError) as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_CONFIGURATION
    except StartError as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gateways",
        description="Run one gateway alone: it mirrors an OPC UA server that runs elsewhere.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=composition.available(), help="the gateway")
    parser.add_argument("--server", required=True, metavar="URL", help="opc.tcp://HOST:4840/plantree")
    parser.add_argument("--user", required=True, metavar="NAME", help="whose rights it has at the server")
    parser.add_argument("--plant", type=Path, metavar="FILE", help="plant file, in place of the setting `plant`")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file of settings")
    return parser


def _password(user: str) -> str:
    from_environment = os.environ.get("PLANTREE_PASSWORD")
    if from_environment:
        return from_environment
    if sys.stdin.isatty():
        return getpass.getpass(f"Password of {user}: ")
    return sys.stdin.readline().rstrip("\n")


class Alone:
    """A gateway, the store that it mirrors, and what feeds that store."""

    def __init__(self, name: str, settings: Settings, plant: Plant, peer: Peer) -> None:
        store = Store(plant, settings.journal_rows)
        self.remote = RemotePlant(plant, store, peer)
        self._settings: GatewaySettings = getattr(settings, name)
        data_dir = settings.data_dir / "gateways" / name
        data_dir.mkdir(parents=True, exist_ok=True)
        self._context = GatewayContext(
            name=name,
            plant=plant,
            store=store,
            commands=RemoteCommands(plant, self.remote, peer.user),
            identities=RemoteIdentities(peer),
            status=GatewayStatus(),
            data_dir=data_dir,
            certificate_file=pem_copy(peer.own, settings.data_dir / "gateways" / "certificate.pem"),
            private_key_file=peer.own.private_key_file,
        )
        self._part = GatewayPart(composition.package(name), self._context, self._settings)
        self._supervisor = Supervisor()
        metrics = Metrics()
        register_gateway_metrics(metrics, {name: self._context.status})
        self._http = Http(settings.http, metrics)

    async def serve(self) -> int:
        """Run until SIGINT or SIGTERM; returns the exit code, raises StartError."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
        await self._http.start()
        feeding = asyncio.create_task(self.remote.run(), name="remote plant")
        waits = [feeding, asyncio.create_task(stopping.wait())]
        try:
            first = asyncio.create_task(self.remote.ready.wait())
            await asyncio.wait([*waits, first], timeout=_FIRST_VALUES_S, return_when=asyncio.FIRST_COMPLETED)
            first.cancel()
            self._supervisor.add(gateway_task_name(self._context.name), self._part.run, self._settings.startup)
            self._http.health.ready()
            waits.append(asyncio.create_task(self._supervisor.wait_failed()))
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in waits:
                task.cancel()
            await asyncio.wait(waits)
            await self._supervisor.stop(_FLUSH_S)
            await self._http.stop()
        return EXIT_STOPPED


if __name__ == "__main__":
    sys.exit(main())
