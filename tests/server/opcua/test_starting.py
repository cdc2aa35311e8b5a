"""What keeps a server from starting: one sentence, and an exit code that says whose fault it is."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opcua_rig import plant_file, settings, small_server

from server.assembly import running
from server.errors import StartError
from server.security.certificates import load_or_create

LINES = """\
plant: {type: PlantType}
types:
  PlantType: {description: The plant}
  LineType:
    description: A line
    variables:
      A: {type: Double, unit: kW, range: [0, 1], description: A}
      B: {type: Double, unit: kW, range: [0, 1], description: B}
register_maps:
  Map:
    registers:
      A: {table: input, address: 0, type: float32}
      B: {table: input, address: 2, type: float32}
sources:
  plc: {kind: modbus_plc, map: Map, host: 127.0.0.1, port: 0, simulate: true}
objects:
  Line: {type: LineType, source: plc}
"""


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def test_a_second_server_on_the_port_of_the_first(tmp_path: Path) -> None:
    async with small_server(tmp_path) as first:
        again = tmp_path / "again"
        again.mkdir()
        with pytest.raises(StartError, match="is another server running"):
            async with running(settings(again, plant_file(again), port=first.opcua.port)):
                pytest.fail("it started")


def serve(folder: Path, plant: str, **environment: str) -> tuple[int, str]:
    """Run `python -m server` as a user would; returns its exit code and what it said."""
    (folder / "bad.yaml").write_text(plant, encoding="utf-8")
    arguments = [sys.executable, "-m", "server", "--plant", str(folder / "bad.yaml")]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PLANTREE_")}
    clean |= {
        "PLANTREE_DATA_DIR": str(folder / "data"),
        "PLANTREE_CERTS_DIR": str(folder / "certs"),
        "PLANTREE_OPCUA__HOST": "127.0.0.1",
        "PLANTREE_OPCUA__PORT": "0",
        "PLANTREE_HTTP__PORT": "0",
        "PYTHONPATH": str(Path(__file__).parents[3]),
        **environment,
    }
    done = subprocess.run(arguments, cwd=folder, env=clean, capture_output=True, text=True, timeout=40, check=False)
    return done.returncode, done.stderr


def error(output: str) -> str:
    """Return the one sentence that a start ends with."""
    assert "Traceback" not in output, output
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, output
    return errors[0]


KIND = "kind: modbus_plc"
UNIT = "unit: kW, range: [0, 1], description: A"
PLANTS = {
    "registers that overlap": (("address: 2", "address: 1"), "bad.yaml:13: ", "A"),
    "source of an unknown kind": ((KIND, KIND[:-4]), "bad.yaml:15: sources.plc.kind: ", "modbus_plc"),
    "source option unknown": (("simulate:", "simulat:"), "bad.yaml:15: sources.plc.simulat: ", "simulate"),
    "variable unknown": (("      B: {table", "      C: {table"), "bad.yaml:13: ", "C"),
    "unit unknown": ((UNIT, UNIT.replace("kW", "kw")), "bad.yaml:7: types.LineType.variables.A.unit: ", "'kW'?"),
}


@pytest.mark.parametrize(("change", "start", "part"), PLANTS.values(), ids=PLANTS)
def test_a_wrong_plant_file(tmp_path: Path, change: tuple[str, str], start: str, part: str) -> None:
    assert LINES.count(change[0]) == 1
    code, output = serve(tmp_path, LINES.replace(*change))
    sentence = error(output)
    assert code == 2
    assert sentence.replace(f"{tmp_path}/", "").startswith(f"error: {start}"), sentence
    assert part in sentence


def test_a_port_that_is_taken_is_exit_code_1(tmp_path: Path, taken: int) -> None:
    code, output = serve(tmp_path, LINES, PLANTREE_OPCUA__PORT=str(taken))
    assert code == 1
    sentence = error(output)
    assert f"127.0.0.1, port {taken} " in sentence
    assert "is another server running?" in sentence


@pytest.mark.parametrize("kind", ["certificate", "private key"])
def test_a_certificate_that_cannot_be_read(tmp_path: Path, kind: str) -> None:
    load_or_create(tmp_path / "certs")
    own = sorted(file for file in (tmp_path / "certs").rglob("*") if file.is_file() and "own" in file.parts)
    keys = [file for file in own if "private" in str(file) or "key" in file.name]
    (file,) = keys if kind == "private key" else [file for file in own if file not in keys]
    file.write_bytes(b"this is nothing")
    code, output = serve(tmp_path, LINES)
    assert code == 2, output
    assert file.name in error(output)
