"""A PLC that dies, hangs, lies or talks nonsense: no crash, no Good value, and back as soon as it is well again."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from server.ports import CommandError
from server.quality import BAD_CONFIGURATION_ERROR, BAD_DEVICE_FAILURE, BAD_NO_COMMUNICATION, GOOD
from sources.modbus_plc.connection import Priority, Turns
from sources.modbus_plc.settings import Backoff
from sources.modbus_plc.source import delay
from tests.sources.modbus_plc.rig import Rig, eventually, libmodbus_plc, make_plant

OPTIONS: dict[str, Any] = {
    "timeout": 0.2,
    "period": 0.02,
    "backoff": {"minimum": 0.01, "maximum": 0.05},
    "registers": {
        "Speed": {"table": "holding", "address": 1, "type": "uint16"},
        "Setpoint": {"table": "holding", "address": 2, "type": "uint16"},
    },
    "emergency_stop": {"set": {"table": "coil", "address": 60}, "reset": {"table": "coil", "address": 61}},
}
VARIABLES: dict[str, Any] = {"Speed": {"type": "Double"}, "Setpoint": {"type": "Double", "access": "write"}}
WRITE_COIL, READ_HOLDING = 5, 3


def make_rig(folder: Path, port: int) -> Rig:
    return Rig(make_plant(folder, VARIABLES, OPTIONS), port=port)


async def test_a_plc_that_is_killed_and_comes_back_is_taken_up_again(tmp_path: Path) -> None:
    async with libmodbus_plc() as first:
        rig = make_rig(tmp_path, first.port)
        async with rig.running():
            await rig.until(lambda: rig.status("Speed") == GOOD)
            await first.kill()
            await eventually(lambda: not rig.source.connected)
            errors = rig.source.errors
            await eventually(lambda: rig.source.errors > errors + 2)  # it keeps trying
            async with libmodbus_plc(first.port) as second:
                await second.set("holding", 1, [77])
                await rig.until(lambda: rig.value("Speed") == 77)


async def test_silence_writes_nothing(tmp_path: Path) -> None:
    async with libmodbus_plc() as plc:
        rig = make_rig(tmp_path, plc.port)
        async with rig.running():
            await rig.until(lambda: rig.status("Speed") == GOOD)
            os.kill(plc.process.pid, signal.SIGSTOP)
            try:
                # The kernel still accepts connections: each one times out.
                errors = rig.source.errors
                await eventually(lambda: rig.source.errors > errors)
                rig.cursor.read()
                await eventually(lambda: rig.source.errors > errors + 2)
                assert len(rig.cursor.read()) == 0
                assert "no answer within 0.2 s" in rig.source.last_error
                with pytest.raises(CommandError) as caught:
                    await rig.source.put(rig.machine.variables["Setpoint"], 1)
                assert caught.value.status == BAD_NO_COMMUNICATION
            finally:
                os.kill(plc.process.pid, signal.SIGCONT)
            await rig.until_polled("Speed")


async def test_the_emergency_stop_is_asserted_again_before_anything_is_polled(tmp_path: Path) -> None:
    async with libmodbus_plc() as first:
        rig = make_rig(tmp_path, first.port)
        async with rig.running():
            await rig.until(lambda: rig.status("Speed") == GOOD)
            await rig.source.emergency_stop(rig.machine, True)
            await first.kill()
            async with libmodbus_plc(first.port) as second:
                await rig.until_polled("Speed")
                assert await second.get("coil", 60, 1) == [1]
                assert (await second.requests())[0] == [WRITE_COIL, 60, 0xFF00]


async def test_a_stop_that_could_not_be_written_is_written_when_the_plc_is_there(tmp_path: Path) -> None:
    async with libmodbus_plc() as plc:
        port = plc.port
    rig = make_rig(tmp_path, port)
    async with rig.running():
        await eventually(lambda: rig.source.errors > 0)
        with pytest.raises(CommandError):
            await rig.source.emergency_stop(rig.machine, True)
        async with libmodbus_plc(port) as plc:
            await rig.until_polled("Speed")
            assert await plc.get("coil", 60, 1) == [1]


async def test_a_released_stop_is_not_asserted_again(tmp_path: Path) -> None:
    async with libmodbus_plc() as first:
        rig = make_rig(tmp_path, first.port)
        async with rig.running():
            await rig.until(lambda: rig.status("Speed") == GOOD)
            await rig.source.emergency_stop(rig.machine, True)
            await rig.source.emergency_stop(rig.machine, False)
            await first.kill()
            async with libmodbus_plc(first.port) as second:
                await rig.until_polled("Speed")
                assert {request[0] for request in await second.requests()} == {READ_HOLDING}


async def test_a_stop_during_a_release_wins(tmp_path: Path) -> None:
    async with libmodbus_plc() as first:
        rig = make_rig(tmp_path, first.port)
        async with rig.running():
            await rig.until(lambda: rig.status("Speed") == GOOD)
            await rig.source.emergency_stop(rig.machine, True)
            release = asyncio.create_task(rig.source.emergency_stop(rig.machine, False))
            await asyncio.sleep(0)
            await rig.source.emergency_stop(rig.machine, True)
            await release
            await first.kill()
            async with libmodbus_plc(first.port) as second:
                await rig.until_polled("Speed")
                assert await second.get("coil", 60, 1) == [1]


async def test_the_source_ends_whenever_it_is_cancelled(tmp_path: Path) -> None:
    """Python 3.11's wait_for drops a cancellation that meets the answer; many attempts would meet it."""
    async with libmodbus_plc() as plc:
        rig = Rig(make_plant(tmp_path, VARIABLES, OPTIONS), port=plc.port, period=0.001)
        for steps in range(40):
            task = asyncio.create_task(rig.source.run())
            if steps % 2:
                await eventually(lambda: rig.source.connected)
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=5)
            assert done, f"still running, cancelled after {steps} steps"
            assert task.cancelled()


