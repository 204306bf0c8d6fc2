"""The sandbox's own clock: every timestamp, expiry and window goes by it, so that tests move time and never wait."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime


class Clock:
    """Real time plus an offset, or a standing time once `set_to` was called with `frozen`."""

    def __init__(self) -> None:
        self._offset_ms = 0
        self._frozen_ms: int | None = None

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self._frozen_ms if self._frozen_ms is not None else int(time.time() * 1000) + self._offset_ms

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_ms() / 1000, UTC)

    def http_date(self, ahead_seconds: float = 0.0) -> str:
        """Now as an HTTP-date, or as a clock shows it that is so far ahead."""
        return format_datetime((self.now() + timedelta(seconds=ahead_seconds)).replace(microsecond=0), usegmt=True)

    def shift(self, seconds: float) -> None:
        if self._frozen_ms is not None:
            self._frozen_ms += int(seconds * 1000)
        else:
            self._offset_ms += int(seconds * 1000)

    def set_to(self, at: datetime, *, frozen: bool = False) -> None:
        target = int(at.timestamp() * 1000)
        self._frozen_ms = target if frozen else None
        self._offset_ms = target - int(time.time() * 1000)


def instant(ms: int) -> str:
    """A FHIR instant with milliseconds, in UTC."""
    seconds, millis = divmod(ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{millis:03d}Z"


def parse_instant(text: str) -> int:
    """Milliseconds since the epoch of an ISO date or time; without zone, UTC. Raises ValueError."""
    parsed = datetime.fromisoformat(text)
    return round((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)
