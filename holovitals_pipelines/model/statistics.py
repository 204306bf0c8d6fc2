"""What requests to a vendor cost, measured by the adapter and kept by the stores."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestStatistics:
    """What one kind of request cost during an adapter's life; durations in milliseconds, waits in seconds."""

    operation: str
    """A template without ids: `GET Observation?patient={id}`, `POST token`, `GET $export-file`."""
    requests: int
    failures: int
    retries: int
    waited_seconds: float
    received_bytes: int
    p50_ms: float
    p95_ms: float
    max_ms: float
