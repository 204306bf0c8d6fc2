"""Records found for whoever asks through the API: page by page, and one by our id or by a vendor's.

Law: a record that is there from the first page to the last is on exactly one of them, whatever changes meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from holovitals_pipelines.engine.record_view import ListedRecord
from holovitals_pipelines.fhir.resource_types import RESOURCE_TYPES
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.paging import Page, page_of, place_of
from holovitals_pipelines.store.agreements import link_id_of
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.tables import ehr_connection, link, record

_KIND = "records"


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """What is asked for; None asks for all."""

    resource_type: str | None = None
    connection: str | None = None
    state: str | None = None
    changed_since: datetime | None = None


def record_page(database: Database, wanted: RecordFilter, *, cursor: str | None, limit: int) -> Page[ListedRecord]:
    """Records in the order of their ids. Raises StoreError (`page.cursor_invalid`)."""
    c = record.c
    query = sa.select(*(c[name] for name in ListedRecord.__dataclass_fields__))
    for column, value in ((c.resource_type, wanted.resource_type), (c.state, wanted.state)):
        if value is not None:
            query = query.where(column == value)
    if wanted.connection is not None:
        at = sa.select(link.c.link_id).where(link.c.record_id == c.record_id, link.c.connection == wanted.connection)
        query = query.where(at.exists())
    if wanted.changed_since is not None:
        query = query.where(c.updated_at >= wanted.changed_since)
    if cursor is not None:
        query = query.where(c.record_id > place_of(cursor, _KIND, str)[0])
    with database.read() as transaction:
        rows = transaction.execute(query.order_by(c.record_id).limit(limit + 1))
        found = [ListedRecord(*row) for row in rows]
    return page_of(found, limit, _KIND, lambda one: (one.record_id,))


def record_named(database: Database, resource_type: str, identity: str, connection: str | None = None) -> str:
    """The id of the record of this id here, or of the id a vendor gave it; `connection` says which vendor's.

    Raises StoreError (`record.unknown`, `record.ambiguous`); the id asked for is not repeated.
    """
    c = record.c
    kind = resource_type if resource_type in RESOURCE_TYPES else "record"
    with database.read() as transaction:
        if connection is None:
            query = sa.select(c.record_id).where(c.record_id == identity, c.resource_type == resource_type)
            if (own := transaction.execute(query).scalar()) is not None:
                return str(own)
        names = [connection] if connection else list(transaction.execute(sa.select(ehr_connection.c.name)).scalars())
        ids = [link_id_of(name, resource_type, identity) for name in names]
        linked = sa.select(link.c.record_id).where(link.c.link_id.in_(ids)).distinct()
        found = list(transaction.execute(linked).scalars())
    if len(found) == 1:
        return str(found[0])
    if found:
        raise StoreError(
            "several connections have a resource of this id, and they are different records",
            code="record.ambiguous",
            place=f"record of type {kind}",
            remedy="name the connection: ?connection=…; or use the record's id here",
        )
    raise StoreError(
        f"there is no such {kind}",
        code="record.unknown",
        remedy="GET /api/records lists the ids; a vendor's id does too, once the resource has been synced",
    )
