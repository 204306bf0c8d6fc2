"""Watermarks: the vendor's own clock when the newest complete read of a type began."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from holovitals_pipelines.model.vocabulary import ChangeMechanism
from holovitals_pipelines.store.tables import watermark


def watermarks_of(transaction: sa.Connection, connection: str) -> dict[str, datetime]:
    """Watermark by resource type; a type never read to its end has none."""
    query = sa.select(watermark.c.resource_type, watermark.c.value).where(watermark.c.connection == connection)
    return {row.resource_type: row.value for row in transaction.execute(query)}


def advance_watermark(
    transaction: sa.Connection,
    connection: str,
    resource_type: str,
    value: datetime,
    *,
    mechanism: ChangeMechanism,
    job_id: str,
    at: datetime,
) -> None:
    """Move the watermark forwards; a value older than the present one changes nothing."""
    present = watermarks_of(transaction, connection).get(resource_type)
    row = {"mechanism": mechanism.value, "value": value, "job_id": job_id, "updated_at": at}
    if present is None:
        transaction.execute(watermark.insert().values(connection=connection, resource_type=resource_type, **row))
    elif value > present:
        transaction.execute(
            watermark.update()
            .where(watermark.c.connection == connection, watermark.c.resource_type == resource_type)
            .values(**row)
        )
