"""What is held in quarantine, for people to look at; the bodies stay in the store."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.store.tables import quarantine


def held_resources(home: Home, connection: str | None, limit: int) -> list[dict[str, Any]]:
    """Newest first, in the HTTP API's spelling; without ids and contents."""
    query = (
        sa.select(quarantine)
        .where(quarantine.c.state == "held")
        .order_by(quarantine.c.quarantine_id.desc())
        .limit(limit)
    )
    if connection is not None:
        home.connection(connection)
        query = query.where(quarantine.c.connection == connection)
    with home.database.read() as transaction:
        return [
            {
                "quarantineId": row.quarantine_id,
                "connection": row.connection,
                "resourceType": row.resource_type,
                "stage": row.stage,
                "rule": row.rule,
                "path": row.path,
                "message": row.message,
                "remedy": row.remedy,
                "source": row.source,
                "line": row.line,
                "at": row.at.isoformat(),
            }
            for row in transaction.execute(query)
        ]
