"""Whether OPC UA and every gateway show the same, while the plant is moving."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from address_space import Plant
from gateways.agreement import Agreement, Truth, agree
from gateways.observing import Observation, Plane
from gateways.remote import Peer, RemotePlant
from server import composition
from server.quality import is_bad
from server.security.certificates import load_or_create
from server.store import Batch, Store

_CONNECT_S = 30.0
_SETTLE_S = 1.0
"""How long OPC UA is followed before the others are looked at, and after: a sample may be on its way."""
_DIFFERENCES_SHOWN = 10


async def compare(
    plant: Plant,
    settings: Any,
    user: tuple[str, str],
    seconds: float,
    only: Sequence[str] = (),
    console: Console | None = None,
) -> list[Agreement]:
    """Follow the server over OPC UA and look at every enabled gateway meanwhile.

    Raises StartError, ObserveError, OSError, and ValueError for what a plane shows and nobody can read.
    """
    observers = [
        (name, observer)
        for name, observer in _OBSERVERS.items()
        if name in composition.available() and getattr(settings, name).enabled and (not only or name in only)
    ]
    await _check_listening(_host(settings), settings.opcua.port)
    store = Store(plant, settings.journal_rows)
    remote = RemotePlant(plant, store, _peer(settings, user))
    truth: list[Observation] = []
    cursor = store.journal.cursor("verify")  # now: what stands in the store before the first answer is no sample
    following = asyncio.create_task(remote.run())
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console or Console(quiet=True), transient=True) as progress:
        task = progress.add_task("connecting over OPC UA")
        try:
            async with asyncio.timeout(_CONNECT_S):
                await _first(following, remote.ready.wait())
            reading = asyncio.create_task(_collect(store, cursor, truth))
            await asyncio.sleep(_SETTLE_S)
            progress.update(task, description=f"looking at {', '.join(name for name, _ in observers)}")
            looks = (observer(plant, settings, user, seconds) for _, observer in observers)
            planes = [plane for group in await _first(following, asyncio.gather(*looks)) for plane in group]
            await asyncio.sleep(_SETTLE_S)
            reading.cancel()
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            cursor.close()
    known = Truth(truth)
    if unseen := {variable.path for variable in plant.variables} - known.paths:
        raise ConnectionError(f"OPC UA has not shown {len(unseen)} variables, {min(unseen)} among them")
    return [agree(plant, known, plane) for plane in planes]


async def _check_listening(host: str, port: int) -> None:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        raise ConnectionError(f"no server listens on {host}:{port}: start it with the same settings") from error
    writer.close()


def _host(settings: Any) -> str:
    host: str = settings.opcua.host
    return "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104


async def _first(following: "asyncio.Task[None]", work: Awaitable[Any]) -> Any:
    """Wait for work, or for the connection to fail."""
    waiting = asyncio.ensure_future(work)
    await asyncio.wait((following, waiting), return_when=asyncio.FIRST_COMPLETED)
    if following.done():
        waiting.cancel()
        following.result()
    return await waiting


async def _collect(store: Store, cursor: Any, truth: list[Observation]) -> None:
    while True:
        await cursor.wait()
        truth += _observations(store, cursor.read(max_rows=store.journal.rows))


def _observations(store: Store, batch: Batch) -> list[Observation]:
    paths = [store.plant.variables[id_].path for id_ in batch.ids.tolist()]
    rows = zip(
        paths,
        store.objects(batch),
        is_bad(batch.statuses).tolist(),
        batch.statuses.tolist(),
        batch.source_timestamps.tolist(),
        strict=True,
    )
    return [Observation(path, None if bad else value, status, time) for path, value, bad, status, time in rows]


def _peer(settings: Any, user: tuple[str, str]) -> Peer:
    """Return the server of these settings, which trusts this command: who may run it can write the trust list, too."""
    folder: Path = settings.data_dir / "verify"
    own = load_or_create(folder / "certs")
    trusted = settings.certs_dir / "trusted"
    trusted.mkdir(parents=True, exist_ok=True)
    shutil.copy(own.certificate_file, trusted / "plantree-verify.der")
    return Peer(f"opc.tcp://{_host(settings)}:{settings.opcua.port}/plantree", *user, own, folder)


async def _modbus(plant: Plant, settings: Any, _user: tuple[str, str], seconds: float) -> list[Plane]:
    from gateways.modbus.observe import observe  # noqa: PLC0415  only what is enabled is imported

    return await observe(plant, settings.modbus, seconds, data_dir=settings.data_dir)


async def _mqtt(plant: Plant, settings: Any, user: tuple[str, str], seconds: float) -> list[Plane]:
    from gateways.mqtt.observe import observe  # noqa: PLC0415

    mqtt = settings.mqtt
    if mqtt.url.get_secret_value():
        return await observe(plant, mqtt, seconds)
    name, password = (quote(part, safe="") for part in user)
    who = f"{name}:{password}"
    url = f"mqtts://{who}@{mqtt.embedded.host}:{mqtt.embedded.port}"
    return await observe(plant, mqtt, seconds, url=url, ca=settings.data_dir / "gateways" / "certificate.pem")


async def _influx(plant: Plant, settings: Any, _user: tuple[str, str], seconds: float) -> list[Plane]:
    from gateways.influx.observe import observe  # noqa: PLC0415

    return await observe(plant, settings.influx, seconds)


async def _web(plant: Plant, settings: Any, user: tuple[str, str], seconds: float) -> list[Plane]:
    from gateways.web.observe import observe  # noqa: PLC0415

    certificate = settings.data_dir / "gateways" / "certificate.pem"
    return await observe(plant, settings.web, seconds, user=user, certificate=certificate)


_OBSERVERS: dict[str, Callable[[Plant, Any, tuple[str, str], float], Awaitable[list[Plane]]]] = {
    "modbus": _modbus,
    "mqtt": _mqtt,
    "influx": _influx,
    "web": _web,
}


def show(console: Console, found: Sequence[Agreement]) -> None:
    """Print a line a plane, then what differs."""
    table = Table("plane", "variables", "samples", "differ", "missing", "within", title="beside OPC UA")
    for agreement in found:
        colour = "green" if agreement.holds else "red"
        numbers = agreement.variables, agreement.samples, len(agreement.different), len(agreement.missing)
        table.add_row(f"[{colour}]{agreement.plane}[/]", *(f"{number:,}" for number in numbers), agreement.resolution)
    console.print(table)
    for agreement in found:
        for line in agreement.different[:_DIFFERENCES_SHOWN]:
            console.print(f"{agreement.plane}: {line}", markup=False, highlight=False)
        if agreement.missing:
            names = ", ".join(agreement.missing[:_DIFFERENCES_SHOWN])
            console.print(f"{agreement.plane}: never shown: {names}", markup=False, highlight=False)
