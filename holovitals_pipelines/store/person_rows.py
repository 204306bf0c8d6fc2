"""The `patient` table: one row a person, made of memberships and links alone.

Law: a row can be dropped and made again at any time; where a person has several ids at one vendor, the one linked first
is shown, and the memberships have them all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.store.bulk import KEYS_A_QUERY, insert_rows, stream_rows
from holovitals_pipelines.store.prepared import KEYS, Prepared
from holovitals_pipelines.store.tables import ehr_connection, link, patient, patient_member, shadow

COLUMN_OF = {
    Provider.EPIC: "epic_id",
    Provider.CERNER: "cerner_id",
    Provider.MEDITECH: "meditech_id",
    Provider.ALLSCRIPTS: "allscripts_id",
    Provider.NEXTGEN: "nextgen_id",
    Provider.ATHENAHEALTH: "athena_id",
    Provider.ECLINICALWORKS: "ecw_id",
}
_COLUMNS = ("patient_key", *COLUMN_OF.values(), "last_synced_at")


class VendorId(NamedTuple):
    """One id by which a vendor knows a person."""

    patient_key: str
    provider: str
    connection: str
    remote_id: str
    linked_at: datetime
    link_id: str
    seen_at: datetime | None
    record_id: str


_IDS = (
    sa.select(
        patient_member.c.patient_key,
        ehr_connection.c.provider,
        link.c.connection,
        link.c.remote_id,
        link.c.linked_at,
        link.c.link_id,
        shadow.c.seen_at,
        link.c.record_id,
    )
    .join(link, link.c.record_id == patient_member.c.record_id)
    .join(ehr_connection, ehr_connection.c.name == link.c.connection)
    .outerjoin(shadow, shadow.c.link_id == link.c.link_id)
    .where(patient_member.c.state == "active", link.c.state == "active", link.c.remote_id.is_not(None))
)
_IDS_OF = Prepared(_IDS.where(patient_member.c.patient_key.in_(KEYS)))
_LIVING = Prepared(
    sa.select(patient_member.c.patient_key)
    .where(patient_member.c.patient_key.in_(KEYS), patient_member.c.state == "active")
    .distinct()
)


def vendor_ids(transaction: sa.Connection, patient_keys: Iterable[str]) -> dict[str, list[VendorId]]:
    """By person, every id a vendor knows them by, those linked first before the others."""
    found: dict[str, list[VendorId]] = defaultdict(list)
    for row in _IDS_OF.by_keys(transaction, sorted(set(patient_keys))):
        found[row[0]].append(VendorId(*row))
    for ids in found.values():
        ids.sort(key=lambda one: (one.linked_at, one.link_id))
    return found


def write_rows(transaction: sa.Connection, patient_keys: Iterable[str]) -> None:
    """Make the rows of these persons anew; a person without a living record has none."""
    wanted = sorted(set(patient_keys))
    for start in range(0, len(wanted), KEYS_A_QUERY):
        chunk = wanted[start : start + KEYS_A_QUERY]
        living = sorted(row[0] for row in _LIVING.by_keys(transaction, chunk))
        ids = vendor_ids(transaction, living)
        insert_rows(
            transaction, patient, _COLUMNS, [_row(key, ids.get(key, ())) for key in living], on_conflict="update"
        )
        ended = sorted(set(chunk) - set(living))
        if ended:
            transaction.execute(patient.delete().where(patient.c.patient_key.in_(ended)))


def rebuild_all(transaction: sa.Connection) -> int:
    """Make the whole table anew from memberships and links; returns how many persons there are."""
    keys = sa.select(patient_member.c.patient_key).distinct()
    known = {row[0] for rows in stream_rows(transaction, keys) for row in rows}
    stale = {row[0] for rows in stream_rows(transaction, sa.select(patient.c.patient_key)) for row in rows} - known
    write_rows(transaction, known | stale)
    return int(transaction.execute(sa.select(sa.func.count()).select_from(patient)).scalar_one())


def several_ids(transaction: sa.Connection, limit: int = 1000) -> list[tuple[str, str, int]]:
    """(person, provider, ids) where a vendor knows one person by several ids: duplicates there, for a person to see."""
    counted = sa.func.count().label("ids")
    query = (
        sa.select(patient_member.c.patient_key, ehr_connection.c.provider, counted)
        .join(link, link.c.record_id == patient_member.c.record_id)
        .join(ehr_connection, ehr_connection.c.name == link.c.connection)
        .where(patient_member.c.state == "active", link.c.state == "active", link.c.remote_id.is_not(None))
        .group_by(patient_member.c.patient_key, ehr_connection.c.provider)
        .having(counted > 1)
        .order_by(patient_member.c.patient_key, ehr_connection.c.provider)
        .limit(limit)
    )
    return [(key, provider, int(ids)) for key, provider, ids in transaction.execute(query)]


def _row(patient_key: str, ids: Iterable[VendorId]) -> tuple[Any, ...]:
    shown: dict[str, str] = {}
    seen: list[datetime] = []
    for one in ids:
        column = COLUMN_OF.get(Provider(one.provider))
        if column is not None:
            shown.setdefault(column, one.remote_id)
        if one.seen_at is not None:
            seen.append(one.seen_at)
    return (patient_key, *(shown.get(column) for column in COLUMN_OF.values()), max(seen, default=None))


def stored_rows(transaction: sa.Connection) -> Iterator[tuple[Any, ...]]:
    """The table as it is, by person."""
    query = sa.select(*(patient.c[name] for name in _COLUMNS)).order_by(patient.c.patient_key)
    for rows in stream_rows(transaction, query):
        yield from rows
