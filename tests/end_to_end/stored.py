"""What a home's stores hold, read by plain SQL and not by the program under test."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store.documents import get_document


@contextmanager
def operational(home: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(home / "operational.sqlite", isolation_level=None, timeout=60)
    try:
        yield connection
    finally:
        connection.close()


def rows(home: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with operational(home) as connection:
        return connection.execute(sql, values).fetchall()


def counted(home: Path, table: str) -> int:
    [(count,)] = rows(home, f"select count(*) from {table}")
    return int(count)


def ids_by_type(home: Path, connection: str) -> dict[str, dict[str, Any]]:
    """Count and hash of the sorted remote ids, as `expected.json` states them."""
    found: dict[str, list[str]] = {}
    for name, identity in rows(home, "select resource_type, remote_id from link where connection = ?", connection):
        found.setdefault(name, []).append(identity)
    return {
        name: {"count": len(ids), "ids_sha256": hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()}
        for name, ids in found.items()
    }


def held(home: Path, connection: str) -> list[tuple[str, bytes]]:
    """(rule, exact bytes) of everything the connection has in quarantine."""
    query = "select rule, document_hash from quarantine where connection = ? and state = 'held' order by quarantine_id"
    found = rows(home, query, connection)
    with open_home(Settings(home=home)) as opened, opened.database.read() as transaction:
        return [(rule, get_document(transaction, bytes(digest))) for rule, digest in found]
