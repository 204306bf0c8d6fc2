"""Request rate as small strategies: whoever wants to send asks the bucket first and is told how long to wait.

Epic publishes no limit (vendors.md §3.6), so the default is no bucket; `read.requests_per_second` sets one.
"""

from __future__ import annotations

from typing import Protocol

from holovitals_pipelines.providers.clock import Clock


class Bucket(Protocol):
    async def acquire(self) -> float:
        """Wait for the right to send one request; returns the seconds waited."""
        ...


class Unlimited:
    async def acquire(self) -> float:
        return 0.0


class TokenBucket:
    """`rate` requests a second, evenly spaced; waiters are served in the order in which they asked."""

    def __init__(self, rate: float, clock: Clock) -> None:
        self._interval = 1.0 / rate
        self._clock = clock
        self._next = clock.monotonic()

    async def acquire(self) -> float:
        now = self._clock.monotonic()
        # The slot is taken before anything is awaited, so two callers can never take the same one.
        slot = max(self._next, now)
        self._next = slot + self._interval
        wait = slot - now
        if wait <= 0:
            return 0.0
        await self._clock.sleep(wait)
        return wait


def bucket_for(requests_per_second: float | None, clock: Clock) -> Bucket:
    if requests_per_second is None:
        return Unlimited()
    return TokenBucket(requests_per_second, clock)
