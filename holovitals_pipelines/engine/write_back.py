"""Write back: marked links are read and decided again, and what the outbox holds goes to the vendor.

Law: it ends when nothing is left to do, or says what is left and why; it never goes round for ever.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from holovitals_pipelines.engine.agreement.desk import Desk
from holovitals_pipelines.engine.agreement.of_job import desk_at
from holovitals_pipelines.engine.agreement.push import push, recover
from holovitals_pipelines.engine.agreement.settle import Reading, Settled, decide_and_commit, read_marks, settle
from holovitals_pipelines.engine.attachments import note_attachments_since
from holovitals_pipelines.engine.delete_breaker import held_back, most_deletes
from holovitals_pipelines.engine.quality_gate import Hold
from holovitals_pipelines.engine.quality_gate import held_back as held_by_quality
from holovitals_pipelines.engine.session import JobSession, as_problem
from holovitals_pipelines.fhir.resource_types import in_processing_order
from holovitals_pipelines.model.errors import HoloVitalsError
from holovitals_pipelines.model.vocabulary import Direction, Stage
from holovitals_pipelines.model.writing import Absent
from holovitals_pipelines.store import agreements, outbox
from holovitals_pipelines.store.dirty import Mark, Reason, marked_links
from holovitals_pipelines.store.statistics import save_latencies
from holovitals_pipelines.sync.facts import Outcome

BATCH = 200
"""Links read at a time; one transaction decides them."""
MOST_ROUNDS = 6
"""A vendor that changes under our hands is decided again this often in a job; then the next job goes on."""
SUSPICIONS = (Reason.DELETE_EVIDENCE.value, Reason.ABSENT.value)


def write_back(session: JobSession) -> None:
    """Bring every marked link of the job's types into agreement. Raises VendorError when the vendor cannot be asked."""
    if session.request.allow_deletes:
        _mark_held_deletes(session)
    holds = held_by_quality(session)
    types = _types_with_work(session)
    if types:
        asyncio.run(_at_the_vendor(session, types, holds))


async def _at_the_vendor(session: JobSession, types: Sequence[str], holds: Mapping[str, Hold]) -> None:
    async with session.open_adapter() as adapter:
        desk = desk_at(session, adapter)
        recover(desk)
        try:
            for resource_type in types:
                await _one_type(session, desk, resource_type, holds.get(resource_type))
        finally:
            with session.transaction() as transaction:
                save_latencies(
                    transaction, session.job_id, session.connection.name, adapter.statistics(), session.now()
                )


async def _one_type(session: JobSession, desk: Desk, resource_type: str, hold: Hold | None) -> None:
    started, began = time.monotonic(), session.now()
    session.begin_stage(Stage.WRITE_BACK, [resource_type])
    settled, pushed, errors = Settled(), Counter[str](), list[HoloVitalsError]()
    left = await _suspected_deletes(session, desk, resource_type, settled)
    for _ in range(MOST_ROUNDS):
        looked_at = await _settle_all(session, desk, resource_type, left, settled)
        sent = 0 if hold else await _push_all(session, desk, resource_type, pushed, errors)
        if not looked_at and not sent:
            break
    with session.transaction() as transaction:
        problems = [as_problem(error, resource_type) for error in errors]
        problems += [as_problem(error, resource_type) for _, error in settled.failures]
        problems += [as_problem(error, resource_type) for error in desk.left_to_people]
        problems += [hold.as_problem()] if hold and session.request.direction is not Direction.INBOUND else []
        note_attachments_since(session, transaction, resource_type, began)
        session.add_errors(transaction, Stage.WRITE_BACK, problems)
        session.count(transaction, resource_type, Stage.WRITE_BACK, **_counts(settled, pushed))
        session.end_stage(transaction, resource_type, Stage.WRITE_BACK, busy_seconds=time.monotonic() - started)
    desk.left_to_people.clear()
    session.progress.ended(session.connection.name, Stage.WRITE_BACK, resource_type)


