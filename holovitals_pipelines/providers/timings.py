"""What requests cost, by operation, in memory that does not grow with their number.

Durations go into a histogram whose buckets grow by five per cent, so a percentile is right to five per cent.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from holovitals_pipelines.model.statistics import RequestStatistics

_GROWTH = math.log(1.05)


@dataclass(slots=True)
class _Tally:
    requests: int = 0
    failures: int = 0
    retries: int = 0
    waited_seconds: float = 0.0
    received_bytes: int = 0
    max_ms: float = 0.0
    buckets: Counter[int] = field(default_factory=Counter)

    def percentile(self, share: float) -> float:
        wanted = share * sum(self.buckets.values())
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted:
                return min(math.exp(bucket * _GROWTH), self.max_ms)
        return 0.0


class Timings:
    """Tallies by operation template; templates hold no ids, so there are only as many as kinds of request."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {}

    def _tally(self, operation: str) -> _Tally:
        return self._tallies.setdefault(operation, _Tally())

    def request(self, operation: str, seconds: float, *, failed: bool) -> None:
        tally = self._tally(operation)
        milliseconds = max(seconds * 1000.0, 0.001)
        tally.requests += 1
        tally.failures += failed
        tally.max_ms = max(tally.max_ms, milliseconds)
        tally.buckets[math.ceil(math.log(milliseconds) / _GROWTH)] += 1

    def retry(self, operation: str) -> None:
        self._tally(operation).retries += 1

    def waited(self, operation: str, seconds: float) -> None:
        if seconds:
            self._tally(operation).waited_seconds += seconds

    def received(self, operation: str, count: int) -> None:
        self._tally(operation).received_bytes += count

    def statistics(self) -> Sequence[RequestStatistics]:
        return [
            RequestStatistics(
                operation=operation,
                requests=tally.requests,
                failures=tally.failures,
                retries=tally.retries,
                waited_seconds=round(tally.waited_seconds, 3),
                received_bytes=tally.received_bytes,
                p50_ms=round(tally.percentile(0.50), 3),
                p95_ms=round(tally.percentile(0.95), 3),
                max_ms=round(tally.max_ms, 3),
            )
            for operation, tally in sorted(self._tallies.items())
        ]
