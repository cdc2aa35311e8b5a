"""A simulated line PLC as a Modbus TCP server: `python -m sources.modbus_plc.simulator --port N`.

It prints `listening on HOST:PORT` and runs until SIGTERM or SIGINT, or until its standard input, when that is a
pipe, closes: with the process that started it.
"""

import argparse
import asyncio
import os
import signal
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from sources.modbus_plc.line_plc import LinePlc, Memory
from sources.modbus_plc.settings import RegisterMap, Simulate, Table, WordOrder

SCAN_TIME = 0.05  # s
PLANT = Path(__file__).parents[2] / "address_space" / "plant.yaml"
TABLES = {  # by function code: Modbus application protocol 6
    1: Table.COIL,
    5: Table.COIL,
    15: Table.COIL,
    2: Table.DISCRETE,
    3: Table.HOLDING,
    6: Table.HOLDING,
    16: Table.HOLDING,
    22: Table.HOLDING,
    23: Table.HOLDING,
    4: Table.INPUT,
}


class Server:
    """Serves a PLC's memory; a write is scanned right after its answer, not a scan time later."""

    def __init__(self, plc: LinePlc) -> None:
        self.plc = plc
        self._loop = asyncio.get_running_loop()
        self._scanned = self._loop.time()

    def device(self) -> SimDevice:
        """Return the device that answers every unit identifier."""
        memory = self.plc.memory

        def bits(table: Table) -> list[SimData]:
            return [SimData(0, values=[False] * len(memory[table]), datatype=DataType.BITS)]

        def registers(table: Table) -> list[SimData]:
            return [SimData(0, values=[0] * (len(memory[table]) // 2), datatype=DataType.REGISTERS)]

        tables = (bits(Table.COIL), bits(Table.DISCRETE), registers(Table.HOLDING), registers(Table.INPUT))
        return SimDevice(id=0, simdata=tables, action=self.access)

    async def access(  # six arguments: what pymodbus 3.16 calls an action with
        self,
        function_code: int,
        start_address: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> None:
        """Take a write into the memory, or bring what a read asks for from there into pymodbus' registers."""
        table = TABLES[function_code]
        memory = self.plc.memory[table]
        if values is not None:
            write(memory, table, address, values)
            self._loop.call_soon(self.scan)
        elif table.of_bits:
            words = np.packbits(memory, bitorder="little").view("<u2")
            first = address // 16
            registers[first - start_address : first - start_address + count] = words[first : first + count].tolist()
        else:
            words = memory.view(">u2")[address : address + count]
            registers[address - start_address : address - start_address + count] = words.tolist()

    def scan(self) -> None:
        """Run the PLC's program once, for the time since its last run."""
        now = self._loop.time()
        self.plc.scan(now - self._scanned)
        self._scanned = now

    async def run(self) -> None:
        """Scan forever."""
        while True:
            self.scan()
            await asyncio.sleep(SCAN_TIME)


def write(memory: Memory, table: Table, address: int, values: Sequence[int | bool]) -> None:
    """Put bits or registers into a table's memory."""
    if table.of_bits:
        memory[address : address + len(values)] = np.array(values, dtype=np.uint8)
    else:
        memory[2 * address : 2 * (address + len(values))] = np.array(values, dtype=">u2").view(np.uint8)


async def serve(plc: LinePlc, host: str, port: int) -> None:
    """Serve until asked to end; raises RuntimeError when it cannot listen."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if stat.S_ISFIFO(mode := os.fstat(sys.stdin.fileno()).st_mode) or stat.S_ISSOCK(mode):
        loop.add_reader(sys.stdin.fileno(), lambda: os.read(sys.stdin.fileno(), 4096) or ended.set())
    program = Server(plc)
    server = ModbusTcpServer(program.device(), address=(host, port))
    await server.serve_forever(background=True)
    sockets: Any = server.transport
    sys.stdout.write(f"listening on {host}:{sockets.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    scanning = asyncio.create_task(program.run())
    ending = asyncio.create_task(ended.wait())
    try:
        done, _ = await asyncio.wait({scanning, ending}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        scanning.cancel()
        ending.cancel()
        await server.shutdown()


def read_map(file: str, name: str | None) -> RegisterMap:
    """Read a register map: of a file, of a plant file's `register_maps`, or from a line of standard input ('-')."""
    if file == "-":
        with os.fdopen(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as unbuffered:
            text = unbuffered.readline()  # no byte more: what follows is the end of the pipe, seen by serve()
    else:
        text = Path(file).read_bytes()
    data = yaml.safe_load(text)
    if isinstance(data, dict) and "register_maps" in data:
        maps: dict[str, Any] = data["register_maps"]
        data = maps[name or next(iter(maps))]
    return RegisterMap.model_validate(data)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m sources.modbus_plc.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=502, help="0: a free one")
    parser.add_argument(
        "--map", default=str(PLANT), metavar="FILE", help="register map or plant file; -: standard input"
    )
    parser.add_argument("--map-name", metavar="NAME", help="which of a plant file's register maps; default the first")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--word-order", type=WordOrder, choices=list(WordOrder), default=None)
    parser.add_argument("--button", type=int, default=Simulate().button, metavar="COIL", help="presses the button")
    parser.add_argument("--autostart", action="store_true", help="start the line now")
    return parser.parse_args(argv)


def main() -> int:
    """Run; the exit code is 2 for a register map that cannot be, 1 for a port that cannot be had."""
    options = arguments()
    try:
        registers = read_map(options.map, options.map_name)
        if options.word_order is not None:
            registers = registers.model_copy(update={"word_order": options.word_order})
        plc = LinePlc(registers, options.seed, options.button, autostart=options.autostart)
    except (OSError, ValidationError, KeyError, ValueError, yaml.YAMLError) as error:
        sys.stderr.write(f"{options.map}: {error}\n")
        return 2
    try:
        asyncio.run(serve(plc, options.host, options.port))
    except RuntimeError as error:
        sys.stderr.write(f"{options.host}:{options.port}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
