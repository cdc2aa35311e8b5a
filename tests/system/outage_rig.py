"""A plant of 1,000 Doubles at 10 Hz, with a broker, a time-series database, and an observer that knows the truth."""

import contextlib
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from address_space import Plant, load_plant
from address_space.diagnostics import OBJECT
from bench import wire
from bench.raw_client import RawClient
from server.store import now_ticks
from server.store.ticks import TICKS_PER_SECOND
from tests.gateways.influx.victoria_rig import Victoria
from tests.gateways.mqtt.mosquitto_rig import Mosquitto
from tests.process_rig import PlantreeProcess, wait_until
from tests.system.cutting_proxy import CuttingProxy
from tests.system.observer import Observer
from tests.system.samples import TICKS_PER_MS, TICKS_PER_US, Counts, Samples, compare
from tests.system.stored import Subscriber, exported

GATEWAYS = ("mqtt", "influx")
MACHINES, VALUES = 10, 100
PERIOD_S = 0.1
ROWS = 1800
LONG_S = 120.0
"""What nothing takes on a machine that works: waiting so long is a failure, whatever else runs there."""
SETTLED_S = 1.0
"""What a gateway may be behind, at most, when it counts as having delivered all that is older than twice that."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A gateway's figures as /metrics shows them."""

    connected: bool
    lag: float
    queue_depth: int
    delivered: int
    dropped: int


def write_plant(folder: Path) -> Path:
    """Write the plant file, and beside it the recording that feeds it: random numbers, each of them once a column."""
    random = np.random.default_rng(1)
    columns: dict[str, str] = {}
    table: dict[str, pa.Array] = {}
    for machine in range(1, MACHINES + 1):
        for number in range(1, VALUES + 1):
            column = f"M{machine}V{number}"
            columns[column] = f"Plant.Machine{machine}.Value{number}"
            # As many digits as a time-series database keeps.
            table[column] = pa.array(random.choice(1_000_000, ROWS, replace=False) / 1000)
    pq.write_table(pa.table(table), folder / "recording.parquet")
    values = {f"Value{n}": {"type": "Double", "description": f"Value {n}"} for n in range(1, VALUES + 1)}
    source = {
        "kind": "replay", "file": "recording.parquet", "time": {"step": PERIOD_S}, "timestamps": "played",
        "loop": True, "columns": columns,
    }  # fmt: skip
    document = {
        "plant": {"name": "Plant", "namespace": "urn:plantree:plant", "type": "PlantType"},
        "types": {
            "PlantType": {"description": "A plant"},
            "MachineType": {"description": "A machine", "variables": values},
        },
        "sources": {"recording": source},
        "objects": {f"Machine[1..{MACHINES}]": {"type": "MachineType", "source": "recording"}},
    }
    file = folder / "plant.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return file


