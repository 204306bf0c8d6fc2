"""How far a vendor's clock is from ours, learnt from the Date of its answers (sync-protocol.md §2.6).

Law: only what an answer proves is counted. A Date tells the whole second only and was written at some moment of the
request, so of the distance from the request's midpoint the half second and half the round trip are taken off.
"""

from __future__ import annotations

import math
from collections import deque
from datetime import datetime

_WINDOW = 1000
"""Answers remembered: a clock that was set right is believed again after so many."""
_RESOLUTION_SECONDS = 1.0


class ClockSkew:
    """The distances of the last answers, in seconds."""

    def __init__(self) -> None:
        self._distances: deque[float] = deque(maxlen=_WINDOW)

    def observe(self, date: datetime, *, sent_at: datetime, received_at: datetime) -> None:
        """`date` is the answer's Date header; the others are our clock before and after the request."""
        round_trip = max((received_at - sent_at).total_seconds(), 0.0)
        theirs = _RESOLUTION_SECONDS / 2 + (date - sent_at).total_seconds()
        distance = abs(theirs - round_trip / 2)
        self._distances.append(max(distance - _RESOLUTION_SECONDS / 2 - round_trip / 2, 0.0))

    def p99_seconds(self) -> float:
        """The 99th percentile of the distances, 0.0 before the first."""
        if not self._distances:
            return 0.0
        ordered = sorted(self._distances)
        return ordered[math.ceil(0.99 * len(ordered)) - 1]
