"""A client that is a nuisance to others, as a process of its own: `python -m bench.nuisance PORT KIND PATH...`.

It prints a line of JSON once it is connected, and another when standard input has ended: how much it has sent and
received. `flood`: reads as fast as the server answers, up to 2,000 requests ahead; `slow`: display names, which take
the server's slow path, 200 requests ahead; `deaf`: bulk reads whose answers it never takes.
"""

import argparse
import json
import os
import select
import sys
from collections.abc import Sequence

from asyncua import ua

from bench.processes import CLIENT_CORES
from bench.raw_client import NAMESPACE, Prepared, RawClient

_AHEAD = 4 * 1024 * 1024
"""Bytes of requests that are under way at a time, at most."""
_MOST_AHEAD = {"flood": 2000, "slow": 200, "deaf": 2000}
_BLOCK_BYTES = 256 * 1024
"""How much is made ready at a time."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Be a nuisance until standard input ends or the server hangs up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("kind", choices=("flood", "slow", "deaf"))
    parser.add_argument("paths", nargs="+")
    args = parser.parse_args(arguments)
    os.sched_setaffinity(0, CLIENT_CORES)
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # whose latency is measured has the core first
    client = RawClient(args.port, "/plantree")
    request = _names(client, args.paths) if args.kind == "slow" else client.read_request(args.paths)
    _tell(connected=True)
    ahead = max(1, min(_MOST_AHEAD[args.kind], _AHEAD // _size(request)))
    sent, answered, cut_off = _deafen(client, request) if args.kind == "deaf" else _flood(client, request, ahead)
    _tell(sent=sent, answered=answered, cut_off=cut_off)
    return 0


def _tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


def _names(client: RawClient, paths: Sequence[str]) -> Prepared:
    request = ua.ReadRequest()
    request.Parameters.NodesToRead = [
        ua.ReadValueId(ua.NodeId(path, NAMESPACE), ua.AttributeIds.DisplayName) for path in paths
    ]
    return client.prepare(request)


def _flood(client: RawClient, request: Prepared, ahead: int) -> tuple[int, int, bool]:
    """Keep requests under way; returns how many were sent and answered."""
    network = client._socket  # pyright: ignore[reportPrivateUsage]  # answers are counted, not opened
    network.setblocking(False)
    waiting = memoryview(b"")
    sent = answered = 0
    tail = b""
    block = min(_block(request), max(1, ahead // 2))
    while True:
        if not waiting and sent - answered < ahead:
            waiting = memoryview(b"".join(client.seal(request)[1] for _ in range(block)))
            sent += block
        readable, writable, _ = select.select([network, sys.stdin], [network] if waiting else [], [])
        if sys.stdin in readable:
            return sent, answered, False
        try:
            if network in readable:
                data = network.recv(1 << 20)
                if not data:
                    return sent, answered, True
                answered += (tail + data).count(b"MSGF")
                tail = data[-3:]
            if writable:
                waiting = waiting[network.send(waiting) :]
        except ConnectionError:
            return sent, answered, True


def _block(request: Prepared) -> int:
    return max(1, min(500, _BLOCK_BYTES // _size(request)))


def _size(request: Prepared) -> int:
    return sum(map(len, request.chunks))


def _deafen(client: RawClient, request: Prepared) -> tuple[int, int, bool]:
    """Send as much as is taken, and take nothing; returns bytes sent."""
    network = client._socket  # pyright: ignore[reportPrivateUsage]
    network.setblocking(False)
    waiting = memoryview(b"")
    sent, block = 0, _block(request)
    poll = select.poll()
    poll.register(network, select.POLLOUT | select.POLLERR | select.POLLHUP)
    poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
    while True:
        if not waiting:
            waiting = memoryview(b"".join(client.seal(request)[1] for _ in range(block)))
        ready = dict(poll.poll())
        if sys.stdin.fileno() in ready:
            return sent, 0, False
        if ready.get(network.fileno(), 0) & (select.POLLERR | select.POLLHUP):
            return sent, 0, True
        try:
            taken = network.send(waiting)
        except BlockingIOError:
            continue
        except ConnectionError:
            return sent, 0, True
        waiting, sent = waiting[taken:], sent + taken


if __name__ == "__main__":
    sys.exit(main())
