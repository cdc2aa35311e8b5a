"""A plain asyncua server with the same variables, as asyncua's own examples write one."""

import argparse
import asyncio
import logging
import random
import sys
from datetime import UTC, datetime
from pathlib import Path

from asyncua import Server, ua, uamethod

from bench.peers.steering import Steering
from bench.plants import Layout

_YIELD_EVERY = 100


async def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    for name in ("machines", "values", "setpoints"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--pki", type=Path, help="folder with certificate.der and key.der: SignAndEncrypt too")
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{args.port}")
    policies = [ua.SecurityPolicyType.NoSecurity]
    if args.pki:
        await server.set_application_uri("urn:plantree:bench")
        await server.load_certificate(args.pki / "certificate.der")
        await server.load_private_key(args.pki / "key.der")
        policies.append(ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt)
    server.set_security_policy(policies)
    index = await server.register_namespace("urn:plantree:plant")
    variables = await _populate(server, index, Layout(args.machines, args.values, args.setpoints))
    steering = Steering()
    async with server:
        driver = asyncio.create_task(_drive(server, variables, steering))
        await steering.run()
        driver.cancel()


async def _populate(server: Server, index: int, layout: Layout) -> list[ua.NodeId]:
    plant = await server.nodes.objects.add_object(ua.NodeId("Plant", index), ua.QualifiedName("Plant", index))
    values: list[ua.NodeId] = []
    for path in layout.machine_paths():
        name = path.rpartition(".")[2]
        machine = await plant.add_object(ua.NodeId(path, index), ua.QualifiedName(name, index))
        for number in range(1, layout.values + 1):
            node_id = ua.NodeId(f"{path}.Value{number}", index)
            await machine.add_variable(node_id, ua.QualifiedName(f"Value{number}", index), 0.0)
            values.append(node_id)
        setpoint = None
        for number in range(1, layout.setpoints + 1):
            node_id = ua.NodeId(f"{path}.Setpoint{number}", index)
            node = await machine.add_variable(node_id, ua.QualifiedName(f"Setpoint{number}", index), 0.0)
            await node.set_writable()
            setpoint = setpoint or node
        if setpoint is not None:
            method = _method(setpoint)
            name = ua.QualifiedName("Set", index)
            await machine.add_method(ua.NodeId(f"{path}.Set", index), name, method, [ua.VariantType.Double], [])
    return values


def _method(setpoint):  # noqa: ANN001, ANN202  # as asyncua's decorator leaves it
    @uamethod
    async def set_value(_parent: ua.NodeId, value: float) -> None:
        await setpoint.write_value(ua.DataValue(ua.Variant(value, ua.VariantType.Double)))

    return set_value


async def _drive(server: Server, variables: list[ua.NodeId], steering: Steering) -> None:
    loop = asyncio.get_running_loop()
    generator = random.Random(1)  # noqa: S311  # values to look at
    due = loop.time()
    while True:
        now = datetime.now(UTC)
        for place, node_id in enumerate(variables[: steering.changing]):
            variant = ua.Variant(generator.random(), ua.VariantType.Double)
            value = ua.DataValue(variant, SourceTimestamp=now, ServerTimestamp=now)
            await server.write_attribute_value(node_id, value)
            steering.written += 1
            if place % _YIELD_EVERY == _YIELD_EVERY - 1:
                await asyncio.sleep(0)  # else clients would not be served while a round of writes lasts
        due = max(due + 1 / steering.rate, loop.time())
        await asyncio.sleep(due - loop.time())


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
