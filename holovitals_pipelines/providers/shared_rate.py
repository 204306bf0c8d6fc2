"""A vendor's limit that several processes share: each takes calls in small lots from an allowance that all of them see.

Law: what was taken counts as sent until it was given back with the moment of its last answer, or until no call of it
can be on its way any more; so a worker that dies with calls in its hand costs time, and never exceeds the limit.
"""

from __future__ import annotations

import asyncio
import math
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Protocol

from holovitals_pipelines.providers.clock import Clock
from holovitals_pipelines.providers.rate import DRIFT_SECONDS, MINUTE, AllOf, Bucket, Limits, Unlimited, silence_after

_AT_ONCE = 5
"""Lots, of one call each: so many are one transaction, and a worker that dies keeps so many from the others a while."""
_USED_WITHIN_SECONDS = 10.0
"""After that a call is given back unused."""
_ANSWERED_WITHIN_SECONDS = 180.0
"""A call that is older has arrived or never will: three times the usual time-out."""
_LOOK_AGAIN_SECONDS = 1.0
_TURN_SECONDS = 0.5
"""Of a limit by the second, the time that is taken at once."""


class Allowance(Protocol):
    """What is left of vendors' limits, where every process sees it. Its methods return soon, from any thread.

    `key` names whom the vendor counts: a practice, an app. Moments are those of `Clock.now`: the clocks of machines
    that share a limit agree to a second."""

    def take(
        self,
        key: str,
        *,
        lots: int,
        most: int,
        holder: str,
        at: datetime,
        until: datetime,
        returned: Mapping[int, datetime],
    ) -> Sequence[int]:
        """The numbers of up to `most` lots that are free, of so many, taken until then. First gives back `returned`, as
        `give_back`."""
        ...

    def give_back(self, key: str, *, holder: str, returned: Mapping[int, datetime]) -> None:
        """Lots of this holder, and when each is free again."""
        ...

    def silence(self, key: str, *, lots: int, until: datetime) -> None:
        """None of so many lots is free before then."""
        ...

    def take_turn(self, key: str, *, at: datetime, seconds: float) -> datetime:
        """When a stretch of so many seconds begins that is nobody else's."""
        ...


@dataclass(slots=True)
class _Lot:
    number: int
    left: int
    until: float
    """By our own clock: no call of it is begun later."""
    under_way: int = 0
    answered: datetime | None = None

    def free_at(self, now: datetime) -> datetime:
        return now if self.answered is None else self.answered + timedelta(seconds=MINUTE + DRIFT_SECONDS)


class SharedMinuteBucket:
    """`limit` requests in any minute, of all processes together; see `rate.MinuteBucket` for what counts how long."""

    def __init__(self, key: str, limit: int, allowance: Allowance, clock: Clock) -> None:
        self._key = key
        self._lots = limit
        self._allowance = allowance
        self._clock = clock
        self._holder = str(uuid.uuid4())
        self._lock = Lock()
        self._open: deque[_Lot] = deque()
        self._asking = False
        self._silent_until = -math.inf

    async def acquire(self) -> float:
        started = self._clock.monotonic()
        while not self._begun():
            await self._clock.sleep(await self._more())
        return self._clock.monotonic() - started

    def release(self) -> None:
        # Calls are alike: that the oldest lot's is answered is as true as that another one's is.
        with self._lock:
            lot = next(lot for lot in self._open if lot.under_way)
            lot.under_way -= 1
            lot.answered = self._clock.now()

    def throttled(self, served_at: datetime | None) -> float | None:
        wait = silence_after(served_at, self._clock)
        with self._lock:
            self._silent_until = max(self._silent_until, self._clock.monotonic() + wait)
        self._allowance.silence(self._key, lots=self._lots, until=self._clock.now() + timedelta(seconds=wait))
        return wait

    def close(self) -> None:
        """What was taken and not used is given back."""
        with self._lock:
            for lot in self._open:
                lot.left = 0
            spent = self._spent()
        if spent:
            self._allowance.give_back(self._key, holder=self._holder, returned=spent)

    def _begun(self) -> bool:
        """Whether a call could be begun with what is in our hand."""
        now = self._clock.monotonic()
        with self._lock:
            for lot in self._open:
                lot.left = lot.left if now < lot.until else 0
                if lot.left and self._silent_until <= now:
                    lot.left -= 1
                    lot.under_way += 1
                    return True
        return False

    async def _more(self) -> float:
        """Ask for a lot, one of us at a time; returns the seconds after which to look again."""
        with self._lock:
            if (silent := self._silent_until - self._clock.monotonic()) > 0:
                return silent
            if self._asking:
                return _LOOK_AGAIN_SECONDS / 20
            self._asking = True
        try:
            return 0.0 if await asyncio.to_thread(self._asked) else _LOOK_AGAIN_SECONDS
        finally:
            self._asking = False

    def _asked(self) -> bool:
        begun, at = self._clock.monotonic(), self._clock.now()
        longest = _USED_WITHIN_SECONDS + _ANSWERED_WITHIN_SECONDS + MINUTE + DRIFT_SECONDS
        with self._lock:
            spent = self._spent()
        numbers = self._allowance.take(
            self._key,
            lots=self._lots,
            most=_AT_ONCE,
            holder=self._holder,
            at=at,
            until=at + timedelta(seconds=longest),
            returned=spent,
        )
        with self._lock:
            self._open += [_Lot(number, 1, begun + _USED_WITHIN_SECONDS) for number in numbers]
        return bool(numbers)

    def _spent(self) -> dict[int, datetime]:
        """Take out the lots of which nothing is left and nothing under way, and say when each is free again."""
        now = self._clock.now()
        spent = {lot.number: lot.free_at(now) for lot in self._open if not lot.left and not lot.under_way}
        self._open = deque(lot for lot in self._open if lot.number not in spent)
        return spent


class SharedTokenBucket:
    """`rate` requests a second of all processes together, evenly spaced; each process takes stretches of time."""

    def __init__(self, key: str, rate: float, allowance: Allowance, clock: Clock) -> None:
        self._key = key
        self._interval = timedelta(seconds=1.0 / rate)
        self._calls = max(1, round(rate * _TURN_SECONDS))
        self._allowance = allowance
        self._clock = clock
        self._next = clock.now()
        self._left = 0
        self._turn = asyncio.Lock()

    async def acquire(self) -> float:
        async with self._turn:
            slot = await self._slot()
        wait = (slot - self._clock.now()).total_seconds()
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

    async def _slot(self) -> datetime:
        """When the next call may be sent; what was taken and has gone by is lost."""
        now = self._clock.now()
        while self._left and self._next + self._interval < now:
            self._step()
        if not self._left:
            seconds = self._calls * self._interval.total_seconds()
            self._next = await asyncio.to_thread(self._allowance.take_turn, self._key, at=now, seconds=seconds)
            self._left = self._calls
        slot = self._next
        self._step()
        return slot

    def _step(self) -> None:
        self._next += self._interval
        self._left -= 1


def shared_bucket_for(limits: Limits, key: str, allowance: Allowance, clock: Clock) -> Bucket:
    """`key` is who the vendor counts."""
    buckets: list[Bucket] = []
    if limits.per_second is not None:
        buckets.append(SharedTokenBucket(key, limits.per_second, allowance, clock))
    if limits.per_minute is not None:
        buckets.append(SharedMinuteBucket(key, limits.per_minute, allowance, clock))
    if not buckets:
        return Unlimited()
    return buckets[0] if len(buckets) == 1 else AllOf(buckets)
