"""Whether anything was stored since the last look, for those who wait for work: cheap enough to ask ten times a second.

Law: it may say yes too often, never no too long.
"""

from __future__ import annotations

import sqlite3
import time

import sqlalchemy as sa


class ChangeWatch:
    """SQLite counts the commits of others (`PRAGMA data_version`); at any other store every second look says yes."""

    def __init__(self, url: str) -> None:
        parsed = sa.make_url(url)
        self._connection: sqlite3.Connection | None = None
        self._seen: int | None = None
        self._asked = 0.0
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            self._connection = sqlite3.connect(parsed.database)

    def changed(self) -> bool:
        """Whether somebody has committed since this was asked before; the first time: yes."""
        if self._connection is None:
            due = time.monotonic() - self._asked >= SECONDS_BETWEEN_QUERIES
            self._asked = time.monotonic() if due else self._asked
            return due
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        changed, self._seen = bool(version != self._seen), version
        return changed

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


SECONDS_BETWEEN_QUERIES = 0.2
