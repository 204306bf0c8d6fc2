"""Request rate as small strategies: whoever wants to send asks the bucket first and is told how long to wait.

Law: a request counts from before it is sent until its answer is here, because only the vendor knows when in between it
was counted; so no latency and no difference of clocks brings more requests into the vendor's window than it allows.

Which vendor has which limit is in `registry.py`; `read.requests_per_second` sets another one (vendors.md §13.7).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Protocol

from holovitals_pipelines.providers.clock import Clock

MINUTE = 60.0
DRIFT_SECONDS = 1.0
"""Two clocks need not run equally fast: a slot is free again a little later than a minute by ours."""
_RESOLUTION_SECONDS = 1.0
"""A Date header tells whole seconds."""
_UNKNOWN_SKEW_SECONDS = 5.0
"""How far the vendor's clock is taken to be from ours where an answer does not tell."""
_LOOK_AGAIN_SECONDS = 0.05


class Bucket(Protocol):
    async def acquire(self) -> float:
        """Wait for the right to send one request; returns the seconds waited."""
        ...

    def release(self) -> None:
        """A request that had the right to be sent has been answered, or never will be."""
        ...

    def throttled(self, served_at: datetime | None) -> float | None:
        """The vendor refused a request by 429 and did not say for how long; `served_at` is its clock.

        Returns the seconds after which it listens again, None where the bucket does not know.
        """
        ...

    def close(self) -> None:
        """Nobody asks any more: whoever held the bucket is done."""
        ...


def silence_after(served_at: datetime | None, clock: Clock) -> float:
    """For how many seconds a vendor refuses everybody that counts by the minutes of its clock, `served_at`."""
    if served_at is not None:
        return MINUTE - served_at.timestamp() % MINUTE + _RESOLUTION_SECONDS
    return MINUTE - clock.now().timestamp() % MINUTE + _RESOLUTION_SECONDS + _UNKNOWN_SKEW_SECONDS


class Unlimited:
    async def acquire(self) -> float:
        return 0.0

    def release(self) -> None:
        return None

    def throttled(self, served_at: datetime | None) -> float | None:
        return None

    def close(self) -> None:
        return None


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

    def release(self) -> None:
        return None

    def throttled(self, served_at: datetime | None) -> float | None:
        return None

    def close(self) -> None:
        return None


class MinuteBucket:
    """`limit` requests in any minute, wherever the vendor's minutes begin; for several event loops at once.

    A vendor that counts by its wall clock (eClinicalWorks) may begin its minute at any moment of ours. Counting the
    requests of the last minute instead of those of "this" minute needs no knowledge of its clock, and costs no more
    than the latency (docs/connections.md has the figures).
    """

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = Lock()
        self._under_way = 0
        self._answered: deque[float] = deque()
        self._silent_until = -math.inf

    async def acquire(self) -> float:
        started = self._clock.monotonic()
        while (wait := self._take()) > 0:
            await self._clock.sleep(wait)
        return self._clock.monotonic() - started

    def release(self) -> None:
        with self._lock:
            self._under_way -= 1
            self._answered.append(self._clock.monotonic())

    def throttled(self, served_at: datetime | None) -> float | None:
        wait = silence_after(served_at, self._clock)
        with self._lock:
            # The vendor refuses everybody until then, so nobody asks.
            self._silent_until = max(self._silent_until, self._clock.monotonic() + wait)
        return wait

    def close(self) -> None:
        """Nothing: others may hold it, and what was sent counts on."""

    @property
    def idle(self) -> bool:
        """Whether a new bucket would allow just as much."""
        with self._lock:
            self._forget(now := self._clock.monotonic())
            return not self._under_way and not self._answered and self._silent_until <= now

    def _take(self) -> float:
        """0.0 with a slot taken, else the seconds after which to ask again."""
        with self._lock:
            self._forget(now := self._clock.monotonic())
            if now < self._silent_until:
                return self._silent_until - now
            if self._under_way + len(self._answered) < self._limit:
                self._under_way += 1
                return 0.0
            return self._frees(self._answered[0]) - now if self._answered else _LOOK_AGAIN_SECONDS

    def _forget(self, now: float) -> None:
        while self._answered and self._frees(self._answered[0]) <= now:
            self._answered.popleft()

    def _frees(self, answered: float) -> float:
        return answered + MINUTE + DRIFT_SECONDS


class AllOf:
    """Several limits at once."""

    def __init__(self, buckets: Sequence[Bucket]) -> None:
        self._buckets = buckets

    async def acquire(self) -> float:
        return sum([await bucket.acquire() for bucket in self._buckets])

    def release(self) -> None:
        for bucket in self._buckets:
            bucket.release()

    def throttled(self, served_at: datetime | None) -> float | None:
        told = [bucket.throttled(served_at) for bucket in self._buckets]
        return max((wait for wait in told if wait is not None), default=None)

    def close(self) -> None:
        for bucket in self._buckets:
            bucket.close()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may ask of one base URL; None: no such limit is known."""

    per_second: float | None = None
    per_minute: int | None = None


_minutes: dict[tuple[str, Clock], MinuteBucket] = {}
_minutes_lock = Lock()


def _minute_bucket(base_url: str, limit: int, clock: Clock) -> MinuteBucket:
    """The base URL's one bucket: jobs of one process that run at once, or one after the other, share the minute."""
    key = (base_url.rstrip("/").lower(), clock)
    with _minutes_lock:
        for other in [known for known, bucket in _minutes.items() if known != key and bucket.idle]:
            del _minutes[other]
        return _minutes.setdefault(key, MinuteBucket(limit, clock))


def bucket_for(limits: Limits, base_url: str, clock: Clock) -> Bucket:
    buckets: list[Bucket] = []
    if limits.per_second is not None:
        buckets.append(TokenBucket(limits.per_second, clock))
    if limits.per_minute is not None:
        buckets.append(_minute_bucket(base_url, limits.per_minute, clock))
    if not buckets:
        return Unlimited()
    return buckets[0] if len(buckets) == 1 else AllOf(buckets)
