"""Time and chance as parameters: nothing under `providers` calls `time`, `datetime.now` or `random` on its own.

A test hands in a clock whose sleeps return at once, so that retries, polls and token lifetimes are tested without
waiting for them.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """`monotonic` in seconds, `sleep` in seconds, `now` an aware UTC datetime, `chance` uniform in [0, 1)."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    now: Callable[[], datetime] = _utc_now
    chance: Callable[[], float] = random.random


SYSTEM_CLOCK = Clock()
