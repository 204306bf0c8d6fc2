"""Refused resources: kept whole, with the rule they broke, the place and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from holovitals_pipelines.fhir.canonical import content_hash
from holovitals_pipelines.model.extract import Problem
from holovitals_pipelines.model.vocabulary import Stage
from holovitals_pipelines.store.tables import quarantine


@dataclass(frozen=True, slots=True)
class Refusal:
    """One resource that may not go on. Message, path and remedy never contain its values."""

    remote_id: str | None
    body: bytes
    rule: str
    path: str | None
    message: str
    remedy: str
    source: str | None
    line: int | None

    def as_error(self, resource_type: str) -> Problem:
        where = f"{self.path}: " if self.path else ""
        return Problem(
            code=self.rule,
            message=where + self.message,
            remedy=self.remedy,
            source=self.source or "",
            line=self.line,
            resource_type=resource_type,
        )


def quarantine_resources(
    transaction: sa.Connection,
    job_id: str,
    connection: str,
    resource_type: str,
    stage: Stage,
    refusals: Sequence[Refusal],
    at: datetime,
) -> None:
    """Hold `refusals`; the same bytes refused for the same rule at the same connection are held once."""
    if not refusals:
        return
    hashes = {content_hash(refusal.body) for refusal in refusals}
    known: set[tuple[bytes, str]] = set()
    ordered = sorted(hashes)
    for start in range(0, len(ordered), 500):
        query = sa.select(quarantine.c.document_hash, quarantine.c.rule).where(
            quarantine.c.connection == connection,
            quarantine.c.resource_type == resource_type,
            quarantine.c.state == "held",
            quarantine.c.document_hash.in_(ordered[start : start + 500]),
        )
        known |= {(bytes(row.document_hash), row.rule) for row in transaction.execute(query)}
    rows = []
    for refusal in refusals:
        address = (content_hash(refusal.body), refusal.rule)
        if address in known:
            continue
        known.add(address)
        rows.append(
            {
                "job_id": job_id,
                "connection": connection,
                "resource_type": resource_type,
                "remote_id": refusal.remote_id,
                "document_hash": address[0],
                "stage": stage.value,
                "rule": refusal.rule,
                "path": refusal.path,
                "message": refusal.message,
                "remedy": refusal.remedy,
                "source": refusal.source,
                "line": refusal.line,
                "state": "held",
                "at": at,
            }
        )
    if rows:
        transaction.execute(quarantine.insert(), rows)


def drop_refusals_of(transaction: sa.Connection, job_id: str, resource_type: str, stage: Stage) -> None:
    """Forget what an interrupted stage of this job held, because the stage starts over."""
    transaction.execute(
        quarantine.delete().where(
            quarantine.c.job_id == job_id,
            quarantine.c.resource_type == resource_type,
            quarantine.c.stage == stage.value,
        )
    )