def _counts(settled: Settled, pushed: Counter[str]) -> dict[str, int]:
    conflicts, held = settled.counts["conflicts"], settled.counts[Outcome.HOLD.value]
    return {
        "decided": settled.counts.total() - conflicts - settled.counts["taken"],
        "conflicts": conflicts,
        "held": held,
        "resolved": conflicts - held,
        "taken": settled.counts["taken"],
        "removed": settled.counts[Outcome.DELETE_HERE.value],
        "pushed": pushed["pushed"],
        "refused_writes": pushed["refused"],
        "put_off": pushed["put_off"],
        "refused": settled.refused,
        "unread": len(settled.failures),
    }


async def _settle_all(session: JobSession, desk: Desk, resource_type: str, left: set[str], settled: Settled) -> int:
    """Every mark of the type once; those that cannot be read are left for the next job."""
    looked_at = 0
    seen: set[str] = set()
    while marks := _marks(session, resource_type, left | seen):
        batch = await settle(desk, marks)
        settled.add(batch)
        left |= {mark.link_id for mark, _ in batch.failures}
        # What is marked again meanwhile (a vendor of the same record, a stale write) has its turn in the next round.
        seen |= {mark.link_id for mark in marks}
        looked_at += len(marks) - len(batch.failures)
        session.progress.advanced(session.connection.name, Stage.WRITE_BACK, resource_type, len(marks))
        session.check_cancelled()
    return looked_at


async def _push_all(
    session: JobSession, desk: Desk, resource_type: str, counts: Counter[str], errors: list[HoloVitalsError]
) -> int:
    if session.request.direction is Direction.INBOUND:
        return 0
    sent = 0
    while True:
        pushed = await push(desk, limit=BATCH, resource_type=resource_type)
        if not pushed.counts:
            return sent
        counts += pushed.counts
        errors += [error for _, error in pushed.errors]
        sent += pushed.counts.total() - pushed.counts["put_off"]
        session.check_cancelled()


async def _suspected_deletes(session: JobSession, desk: Desk, resource_type: str, settled: Settled) -> set[str]:
    """Confirm suspected deletes before any is carried out; returns the links to leave alone.

    They are all read first: only then is it known whether they are more than plausible.
    """
    with session.transaction() as transaction:
        marks = marked_links(transaction, desk.connection, [resource_type])
        living = agreements.count_living(transaction, desk.connection, resource_type)
    marks = [mark for mark in marks if mark.reason in SUSPICIONS]
    if len(marks) <= most_deletes(desk.settings, living) or desk.allow_deletes:
        return set()
    gone: dict[str, Reading] = {}
    for start in range(0, len(marks), BATCH):
        readings = await read_marks(desk, marks[start : start + BATCH])
        gone |= {link_id: reading for link_id, reading in readings.items() if isinstance(reading, Absent)}
        session.check_cancelled()
    if len(gone) <= most_deletes(desk.settings, living):
        confirmed = [mark for mark in marks if mark.link_id in gone]
        settled.add(decide_and_commit(desk, confirmed, gone, {}))
        return set()
    with session.transaction() as transaction:
        problem = held_back(session, resource_type, len(gone), living, Reason.DELETE_EVIDENCE)
        session.add_errors(transaction, Stage.WRITE_BACK, [problem])
    return set(gone)


def _marks(session: JobSession, resource_type: str, but: set[str]) -> list[Mark]:
    with session.home.database.read() as transaction:
        marks = marked_links(transaction, session.connection.name, [resource_type])
    return [mark for mark in marks if mark.link_id not in but][:BATCH]


def _types_with_work(session: JobSession) -> list[str]:
    """Resource types of the job with marked links or waiting writes, in processing order."""
    connection = session.connection.name
    with session.home.database.read() as transaction:
        marked = {mark.resource_type for mark in marked_links(transaction, connection)}
        waiting = outbox.types_with_live_intents(transaction, connection)
    wanted = set(session.request.resource_types)
    return in_processing_order(name for name in marked | waiting if not wanted or name in wanted)


def _mark_held_deletes(session: JobSession) -> None:
    """Deletes that the breaker held, let through by a person: read again, then carried out."""
    with session.transaction() as transaction:
        agreements.mark_deletion_evidence(transaction, session.connection.name, session.now())


def vendor_is_needed(session: JobSession) -> bool:
    """Whether there is anything to write back."""
    return bool(_types_with_work(session))