class Rig:
    """The server with its peers, all running, and delivering; a context manager that ends them all.

    `env` adds settings, `data` is another data directory than the folder's own, and with `proxied` the gateways reach
    their peers through `proxies`, one each.
    """

    def __init__(
        self, folder: Path, env: Mapping[str, str] | None = None, *, data: Path | None = None, proxied: bool = False
    ) -> None:
        self.folder = folder
        self.env = dict(env or {})
        self.broker = Mosquitto(folder / "broker")
        self.victoria = Victoria(folder / "victoria")
        ports = {"mqtt": self.broker.port, "influx": self.victoria.port} if proxied else {}
        self.proxies = {gateway: CuttingProxy(port) for gateway, port in ports.items()}
        self.plant_file = write_plant(folder)
        self._data = data
        self.observers: list[Observer] = []
        self._stack = contextlib.ExitStack()
        self.began = 0
        """From here on (ticks) each sample is both seen by the observer and the gateways' to deliver."""

    @cached_property
    def plant(self) -> Plant:
        """The model."""
        return load_plant(self.plant_file)

    @cached_property
    def measured(self) -> np.ndarray:
        """Ids of the variables that the recording feeds."""
        ids = [variable.id for variable in self.plant.variables if variable.path.startswith("Plant.Machine")]
        assert len(ids) == MACHINES * VALUES
        return np.array(ids, np.int64)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.broker)
            stack.enter_context(self.victoria)
            for proxy in self.proxies.values():
                stack.enter_context(proxy)
            self.subscriber = stack.enter_context(Subscriber(self.broker, self.folder / "seen"))
            self.server = PlantreeProcess(self.folder, self._environment(), self.plant_file)
            if self._data is not None:
                self.server.env["PLANTREE_DATA_DIR"] = str(self._data)
            stack.callback(self.server.end)
            self.server.start()
            self._stack = stack.pop_all()
        try:
            self.observe()
            self.settle()
        except BaseException:
            self._stack.close()
            raise
        self.began = now_ticks()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _environment(self) -> dict[str, str]:
        urls = {"mqtt": self.broker.url(), "influx": self.victoria.url}
        peers = {"mqtt": self.broker, "influx": self.victoria}
        for name, proxy in self.proxies.items():
            urls[name] = urls[name].replace(f":{peers[name].port}", f":{proxy.port}")
        return {
            "PLANTREE_OPCUA__ALLOW_NONE": "true",
            "PLANTREE_MQTT__ENABLED": "true",
            "PLANTREE_MQTT__URL": urls["mqtt"],
            "PLANTREE_MQTT__CA": str(self.broker.ca),
            # One message carries a machine's hundred samples, each with its own time, at QoS 1.
            "PLANTREE_MQTT__LAYOUTS": "pubsub",
            "PLANTREE_MQTT__COMMANDS__ENABLED": "false",
            "PLANTREE_INFLUX__ENABLED": "true",
            "PLANTREE_INFLUX__URL": urls["influx"],
            "PLANTREE_INFLUX__HEARTBEAT": "0",  # repeats are no samples
            **self.env,
        }

    def stop_peers(self) -> None:
        """Take broker and database away."""
        self.broker.stop()
        self.victoria.stop()

    def start_peers(self) -> None:
        """Bring them back."""
        self.broker.start()
        self.victoria.start()

    def observe(self) -> Observer:
        """Begin to see every change."""
        observer = Observer(self.server.port, self.plant)
        self._stack.enter_context(observer)
        self.observers.append(observer)
        return observer

    def delivery(self, gateway: str) -> Delivery:
        """Return a gateway's figures."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.server.http_port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        names = ("connected", "lag_seconds", "queue_depth", "delivered_total", "dropped_total")
        figures: list[float] = []
        for name in names:
            begin = f'plantree_gateway_{name}{{gateway="{gateway}"}} '
            figures += [float(line.removeprefix(begin)) for line in text.splitlines() if line.startswith(begin)]
        connected, lag, *counts = figures
        return Delivery(bool(connected), lag, *(int(count) for count in counts))

    def has_settled(self, gateway: str) -> bool:
        """Whether a gateway is connected and nothing waits but what has just come."""
        now = self.delivery(gateway)
        just_come = SETTLED_S / PERIOD_S * MACHINES * VALUES
        return now.connected and now.lag < SETTLED_S and now.queue_depth < just_come and now.delivered > 0

    def settle(self) -> None:
        """Wait until both gateways have delivered all but the last second."""
        for gateway in GATEWAYS:
            wait_until(lambda name=gateway: self.has_settled(name), f"{gateway} has delivered", LONG_S)

    def let_pass(self, seconds: float) -> None:
        """Wait until the plant has moved on by so many seconds, as the observer sees it."""
        until = now_ticks() + int(seconds * TICKS_PER_SECOND)
        wait_until(lambda: self.observers[-1].latest() > until, f"{seconds:g} s have passed", seconds + LONG_S)

    def finish(self) -> int:
        """Wait until all that is sent so far has been seen and delivered; returns the moment (ticks) it is so for."""
        self.settle()  # what is dropped is older than `until`, then
        until = now_ticks()
        self.let_pass(2 * SETTLED_S)
        self.settle()
        settled = now_ticks()
        # Messages come to a subscriber in order: with a newer one all that the broker has confirmed is there.
        wait_until(lambda: self.subscriber.newest() > settled, "the subscriber has got it all", LONG_S)
        return until

    def sent(self, until: int) -> Samples:
        """Return what the observers saw, up to a moment in ticks."""
        return Samples.joined([observer.samples() for observer in self.observers]).within(self.began, until)

    def count(self, sent: Samples, until: int) -> dict[str, Counts]:
        """Compare with what arrived: at the subscriber to the microsecond, in VictoriaMetrics to the millisecond."""
        arrived, _ = self.subscriber.arrivals(self.plant)
        # Every row has a status there, a String too; its values are those of what is measured.
        everything = exported(self.victoria, self.plant, "opcua_status").within(self.began, until)
        values = exported(self.victoria, self.plant, "opcua_value").within(self.began, until).of(self.measured)
        values_there = compare(sent.of(self.measured), values, TICKS_PER_MS)
        found = compare(sent, replace(everything, values=np.full(len(everything), np.nan)), TICKS_PER_MS)
        return {
            "mqtt": compare(sent, arrived.within(self.began, until), TICKS_PER_US),
            "influx": replace(found, wrong=values_there.wrong),
        }

    def show(self, measured: Callable[[str], None], test: str, counts: Mapping[str, Counts]) -> None:
        """Note a line for each gateway."""
        for gateway, found in counts.items():
            measured(f"{test}, {gateway}: {found}, dropped {self.dropped(gateway):,}")

    def dropped(self, gateway: str) -> int:
        """Return Dropped of a gateway as an OPC UA client reads it, once /metrics says the same."""

        def look() -> int:
            return int(self._read(f"Plant.{OBJECT}.{gateway}.Dropped"))

        wait_until(lambda: look() == self.delivery(gateway).dropped, "the tree and /metrics agree", LONG_S)
        return look()

    def alarmed(self, gateway: str) -> bool:
        """Return whether the condition is active that tells of samples given up."""
        return bool(self._read(f"Plant.{OBJECT}.{gateway}.SamplesDropped.ActiveState.Id"))

    def _read(self, path: str) -> Any:
        with RawClient(self.server.port, "/plantree") as client:
            body = client.ask(client.read_request([path]))
            values = wire.data_values(body, wire.check_header(body, wire.READ_RESPONSE) + 4, 1, handles=False)
            return values[0].raw[0]
