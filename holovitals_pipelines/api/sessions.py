"""Who has signed in with a browser: sessions in the memory of this process, each of one token, for a working day.

Law: a cookie is worth nothing to whoever reads this memory, which has only its hash; a session outlives neither its
token nor the process. Behind several processes a browser has to stay with one, or its user signs in again.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from threading import Lock

LASTS = timedelta(hours=8)
_MOST = 10_000
_BYTES = 32


@dataclass(frozen=True, slots=True)
class _Session:
    token_id: str
    ends_at: datetime


class Sessions:
    """Open sessions; calls of several threads do not disturb one another."""

    def __init__(self) -> None:
        self._open: dict[bytes, _Session] = {}
        self._lock = Lock()

    def begin(self, token_id: str, now: datetime) -> str:
        """A new session's secret, for the cookie. The oldest session ends where there are very many."""
        secret = secrets.token_urlsafe(_BYTES)
        with self._lock:
            self._open = {key: one for key, one in self._open.items() if one.ends_at > now}
            while len(self._open) >= _MOST:
                del self._open[next(iter(self._open))]
            self._open[_hash(secret)] = _Session(token_id, now + LASTS)
        return secret

    def token_of(self, secret: str, now: datetime) -> str | None:
        """The id of the token it was begun with; None for one that is not open."""
        found = self._open.get(_hash(secret))
        return found.token_id if found is not None and found.ends_at > now else None

    def end(self, secret: str) -> None:
        with self._lock:
            self._open.pop(_hash(secret), None)


def _hash(secret: str) -> bytes:
    return sha256(secret.encode(errors="surrogatepass")).digest()
