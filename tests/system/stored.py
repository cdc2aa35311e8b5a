"""What has arrived: the messages of a subscriber that loses nothing, and what VictoriaMetrics exports."""

import functools
import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from address_space.model import Plant
from gateways.mqtt.pubsub_metadata import Topics, writer_name
from gateways.mqtt.pubsub_settings import PubSubSettings
from server.store.ticks import TICKS_PER_SECOND, UNIX_EPOCH_TICKS
from tests.gateways.influx.victoria_rig import Victoria
from tests.gateways.mqtt.mosquitto_rig import Mosquitto
from tests.process_rig import wait_until
from tests.system.samples import TICKS_PER_MS, Samples

_TAIL = 1 << 18  # bytes: several messages of a machine's hundred samples
_TIME = re.compile(rb'"SourceTimestamp":"([^"]+)"')


class Subscriber:
    """mosquitto_sub that writes what comes to a file, with a session that the broker keeps; a context manager.

    Each line is the time of arrival (s since 1970), the topic, the payload.
    """

    def __init__(self, broker: Mosquitto, file: Path, topic: str = "opcua/#") -> None:
        self._file, self._said = file, file.with_suffix(".said")
        kept = ["-q", "1", "-c", "-i", "witness", "-x", "3600", "-d"]
        arguments = [*broker.arguments("reader"), *kept, "-t", topic, "-F", "\t%U %t %p"]
        self._command = ["stdbuf", "-oL", "mosquitto_sub", *arguments]

    def __enter__(self) -> Self:
        with self._file.open("wb") as out:
            self._process = subprocess.Popen(self._command, stdout=out, stderr=subprocess.STDOUT)
        wait_until(lambda: b"SUBACK" in self._file.read_bytes(), "mosquitto_sub has subscribed", 60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(10)

    def newest(self) -> int:
        """Return the newest source timestamp of the last messages that have arrived (ticks), 0 for none."""
        with self._file.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            found = _TIME.findall(file.read())
        return max((_ticks(text.decode()) for text in found), default=0)

    def arrivals(self, plant: Plant) -> tuple[Samples, NDArray[np.int64]]:
        """Return the samples of delta frames in the order of their arrival, and when each arrived (ticks)."""
        topics = Topics(PubSubSettings())
        fields = {
            topics.data(writer_name(plant, machine)): {name: v.id for name, v in machine.variables.items()}
            for machine in plant.objects
        }
        ids: list[int] = []
        times: list[int] = []
        values: list[float] = []
        arrivals: list[int] = []
        for moment, topic, payload in self._lines():
            known = fields.get(topic)
            if known is None:
                continue
            before = len(ids)
            for frame in json.loads(payload)["Messages"]:
                if frame["MessageType"] != "ua-deltaframe":
                    continue  # key frames repeat present values, whatever the outbox holds
                for name, field in frame["Payload"].items():
                    value = field.get("Value")
                    ids.append(known[name])
                    times.append(_ticks(field.get("SourceTimestamp")))
                    values.append(value if isinstance(value, float) else np.nan)
            arrivals += [moment] * (len(ids) - before)
        samples = Samples(np.array(ids, np.int64), np.array(times, np.int64), np.array(values, np.float64))
        return samples, np.array(arrivals, np.int64)

    def _lines(self) -> Iterator[tuple[int, str, bytes]]:
        with self._file.open("rb") as file:
            for line in file:
                if line.startswith(b"\t") and line.endswith(b"\n"):
                    moment, topic, payload = line[1:].split(b" ", 2)
                    seconds, _, fraction = moment.partition(b".")
                    ticks = int(seconds) * TICKS_PER_SECOND + int(fraction[:7].ljust(7, b"0"))
                    yield ticks + UNIX_EPOCH_TICKS, topic.decode(), payload


@functools.lru_cache(100_000)
def _ticks(text: str | None) -> int:
    """Return the ticks of a JSON DateTime, 0 for none; plain ISO 8601, not read by code of the gateway's."""
    if text is None:
        return 0
    head, _, fraction = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(head + "+00:00").timestamp())
    return seconds * TICKS_PER_SECOND + int(fraction[:7].ljust(7, "0") or 0) + UNIX_EPOCH_TICKS


def exported(victoria: Victoria, plant: Plant, metric: str = "opcua_value", last: float | None = None) -> Samples:
    """Return what VictoriaMetrics has of a metric, all of it or the `last` seconds before now; times to 1 ms."""
    start = {} if last is None else {"start": _seconds_ago(last)}
    parts: list[Samples] = []
    for labels, found in victoria.export(metric, **start):
        variable = plant.find(labels["node"])
        assert variable is not None, labels
        columns = np.array(found, np.float64).reshape(-1, 2)
        times = columns[:, 0].astype(np.int64) * TICKS_PER_MS + UNIX_EPOCH_TICKS
        parts.append(Samples(np.full(len(found), variable.id, np.int64), times, columns[:, 1]))
    return Samples.joined(parts)


def _seconds_ago(seconds: float) -> float:
    return datetime.now().timestamp() - seconds
