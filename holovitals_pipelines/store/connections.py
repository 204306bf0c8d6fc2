"""The connections as the operational store knows them: a copy of what is declared, for joins and for history."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.store.tables import ehr_connection


def remember_connections(transaction: sa.Connection, connections: Iterable[ConnectionConfig]) -> None:
    """Insert or update one row a declared connection; rows of connections no longer declared stay, disabled."""
    now = datetime.now(UTC)
    known = {row.name: row for row in transaction.execute(sa.select(ehr_connection))}
    declared = {connection.name: connection for connection in connections}
    for name, connection in declared.items():
        values = {
            "provider": connection.provider.value,
            "base_url": connection.base_url,
            "config": connection.model_dump(mode="json"),
            "enabled": connection.enabled,
        }
        if name not in known:
            _insert(transaction, {"name": name, "created_at": now, "updated_at": now, **values})
        elif any(getattr(known[name], column) != value for column, value in values.items()):
            transaction.execute(
                ehr_connection.update().where(ehr_connection.c.name == name).values(updated_at=now, **values)
            )
    forgotten = [name for name, row in known.items() if name not in declared and row.enabled]
    if forgotten:
        transaction.execute(
            ehr_connection.update().where(ehr_connection.c.name.in_(forgotten)).values(enabled=False, updated_at=now)
        )


def _insert(transaction: sa.Connection, values: dict[str, Any]) -> None:
    """Unless another process that has just opened the same new store was faster: it has read the same declaration."""
    insert = postgresql.insert if transaction.dialect.name == "postgresql" else sqlite.insert
    transaction.execute(insert(ehr_connection).values(values).on_conflict_do_nothing())


def known_since(transaction: sa.Connection) -> dict[str, datetime]:
    """When each connection was first declared here, by name."""
    query = sa.select(ehr_connection.c.name, ehr_connection.c.created_at)
    return {row.name: row.created_at for row in transaction.execute(query)}