# ---------------------------------------------------------------- nonsense

Answer = Callable[[bytes], bytes | None]


def frame(request: bytes, pdu: bytes, **header: int) -> bytes:
    """Return an answer to `request` with MBAP header, any field of which can be wrong."""
    transaction = header.get("transaction", int.from_bytes(request[:2], "big"))
    protocol, unit = header.get("protocol", 0), header.get("unit", request[6])
    length = header.get("length", len(pdu) + 1)
    return b"".join(part.to_bytes(2, "big") for part in (transaction, protocol, length)) + bytes([unit]) + pdu


GOOD_PDU = bytes([3, 4, 0, 42, 0, 43])


def honest(request: bytes) -> bytes:
    if request[7] == READ_HOLDING:
        return frame(request, GOOD_PDU)
    return request  # writes are echoed


NONSENSE: dict[str, Answer] = {
    "hangs up": lambda _: None,
    "random bytes": lambda _: os.urandom(64),
    "zeros": lambda _: bytes(64),
    "text": lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "other protocol": lambda request: frame(request, GOOD_PDU, protocol=1),
    "other transaction": lambda request: frame(request, GOOD_PDU, transaction=0x7777),
    "no transaction": lambda request: frame(request, GOOD_PDU, transaction=0),
    "other unit": lambda request: frame(request, GOOD_PDU, unit=9),
    "other function": lambda request: frame(request, bytes([4]) + GOOD_PDU[1:]),
    "unknown function": lambda request: frame(request, bytes([99, 1, 2, 3])),
    "another function's exception": lambda request: frame(request, bytes([0x84, 2])),
    "exception without code": lambda request: frame(request, bytes([0x83])),
    "too few registers": lambda request: frame(request, bytes([3, 2, 0, 42])),
    "too many registers": lambda request: frame(request, bytes([3, 6, 0, 42, 0, 43, 0, 44])),
    "odd count": lambda request: frame(request, bytes([3, 3, 0, 42, 0])),
    "count beyond the data": lambda request: frame(request, bytes([3, 4, 0, 42])),
    "data beyond the count": lambda request: frame(request, bytes([3, 2, 0, 42, 0, 43])),
    "no data": lambda request: frame(request, bytes([3])),
    "length of nothing": lambda request: frame(request, GOOD_PDU, length=0),
    "length beyond the frame": lambda request: frame(request, GOOD_PDU, length=200),
    "length beyond all frames": lambda request: frame(request, GOOD_PDU, length=65535),
    "half a header": lambda request: request[:3],
    "half a frame": lambda request: frame(request, GOOD_PDU)[:9],
    "the request": lambda request: request,
    "nonsense behind a late answer": lambda request: (
        frame(request, GOOD_PDU, transaction=0x7777) + frame(request, b"\x63\x00")
    ),
    "more than a frame can have": lambda request: frame(request, GOOD_PDU, transaction=0x7777) * 50,
}


class Liar:
    """A TCP server that answers as `answer` says."""

    def __init__(self) -> None:
        self.answer: Answer = honest
        self.answered = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                header = await reader.readexactly(6)
                request = header + await reader.readexactly(int.from_bytes(header[4:6], "big"))
                answer = self.answer(request)
                self.answered += 1
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        writer.close()


