"""Transforming again what was landed before, when rules have changed: the vendor is not called.

Law: a replay brings nothing back. Only readings that both sides still agree on are transformed again; resources that
were written or read one by one since they landed are marked, and the next sync reads those.
"""

from __future__ import annotations

import pyarrow as pa
import sqlalchemy as sa

from holovitals_pipelines.engine.analysis import Analysis
from holovitals_pipelines.engine.batches import numbered
from holovitals_pipelines.engine.queries import load_query
from holovitals_pipelines.engine.session import JobSession
from holovitals_pipelines.model.extract import Problem
from holovitals_pipelines.model.vocabulary import Dataset, ErrorSeverity, Stage
from holovitals_pipelines.store.dirty import Reason, mark_links
from holovitals_pipelines.store.parts import Part, landed_types, parts_since_snapshot


def replayable_types(session: JobSession) -> list[str]:
    """Resource types of the connection with something in the landing zone, of those the job is asked for."""
    with session.home.database.read() as transaction:
        landed = landed_types(transaction, session.connection.name)
    wanted = session.request.resource_types
    return [name for name in landed if not wanted or name in wanted]


def landed_parts(session: JobSession, transaction: sa.Connection, resource_type: str) -> list[Part]:
    """The extracts that make up what the vendor has shown of a type: the newest complete read and all since."""
    return parts_since_snapshot(transaction, session.connection.name, resource_type, Dataset.EXTRACT)


def keep_current_readings(session: JobSession, analysis: Analysis, resource_type: str) -> None:
    """Leave in table `chosen` what may be transformed again, and mark what has to be read again.

    Reads the tables of `choose_readings`, and `agreed`, which is `known` as it is in the store.
    """
    analysis.run(
        "create temp table made (number integer, row integer, remote_id varchar, content_hash blob, evidence varchar)"
    )
    with session.home.database.read() as transaction:
        records = parts_since_snapshot(transaction, session.connection.name, resource_type, Dataset.RECORDS)
    for number, part in enumerate(records):
        analysis.insert(
            "insert into made select ?, row, remote_id, content_hash, evidence from arrow",
            numbered(session.home.landing.open_parts([part.path], columns=["remote_id", "content_hash", "evidence"])),
            [number],
        )
    analysis.run(
        "create temp table last_record as select remote_id, arg_max(content_hash, number * 4294967296 + row) as "
        "content_hash from made where evidence is null group by remote_id"
    )
    analysis.run(load_query("keep_current_readings"))
    outdated = analysis.table("select link_id, remote_id from outdated")
    _mark(session, resource_type, outdated)


def _mark(session: JobSession, resource_type: str, outdated: pa.Table) -> None:
    if not outdated.num_rows:
        return
    name = session.connection.name
    links = [
        (link_id, name, resource_type, remote_id)
        for link_id, remote_id in zip(*(outdated.column(at).to_pylist() for at in (0, 1)), strict=True)
    ]
    problem = Problem(
        code="replay.outdated",
        message=f"{len(links):,} resources have been read or written one by one since they landed; they are marked",
        remedy=f"holovitals sync {name} reads them from the vendor",
        source=session.place,
        resource_type=resource_type,
        severity=ErrorSeverity.WARNING,
    )
    with session.transaction() as transaction:
        mark_links(transaction, links, Reason.STALE, session.now())
        session.add_errors(transaction, Stage.TRANSFORM, [problem])
