"""What Prometheus reads: calls and their latencies as they happen, queues and backlogs when it asks.

Law: labels are names of routes, methods, connections, kinds and statuses; never an id, never anything of a record.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from holovitals_pipelines.engine.gauges import Gauge, read_gauges
from holovitals_pipelines.store.database import Database

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
_FRESH_SECONDS = 2.0


class Meters:
    """The calls of one application; `watch` adds what the store tells."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "holovitals_http_requests", "Calls answered.", ("method", "route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "holovitals_http_request_duration_seconds",
            "Time from a call to the end of its answer.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        self._calls.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def watch(self, database: Database) -> None:
        self.registry.register(_StoreCollector(database))

    def text(self) -> bytes:
        return generate_latest(self.registry)


class _StoreCollector(Collector):
    """Counts of the store, read at most every other second however many ask."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._gauges: tuple[Gauge, ...] = ()

    def describe(self) -> Iterable[Metric]:
        return ()  # nothing is read to be registered

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            if time.monotonic() - self._read_at > _FRESH_SECONDS:
                self._gauges = read_gauges(self._database)
                self._read_at = time.monotonic()
            gauges = self._gauges
        for gauge in gauges:
            family = GaugeMetricFamily(f"holovitals_{gauge.name}", gauge.about, labels=gauge.labels)
            for values, number in gauge.samples:
                family.add_metric(values, number)
            yield family
