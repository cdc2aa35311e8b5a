"""The historian: 10,000 variables written, a million values and a day's aggregates read, beside asyncua's SQLite."""

import asyncio
import json
import struct
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from asyncua import Server as AsyncuaServer
from asyncua import ua
from asyncua.server.history_sql import HistorySQLite

from address_space import load_plant
from bench import plants, processes, report
from bench.errors import BenchError
from bench.plants import Layout
from bench.processes import USER, Process
from bench.raw_client import RawClient
from bench.report import Samples, Section, Table, progress
from bench.wire import check_header
from server.assembly import Plantree
from server.historian import FILE
from server.history.embedded import EmbeddedHistorian
from server.history.ports import ReadRequest
from server.settings import HistorianSettings, HttpSettings, OpcUaSettings, Settings
from server.store import Batch, from_ticks

_VARIABLES = 10_000
_ROWS = 40_000  # a batch: each variable four times
_RAW, _DAY, _THEIRS = 1_000_000, 864_000, 20_000
_START = 133_500_000_000_000_000 - 133_500_000_000_000_000 % 864_000_000_000
_TENTH = 1_000_000
_THEIR_NODE = ua.NodeId(1001, 2)  # asyncua refuses tables for NodeIds with dots or quotes
_RESPONSE = ua.ObjectIds.HistoryReadResponse_Encoding_DefaultBinary
_TEXT = """\
Writing: batches of 40,000 values, random walks with three decimals, each on the disk before the next; what is kept in
memory is put into blocks meanwhile, and that is counted. asyncua: `save_node_value`, one by one, as it does itself.
Reading: HistoryRead over OPC UA, no encryption, pages of as many values as the server gives; asyncua is asked for
20,000 of one variable. Aggregates: one day of one variable at 10 Hz, TimeAverage by the minute, over OPC UA; asyncua
has no aggregates. Server and client are pinned to a core each.
"""
_MEASURES = {
    "write": ("Written, 10,000 variables", "values/s", "200,000"),
    "bytes": ("On the disk", "bytes/value", ""),
    "read": ("Raw values read over OPC UA", "values/s", "500,000"),
    "million": ("1,000,000 raw values over OPC UA", "s", "2"),
    "day": ("A day at 10 Hz by the minute", "s", "0.5"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["--serve"]:
        asyncio.run(_serve(given[1], Path(given[2]), int(given[3])))
        return 0
    return report.run("history", measure, __doc__, arguments)


def measure(rounds: int, quick: bool) -> Section:
    """Measure both in turn, each round with fresh files and processes."""
    processes.pin_client()
    ours, theirs = ({key: Samples() for key in _MEASURES} for _ in range(2))
    rows = 2_000_000 if quick else 10_000_000
    with progress() as bar:
        task = bar.add_task("", total=rounds * 4)
        for turn in range(rounds):
            with tempfile.TemporaryDirectory(prefix="plantree-bench-") as name:
                for what, kind, found in (("write", "plantree", ours), ("write", "asyncua", theirs),
                                          ("read", "plantree", ours), ("read", "asyncua", theirs)):  # fmt: skip
                    bar.update(task, advance=1, description=f"round {turn + 1}: {kind}, {what}")
                    folder = Path(name) / kind
                    folder.mkdir(exist_ok=True)
                    work = _write if what == "write" else _read
                    for key, value in work(kind, folder, rows).items():
                        found[key].values.append(value)
    lines = []
    for key, (title, unit, target) in _MEASURES.items():
        ratio = ours[key].over(theirs[key]) if key in ("write", "read") else theirs[key].over(ours[key])
        lines.append([title, unit, str(ours[key]), str(theirs[key]), str(ratio), target])
    heads = ["", "unit", "Plantree", "asyncua", "times as good", "target"]
    return Section("History", [_TEXT, Table(heads, lines)], peers=True)


def _write(kind: str, folder: Path, rows: int) -> dict[str, float]:
    """Write in a process of its own, on the server's core."""
    command = [sys.executable, "-m", "bench.history", "--serve", f"write-{kind}", str(folder), str(rows)]
    process = Process(command, folder / "write.log")
    try:
        return _line(process)
    finally:
        process.end()


def _read(kind: str, folder: Path, _rows: int) -> dict[str, float]:
    port = processes.free_port()
    command = [sys.executable, "-m", "bench.history", "--serve", kind, str(folder), str(port)]
    process = Process(command, folder / "read.log")
    try:
        _line(process)
        path, user = ("/plantree", USER) if kind == "plantree" else ("", None)
        with RawClient(port, path, user) as client:
            return _measure_reads(client, kind)
    finally:
        process.end()


def _line(process: Process) -> dict[str, float]:
    try:
        return process.steer()
    except BenchError as error:
        raise BenchError(f"{error}: {process.log.read_text(encoding='utf-8').strip()[-300:]}") from error


def _measure_reads(client: RawClient, kind: str) -> dict[str, float]:
    count = _RAW if kind == "plantree" else _THEIRS
    start = time.perf_counter()
    found = _read_raw(client, _node("Value1", kind), _START, _START + count * _TENTH)
    took = time.perf_counter() - start
    if found != count:
        raise BenchError(f"{kind} gave {found:,} raw values of {count:,}")
    if kind == "asyncua":
        return {"read": count / took}
    start = time.perf_counter()
    minutes = _read_day(client, _node("Value2", kind))
    day = time.perf_counter() - start
    if minutes != 1440:
        raise BenchError(f"a day has {minutes} minutes")
    return {"read": count / took, "million": took * 1_000_000 / count, "day": day}


def _node(name: str, kind: str) -> ua.NodeId:
    return ua.NodeId(f"Plant.Machine1.{name}", 2) if kind == "plantree" else _THEIR_NODE


def _read_raw(client: RawClient, node: ua.NodeId, start: int, end: int) -> int:
    details = ua.ReadRawModifiedDetails()
    details.IsReadModified = False
    details.StartTime, details.EndTime = from_ticks(start), from_ticks(end)
    details.NumValuesPerNode, details.ReturnBounds = 0, False
    return _read_all(client, node, details)


def _read_day(client: RawClient, node: ua.NodeId) -> int:
    details = ua.ReadProcessedDetails()
    details.StartTime, details.EndTime = from_ticks(_START), from_ticks(_START + _DAY * _TENTH)
    details.ProcessingInterval = 60_000.0
    details.AggregateType = [ua.NodeId(ua.ObjectIds.AggregateFunction_TimeAverage)]
    details.AggregateConfiguration = ua.AggregateConfiguration(UseServerCapabilitiesDefaults=True)
    return _read_all(client, node, details)


def _read_all(client: RawClient, node: ua.NodeId, details: Any) -> int:
    """Follow the continuation points to the end; returns how many values came."""
    point: bytes | None = None
    count = 0
    while True:
        request = ua.HistoryReadRequest()
        request.Parameters.HistoryReadDetails = details
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Source
        request.Parameters.ReleaseContinuationPoints = False
        wanted = ua.HistoryReadValueId(NodeId=node)
        wanted.DataEncoding, wanted.ContinuationPoint = ua.QualifiedName(), point
        request.Parameters.NodesToRead = [wanted]
        body = client.ask(client.prepare(request))
        at = check_header(body, _RESPONSE) + 4
        status, length = struct.unpack_from("<Ii", body, at)
        if status:
            raise BenchError(f"HistoryRead answers 0x{status:08X}")
        at += 8
        point = bytes(body[at : at + length]) if length > 0 else None
        at += max(length, 0) + 5 + 4  # type and encoding of the object, its size
        count += struct.unpack_from("<i", body, at)[0]
        if point is None:
            return count


async def _serve(kind: str, folder: Path, number: int) -> None:
    """Be what is measured: a writer, or a server that answers until standard input ends."""
    work = {"write-plantree": _write_ours, "write-asyncua": _write_theirs,
            "plantree": _serve_ours, "asyncua": _serve_theirs}[kind]  # fmt: skip
    await work(folder, number)


async def _tell(answer: dict[str, float]) -> None:
    await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps(answer), flush=True)
    await asyncio.to_thread(sys.stdin.read)


async def _write_ours(folder: Path, rows: int) -> None:
    plant = load_plant(plants.write(plants.machines_plant(Layout(100, 90, 10)), folder / "write.yaml"))
    file = folder / "write.sqlite"
    historian = await EmbeddedHistorian.open(file, plant)
    rng = np.random.default_rng(1)
    ids = np.tile(np.arange(_VARIABLES, dtype=np.int64), _ROWS // _VARIABLES)
    walk = np.round(rng.normal(size=_VARIABLES) * 10 + 50, 3)
    taken = 0.0
    for turn in range(rows // _ROWS):
        walk = np.round(walk + rng.normal(size=_VARIABLES) * 0.1, 3)
        values = np.round(np.concatenate([walk + place * 0.001 for place in range(_ROWS // _VARIABLES)]), 3)
        late = np.repeat(np.arange(_ROWS // _VARIABLES), _VARIABLES) + turn * (_ROWS // _VARIABLES)
        stamps = _START + late * 500_000 + rng.integers(0, 1000, _ROWS)
        batch = Batch(ids, values.view(np.uint64), np.zeros(_ROWS, np.uint32), stamps.astype(np.int64), {})
        start = time.perf_counter()
        await historian.append(batch)
        taken += time.perf_counter() - start
    start = time.perf_counter()
    await asyncio.to_thread(historian.archive.seal)  # the rest, too: rate and bytes are those of blocks
    taken += time.perf_counter() - start
    found = await historian.read(ReadRequest(0, _START, 2**62))
    if len(found) != rows // _VARIABLES:
        raise BenchError("values are missing")
    await historian.prune(_START)
    kept = historian.stats().bytes
    await historian.close()
    await _tell({"write": rows / taken, "bytes": kept / rows})


async def _write_theirs(folder: Path, _rows: int) -> None:
    history = HistorySQLite(str(folder / "theirs.sqlite"))
    await history.init()
    node = _THEIR_NODE
    await history.new_historized_node(node, None)
    count = 3000
    values = _their_values(count)
    start = time.perf_counter()
    for value in values:
        await history.save_node_value(node, value)
    taken = time.perf_counter() - start
    await history.stop()
    await _tell({"write": count / taken, "bytes": (folder / "theirs.sqlite").stat().st_size / count})


def _their_values(count: int) -> list[ua.DataValue]:
    """Return values a microsecond past the tenths: asyncua cannot read back a time of whole seconds."""
    times = [from_ticks(_START + place * _TENTH + 10) for place in range(count)]
    return [
        ua.DataValue(ua.Variant(float(place)), SourceTimestamp=time_, ServerTimestamp=time_)
        for place, time_ in enumerate(times)
    ]


async def _serve_ours(folder: Path, port: int) -> None:
    """Fill the file that the server will open, then be that server."""
    plant = load_plant(plants.write(plants.machines_plant(Layout(1, 2, 1)), folder / "plant.yaml"))
    settings = Settings(
        plant=folder / "plant.yaml", data_dir=folder / "data", certs_dir=folder / "certs", http=HttpSettings(port=0),
        opcua=OpcUaSettings(host="127.0.0.1", port=port, allow_none=True),
        historian=HistorianSettings(retention_days=36_500),
    )  # fmt: skip
    historian = await EmbeddedHistorian.open(settings.data_dir / FILE, plant)
    rng = np.random.default_rng(2)
    for variable, count in ((0, _RAW), (1, _DAY + 600)):
        for first in range(0, count, 100_000):
            size = min(100_000, count - first)
            values = np.round(50 + np.cumsum(rng.normal(size=size) * 0.1), 3)
            stamps = _START + (first + np.arange(size, dtype=np.int64)) * _TENTH
            ids = np.full(size, variable, np.int64)
            await historian.append(Batch(ids, values.view(np.uint64), np.zeros(size, np.uint32), stamps, {}))
    await asyncio.to_thread(historian.archive.seal)
    await historian.close()
    plantree = Plantree(settings, plant)
    plantree.users.add(USER[0], USER[1], ["Observer"])
    await plantree.start()
    await _tell({})
    await plantree.stop()


async def _serve_theirs(folder: Path, port: int) -> None:
    server = AsyncuaServer()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    await server.register_namespace("urn:bench")
    history = HistorySQLite(str(folder / "serving.sqlite"), max_history_data_response_size=_THEIRS + 1)
    await history.init()
    server.iserver.history_manager.set_storage(history)
    node = await server.nodes.objects.add_variable(_THEIR_NODE, "2:Value1", 0.0)
    async with server:
        await server.historize_node_data_change(node, period=None, count=0)
        for value in _their_values(_THEIRS):
            await history.save_node_value(node.nodeid, value)
        await _tell({})


if __name__ == "__main__":
    sys.exit(main())
