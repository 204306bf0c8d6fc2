"""How often one caller may call: a bucket of tokens a caller, refilled by the clock.

Law: one caller's haste never slows down another.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from math import ceil

from holovitals_pipelines.api.problems import ApiError

_FORGOTTEN_FROM = 10_000


class Buckets:
    """A bucket a caller; `rate` calls a second, `burst` at once."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._levels: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, caller: str) -> None:
        """Count one call. Raises ApiError (`api.busy`, 429 with Retry-After) when the bucket is empty."""
        now = self._clock()
        with self._lock:
            level, since = self._levels.get(caller, (float(self._burst), now))
            level = min(float(self._burst), level + (now - since) * self._rate)
            taken = level >= 1
            self._levels[caller] = (level - 1 if taken else level, now)
            if len(self._levels) > _FORGOTTEN_FROM:
                self._forget_full_ones(now)
        if not taken:
            wait = ceil((1 - level) / self._rate)
            raise ApiError(
                f"more than {self._rate:g} calls a second, beyond a burst of {self._burst}",
                code="api.busy",
                place="this token" if caller.startswith("token:") else "this address",
                remedy=f"wait {wait} s, as Retry-After says; the limit is HOLOVITALS_API_REQUESTS_PER_SECOND",
                headers={"Retry-After": str(wait)},
            )

    def _forget_full_ones(self, now: float) -> None:
        full = [
            name for name, (level, since) in self._levels.items() if level + (now - since) * self._rate >= self._burst
        ]
        for name in full:
            del self._levels[name]