@pytest.fixture
async def liar() -> AsyncIterator[Liar]:
    liar = Liar()
    server = await asyncio.start_server(liar.serve, "127.0.0.1", 0)
    liar.port = server.sockets[0].getsockname()[1]
    async with server:
        yield liar


@pytest.mark.parametrize("what", NONSENSE)
async def test_nonsense_is_never_a_good_value(tmp_path: Path, liar: Liar, what: str) -> None:
    liar.answer = NONSENSE[what]
    rig = make_rig(tmp_path, liar.port)
    rig.cursor.read()
    async with rig.running():
        await eventually(lambda: liar.answered >= 3)
        await eventually(lambda: rig.source.errors >= 2)
        assert len(rig.cursor.read()) == 0
        assert rig.source.last_error
        liar.answer = honest
        await rig.until(lambda: rig.value("Speed") == 42)


@pytest.mark.parametrize("code", range(1, 12))
async def test_an_exception_response_marks_the_block(tmp_path: Path, liar: Liar, code: int) -> None:
    expected = BAD_CONFIGURATION_ERROR if code == 2 else BAD_DEVICE_FAILURE
    rig = make_rig(tmp_path, liar.port)
    async with rig.running():
        await rig.until(lambda: rig.value("Speed") == 42)
        liar.answer = lambda request: frame(request, bytes([0x83, code]))
        await rig.until(lambda: rig.status("Speed") == rig.status("Setpoint") == expected)
        before = rig.stamp("Speed")
        await rig.until(lambda: rig.stamp("Speed") > before)
        assert rig.source.connected
        liar.answer = honest
        await rig.until(lambda: rig.status("Speed") == GOOD)


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: request[:-1] + bytes([request[-1] ^ 1]),  # another value
        lambda request: request[:9] + bytes([request[9] ^ 1]) + request[10:],  # another address
        lambda request: request[:-2],
        lambda _: None,
    ],
)
async def test_a_write_whose_answer_is_no_echo_has_failed(tmp_path: Path, liar: Liar, answer: Answer) -> None:
    rig = make_rig(tmp_path, liar.port)
    async with rig.running():
        await rig.until(lambda: rig.value("Speed") == 42)
        liar.answer = lambda request: honest(request) if request[7] == READ_HOLDING else answer(request)
        with pytest.raises(CommandError) as caught:
            await rig.source.put(rig.machine.variables["Setpoint"], 1)
        assert caught.value.status == BAD_NO_COMMUNICATION


async def test_a_refused_emergency_stop_is_tried_again_while_polling_goes_on(tmp_path: Path, liar: Liar) -> None:
    writes: list[bytes] = []

    def busy(request: bytes) -> bytes:
        if request[7] == READ_HOLDING:
            return honest(request)
        writes.append(request[7:])
        return frame(request, bytes([0x85, 6])) if len(writes) < 4 else request

    liar.answer = busy
    rig = make_rig(tmp_path, liar.port)
    async with rig.running():
        await rig.until(lambda: rig.value("Speed") == 42)
        with pytest.raises(CommandError) as caught:
            await rig.source.emergency_stop(rig.machine, True)
        assert caught.value.status == BAD_DEVICE_FAILURE
        await eventually(lambda: len(writes) == 4)
        await rig.until_polled("Speed")
        await rig.until_polled("Speed")
        assert len(writes) == 4, "accepted once, it is not written again"


def test_backoff_doubles_between_its_bounds_with_jitter() -> None:
    bounds = Backoff(minimum=0.5, maximum=30)
    assert [delay(bounds, failures, 0) for failures in (1, 2, 3, 7, 8, 10_000)] == [0.5, 1, 2, 30, 30, 30]
    assert delay(bounds, 3, 0.999) == pytest.approx(1, rel=0.01)


async def test_a_turn_that_is_cancelled_in_the_moment_it_is_given_goes_on() -> None:
    turns = Turns()
    served: list[str] = []

    async def hold(name: str, priority: Priority) -> None:
        async with turns.take(priority):
            served.append(name)
            await asyncio.sleep(0)

    async with turns.take(Priority.POLL):
        tasks = {
            name: asyncio.create_task(hold(name, priority))
            for name, priority in {
                "poll": Priority.POLL,
                "command": Priority.COMMAND,
                "stop": Priority.EMERGENCY,
            }.items()
        }
        await asyncio.sleep(0)
    tasks["stop"].cancel()  # it has just been handed the turn
    await asyncio.wait(tasks.values())
    assert tasks["stop"].cancelled()
    assert served == ["command", "poll"]
