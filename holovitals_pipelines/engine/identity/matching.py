"""Matching everybody: the index brought up to date, what is probable proposed to people, the persons' rows made anew.

Law: nothing but exact trusted identifiers joins anybody here, and no record and no vendor hears of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.identity.index import Indexed, index_patients, trust_of
from holovitals_pipelines.engine.identity.proposing import OPEN, STALE, Draft, proposal_of_row, propose, put_proposals
from holovitals_pipelines.engine.identity.splink_model import PatientRow, probable_pairs
from holovitals_pipelines.engine.identity.told import told_by_vendors
from holovitals_pipelines.store import persons
from holovitals_pipelines.store.documents import get_documents
from holovitals_pipelines.store.person_rows import rebuild_all, several_ids
from holovitals_pipelines.store.tables import patient_member, patient_proposal
from holovitals_pipelines.sync.identity.comparing import compare
from holovitals_pipelines.sync.identity.demographics import Demographics, read_demographics
from holovitals_pipelines.sync.identity.trust import is_nobody

_READ = 2_000


@dataclass(frozen=True, slots=True)
class Matched:
    """What the index holds after a match, and what was new."""

    indexed: Indexed
    records: int
    persons: int
    across_connections: int
    """Persons with records of more than one connection."""
    several_ids: int
    """Persons whom one vendor knows by several ids, counted by vendor."""
    new_proposals: int
    open_proposals: int


def match_patients(home: Home, *, again: bool = False, probable: bool = True) -> Matched:
    """Bring the index up to date; with `probable`, compare who is not joined by name, dates and addresses too.

    `again` looks at every record anew, as is needed after the trusted systems were changed.
    """
    database = home.database
    indexed = index_patients(database, trust_of(home.settings), again=again)
    new = 0
    if probable:
        said = _everybody(home)
        found = _probable(home, said)
        with database.write() as transaction:
            persons.lock_identity(transaction)
            now = datetime.now(UTC)
            _retire_unfounded(transaction, found)
            new = propose(transaction, [*told_by_vendors(transaction, said), *found], now)
    with database.write() as transaction:
        persons.lock_identity(transaction)
        rebuild_all(transaction)
    return _told(home, indexed, new)


def patient_counts(home: Home) -> Matched:
    """What the index holds now."""
    return _told(home, Indexed(), 0)


def _told(home: Home, indexed: Indexed, new: int) -> Matched:
    living = patient_member.c.state == "active"
    by_person = (
        sa.select(
            sa.func.count().label("records"),
            sa.func.count(sa.distinct(patient_member.c.connection)).label("connections"),
        )
        .where(living)
        .group_by(patient_member.c.patient_key)
        .subquery()
    )
    across = sa.func.coalesce(sa.func.sum(sa.case((by_person.c.connections > 1, 1), else_=0)), 0)
    totals = sa.select(sa.func.coalesce(sa.func.sum(by_person.c.records), 0), sa.func.count(), across)
    with home.database.read() as transaction:
        records, people, several = transaction.execute(totals.select_from(by_person)).one()
        waiting = transaction.execute(
            sa.select(sa.func.count()).select_from(patient_proposal).where(patient_proposal.c.state == OPEN)
        ).scalar_one()
        ids = len(several_ids(transaction, 1_000_000))
    return Matched(indexed, int(records), int(people), int(several), ids, new, int(waiting))


def _everybody(home: Home) -> dict[str, Demographics]:
    """By record id, all living records but those of nobody."""
    query = sa.select(patient_member.c.record_id, patient_member.c.document_hash).where(
        patient_member.c.state == "active"
    )
    said: dict[str, Demographics] = {}
    with home.database.read() as transaction:
        rows = [(row[0], bytes(row[1])) for row in transaction.execute(query)]
        for start in range(0, len(rows), _READ):
            chunk = rows[start : start + _READ]
            bodies = get_documents(transaction, {address for _, address in chunk})
            said |= {record_id: read_demographics(bodies[address]) for record_id, address in chunk}
    return {record_id: one for record_id, one in said.items() if not is_nobody(one)}


def _probable(home: Home, said: dict[str, Demographics]) -> list[Draft]:
    with home.database.read() as transaction:
        person = {one: member.patient_key for one, member in persons.members(transaction, said).items()}
    rows = [
        PatientRow(
            record_id, person[record_id], one.family, one.given, one.former[0] if one.former else None, one.birth_date,
            one.gender, one.phones[0] if one.phones else None, one.street, one.postal_code,
        )
        for record_id, one in sorted(said.items())
    ]  # fmt: skip
    settings = home.settings
    pairs = probable_pairs(
        rows, settings.identity_threshold, scratch=settings.scratch_folder, memory=settings.duckdb_memory
    )
    return [Draft(one, other, "splink", score, compare(said[one], said[other])) for one, other, score in pairs]


def _retire_unfounded(transaction: sa.Connection, found: list[Draft]) -> None:
    """Open proposals that only their probability spoke for, and that are not probable any more."""
    pairs = {draft.pair for draft in found}
    c = patient_proposal.c
    columns = [c[column.name] for column in c]
    query = sa.select(*columns).where(c.state == OPEN, c.grounds == "splink")
    rows = [proposal_of_row(row) for row in transaction.execute(query)]
    put_proposals(
        transaction, [row._replace(state=STALE) for row in rows if (row.record_id, row.other_id) not in pairs]
    )
