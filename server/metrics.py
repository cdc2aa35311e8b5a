"""Prometheus metrics of one server: a registry of its own, its values asked for when somebody scrapes."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from server import logs

log = logs.get(__name__)

# A number; or, of a metric with labels, numbers by their label values (one label: the bare string will do).
Sample = float | Mapping[str, float] | Mapping[tuple[str, ...], float]

_NAME = re.compile(r"plantree(_[a-z0-9]+)+")


class Metrics:
    """Metrics computed by callables at each scrape, on the event loop's thread; and those of the process.

    `registry` takes prometheus_client's own metrics too, for what must be observed as it happens (histograms).
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._errors: dict[str, int] = {}
        self.counter(
            "plantree_metric_errors_total",
            "Scrapes at which a metric's value could not be computed.",
            lambda: dict(self._errors),
            labels=("metric",),
        )

    def gauge(self, name: str, help: str, fn: Callable[[], Sample], labels: Sequence[str] = ()) -> None:  # noqa: A002
        """Add a value that goes up and down. Raises ValueError when the name is taken or not plantree_*."""
        self._add(GaugeMetricFamily, name, help, fn, labels)

    def counter(self, name: str, help: str, fn: Callable[[], Sample], labels: Sequence[str] = ()) -> None:  # noqa: A002
        """Add a count that only grows; its name ends in _total. Raises ValueError like gauge()."""
        if not name.endswith("_total"):
            raise ValueError(f"a counter's name ends in _total: {name}")
        self._add(CounterMetricFamily, name, help, fn, labels)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return the exposition and its content type, in the format that an Accept header prefers."""
        encode, content_type = choose_encoder(accept)
        return encode(cast("Collector", self.registry)), content_type

    def _add(
        self,
        family: type[GaugeMetricFamily] | type[CounterMetricFamily],
        name: str,
        text: str,
        fn: Callable[[], Sample],
        labels: Sequence[str],
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"a metric's name is plantree_ and lower case words: {name}")
        self.registry.register(_Computed(family, name, text, fn, tuple(labels), self._errors))


class _Computed(Collector):
    """One metric; a callable that raises costs its own samples only, and is counted and logged."""

    def __init__(
        self,
        family: type[GaugeMetricFamily] | type[CounterMetricFamily],
        name: str,
        text: str,
        fn: Callable[[], Sample],
        labels: tuple[str, ...],
        errors: dict[str, int],
    ) -> None:
        self._make: Callable[[], Any] = lambda: family(name, text, labels=labels)
        self._name = name
        self._fn = fn
        self._labels = labels
        self._errors = errors

    def describe(self) -> Iterable[Metric]:
        """Name the metric without computing it, so that a taken name is refused at once."""
        return [self._make()]

    def collect(self) -> Iterable[Metric]:
        """Compute it."""
        metric = self._make()
        try:
            for values, value in self._rows():
                metric.add_metric(values, value)
        except Exception:
            self._errors[self._name] = self._errors.get(self._name, 0) + 1
            log.exception("metric could not be computed", metric=self._name)
            return [self._make()]
        return [metric]

    def _rows(self) -> Iterable[tuple[tuple[str, ...], float]]:
        sample = self._fn()
        if not isinstance(sample, Mapping):
            sample = {(): sample}
        for key, value in sample.items():
            values = (key,) if isinstance(key, str) else key
            if len(values) != len(self._labels):  # add_metric would drop what is too much and leave out the missing
                raise ValueError(f"{len(values)} label values for the labels {self._labels}")
            yield values, float(value)
