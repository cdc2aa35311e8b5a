"""A plain o6 server (Python over open62541) with the same variables, as its documentation writes one.

It runs in an environment of its own (bench.peers.environment), so nothing of ours but the steering is imported. o6 ends
its process ten minutes after the import without a licence file: every measurement starts a fresh one.
"""

import argparse
import asyncio
import random
import sys
from datetime import UTC, datetime
from pathlib import Path

import o6
from o6.ns import ns0

from bench.peers.steering import Steering

o6.ns.namespace("plant", uri="urn:plantree:plant")

_SLICE = 500
"""Variables written before clients have their turn."""


async def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("port", "machines", "values", "setpoints"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--pki", type=Path, help="folder with certificate.der and key.der: SignAndEncrypt too")
    args = parser.parse_args()
    secured = {}
    if args.pki:
        secured = {"certificate": args.pki / "certificate.der", "privateKey": args.pki / "key.der"}
        secured |= {"acceptAllCertificates": True, "applicationUri": "urn:plantree:bench"}
    server = o6.Server(port=args.port, **secured)
    server.ns.append(sys.modules[__name__])
    values = await _populate(server, args.machines, args.values, args.setpoints)
    steering = Steering()
    server.start()
    await server.waitReady()
    driver = asyncio.create_task(_drive(server, values, steering))
    await steering.run()
    driver.cancel()
    stopping = server.stop()
    if stopping is not None:
        await stopping


async def _populate(server: o6.Server, machines: int, values: int, setpoints: int) -> list[o6.NodeId]:
    plant = await server.addObject("Plant", server.objectsNode, nodeId=_id("Plant"), ns=2)
    measured: list[o6.NodeId] = []
    argument = ns0.datatypes.Argument()
    argument.name, argument.dataType, argument.valueRank = "Value", o6.NodeId("i=11"), -1
    for number in range(1, machines + 1):
        path = f"Plant.Machine{number}"
        machine = await server.addObject(f"Machine{number}", plant, nodeId=_id(path), ns=2)
        for place in range(1, values + 1):
            node = _id(f"{path}.Value{place}")
            await server.addVariable(f"Value{place}", machine, o6.Double(0.0), nodeId=node, writable=False, ns=2)
            measured.append(node)
        first = None
        for place in range(1, setpoints + 1):
            node = _id(f"{path}.Setpoint{place}")
            await server.addVariable(f"Setpoint{place}", machine, o6.Double(0.0), nodeId=node, ns=2)
            first = first or node
        if first is not None:
            callback = _method(server, first)
            await server.addMethod("Set", machine, callback, inputArgs=[argument], nodeId=_id(f"{path}.Set"), ns=2)
    return measured


def _id(path: str) -> o6.NodeId:
    return o6.NodeId(f"ns=2;s={path}")


def _method(server: o6.Server, setpoint: o6.NodeId):  # noqa: ANN202  # as o6 wants it
    async def set_value(_node: object, value: float) -> tuple[o6.StatusCode]:
        return (await server.write(setpoint, o6.Double(value)),)

    return set_value


async def _drive(server: o6.Server, variables: list[o6.NodeId], steering: Steering) -> None:
    loop = asyncio.get_running_loop()
    generator = random.Random(1)  # noqa: S311  # values to look at
    due = loop.time()
    while True:
        for start in range(0, steering.changing, _SLICE):
            part = variables[start : min(start + _SLICE, steering.changing)]
            now = datetime.now(UTC)
            wanted = [o6.DataValue(o6.Double(generator.random()), sourceTimestamp=now) for _ in part]
            await server.write(part, wanted)
            steering.written += len(part)
            await asyncio.sleep(0)  # else clients would not be served while a round of writes lasts
        due = max(due + 1 / steering.rate, loop.time())
        await asyncio.sleep(due - loop.time())


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
