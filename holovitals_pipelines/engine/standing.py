"""Standing differences: where local and vendor differ and stay so, because the vendor's API takes no write."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from holovitals_pipelines.model.vocabulary import ConflictSeverity
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.tables import standing_difference


@dataclass(frozen=True, slots=True)
class Standing:
    """One of them; `element` is the element's name, never a value."""

    severity: str
    connection: str
    resource_type: str
    record_id: str
    element: str
    reason: str
    since: datetime


def list_standing(database: Database, *, connection: str | None = None, limit: int = 100) -> list[Standing]:
    """The worst first, then the oldest."""
    table = standing_difference
    rank = sa.case({severity.value: place for place, severity in enumerate(ConflictSeverity)}, value=table.c.severity)
    query = sa.select(table).order_by(rank, table.c.since, table.c.link_id, table.c.unit).limit(limit)
    if connection is not None:
        query = query.where(table.c.connection == connection)
    with database.read() as transaction:
        return [
            Standing(
                row.severity,
                row.connection,
                row.resource_type,
                row.record_id,
                element_of(row.unit),
                row.reason,
                row.since,
            )
            for row in transaction.execute(query)
        ]


def element_of(unit: str) -> str:
    """The element a unit belongs to; what follows in its name can hold a value."""
    return unit.partition("[")[0].partition(".")[0] if not unit.endswith("[x]") else unit
