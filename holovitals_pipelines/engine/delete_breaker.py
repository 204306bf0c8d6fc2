"""The delete breaker: more deletes of a type in one run than are plausible stop and ask (sync-protocol.md §8.4, F18).

Law: suspicion never deletes. A suspected delete is confirmed by reading, and too many of them are not even asked about.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from holovitals_pipelines.engine.session import JobSession
from holovitals_pipelines.model.connection import WriteSettings
from holovitals_pipelines.model.extract import Problem
from holovitals_pipelines.model.vocabulary import ErrorSeverity, Stage
from holovitals_pipelines.store.agreements import count_living, link_id_of
from holovitals_pipelines.store.dirty import Reason, mark_links

HELD = "breaker.deletes"


def most_deletes(settings: WriteSettings, living: int) -> int:
    """How many deletes of a type one run may bring, of so many living resources."""
    return max(settings.delete_breaker_at_least, int(living * settings.delete_breaker_share))


def suspect_deletes(
    session: JobSession,
    transaction: sa.Connection,
    resource_type: str,
    remote_ids: Sequence[str],
    reason: Reason,
) -> None:
    """Mark resources the vendor may have deleted, to be read one by one; or hold all of them, and say so."""
    if not remote_ids:
        return
    connection = session.connection
    living = count_living(transaction, connection.name, resource_type)
    if len(remote_ids) > most_deletes(connection.write, living) and not session.request.allow_deletes:
        session.add_errors(
            transaction, Stage.RECONCILE, [held_back(session, resource_type, len(remote_ids), living, reason)]
        )
        return
    links = [
        (link_id_of(connection.name, resource_type, remote_id), connection.name, resource_type, remote_id)
        for remote_id in remote_ids
    ]
    mark_links(transaction, links, reason, session.now())


def held_back(session: JobSession, resource_type: str, count: int, living: int, reason: Reason) -> Problem:
    """What the job reports instead of deleting."""
    how = "deleted at the vendor" if reason is Reason.DELETE_EVIDENCE else "missing from a complete read"
    return Problem(
        code=HELD,
        message=f"{count} of {living} {resource_type} are {how} in one run: nothing was deleted here",
        remedy=f"look at the vendor; if it is right: holovitals sync {session.connection.name} --full --allow-deletes",
        source=session.place,
        resource_type=resource_type,
        severity=ErrorSeverity.CRITICAL,
    )
