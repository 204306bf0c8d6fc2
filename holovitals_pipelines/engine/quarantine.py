"""What is held in quarantine, for people to look at and to understand; the bodies stay in the store."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.fhir.validation import Issue, explain
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store.documents import get_document
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


def explain_held(home: Home, quarantine_id: int) -> tuple[Issue, ...]:
    """Everything both validation tiers find in a held resource. Raises StoreError for an unknown id."""
    query = sa.select(quarantine.c.document_hash, quarantine.c.resource_type).where(
        quarantine.c.quarantine_id == quarantine_id
    )
    with home.database.read() as transaction:
        row = transaction.execute(query).one_or_none()
        if row is None:
            raise StoreError(
                "there is no such entry", code="quarantine.unknown", remedy="see the ids: holovitals quarantine --json"
            )
        body = get_document(transaction, bytes(row.document_hash))
    return explain(body, row.resource_type)
