"""The dashboard's newest answers, kept for a moment.

Law: whoever asks within a moment of somebody else gets the same answer, so that many open pages cost as much as one.
"""

from __future__ import annotations

from hashlib import sha256
from threading import Lock
from time import monotonic
from typing import NamedTuple, cast

from holovitals_pipelines.api.shapes.overview import Dashboard
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.overview import overview

_MOMENT = 2.0


class Answer(NamedTuple):
    tag: str
    body: bytes
    made_at: float


class Recent:
    """One answer for each number of days, made anew when it is older than `seconds`."""

    def __init__(self, seconds: float = _MOMENT) -> None:
        self._seconds = seconds
        self._kept: dict[int, Answer] = {}
        self._lock = Lock()

    def answer(self, home: Home, days: int) -> Answer:
        """While somebody makes a new one, others get the one before it; only the very first is waited for."""
        kept = self._kept.get(days)
        if kept is not None and self._is_recent(kept):
            return kept
        if not self._lock.acquire(blocking=kept is None):
            return cast(Answer, kept)
        try:
            kept = self._kept.get(days)  # somebody may have made it meanwhile
            if kept is None or not self._is_recent(kept):
                body = Dashboard.of(overview(home, days)).model_dump_json().encode()
                kept = self._kept[days] = Answer(sha256(body).hexdigest()[:16], body, monotonic())
            return kept
        finally:
            self._lock.release()

    def _is_recent(self, answer: Answer) -> bool:
        return monotonic() - answer.made_at <= self._seconds
