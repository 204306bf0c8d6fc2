"""The connections as the operational store knows them: a copy of what is declared, for joins and for history."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import sqlalchemy as sa

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
            transaction.execute(ehr_connection.insert().values(name=name, created_at=now, updated_at=now, **values))
        elif any(getattr(known[name], column) != value for column, value in values.items()):
            transaction.execute(
                ehr_connection.update().where(ehr_connection.c.name == name).values(updated_at=now, **values)
            )
    forgotten = [name for name, row in known.items() if name not in declared and row.enabled]
    if forgotten:
        transaction.execute(
            ehr_connection.update().where(ehr_connection.c.name.in_(forgotten)).values(enabled=False, updated_at=now)
        )
