"""Look at marked links: read what the vendor holds now, decide from current facts, commit.

Law: events are hints, reads are truth; a link that could not be read stays marked.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import sqlalchemy as sa

from holovitals_pipelines.engine.agreement.commit import commit
from holovitals_pipelines.engine.agreement.conflict_rows import patient_of
from holovitals_pipelines.engine.agreement.creates import Found, find_created, recognise, settle_create
from holovitals_pipelines.engine.agreement.decided_link import Decided
from holovitals_pipelines.engine.agreement.desk import Desk
from holovitals_pipelines.engine.agreement.facts import Known, Seen, facts_of, load_known
from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.fhir.validation import check_structure
from holovitals_pipelines.model.errors import VendorError
from holovitals_pipelines.model.vocabulary import ErrorSeverity, Stage
from holovitals_pipelines.model.writing import Absent, Present
from holovitals_pipelines.store import conflicts, outbox
from holovitals_pipelines.store.dirty import Mark, clear_marks
from holovitals_pipelines.store.documents import put_documents
from holovitals_pipelines.store.link_states import link_states
from holovitals_pipelines.store.outbox import StoredIntent
from holovitals_pipelines.store.quarantine import Refusal, quarantine_resources
from holovitals_pipelines.sync.decide import decide
from holovitals_pipelines.sync.facts import Outcome
from holovitals_pipelines.sync.sides import Side


@dataclass(slots=True)
class Settled:
    """What became of a batch of marks."""

    counts: Counter[str] = field(default_factory=Counter)
    """By outcome, and `conflicts`."""
    failures: list[tuple[Mark, VendorError]] = field(default_factory=list)
    """Could not be read; still marked."""
    refused: int = 0
    """Read, but not valid: in quarantine."""

    def add(self, other: Settled) -> None:
        self.counts += other.counts
        self.failures += other.failures
        self.refused += other.refused


Reading = Present | Absent | VendorError


async def settle(desk: Desk, marks: Sequence[Mark]) -> Settled:
    """Read, decide and commit these links; one transaction for all of them. Their marks are cleared."""
    readings, created = await _read_all(desk, marks)
    return decide_and_commit(desk, marks, readings, created)


async def read_marks(desk: Desk, marks: Sequence[Mark]) -> dict[str, Reading]:
    """What the vendor holds of each marked link that has a remote id."""

    async def read(mark: Mark) -> tuple[str, Reading]:
        assert mark.remote_id is not None
        try:
            return mark.link_id, await desk.vendor.read_current(mark.resource_type, mark.remote_id)
        except VendorError as error:
            return mark.link_id, error

    return dict(await asyncio.gather(*(read(mark) for mark in marks if mark.remote_id is not None)))


async def _read_all(desk: Desk, marks: Sequence[Mark]) -> tuple[dict[str, Reading], dict[str, Found | VendorError]]:
    pending = [mark.link_id for mark in marks if mark.remote_id is None]
    intents: Mapping[str, StoredIntent] = {}
    if pending:
        with desk.transaction() as transaction:
            intents = outbox.live_intents(transaction, pending)
    created = await find_created(desk, [i for i in intents.values() if i.state == "inflight"])
    return await read_marks(desk, marks), created


def decide_and_commit(
    desk: Desk,
    marks: Sequence[Mark],
    readings: Mapping[str, Reading],
    created: Mapping[str, Found | VendorError],
) -> Settled:
    settled = Settled()
    with desk.transaction() as transaction:
        seen: dict[str, Seen] = {}
        linked = link_states(transaction, [mark.link_id for mark in marks], lock=False).keys()
        for mark in marks:
            reading, found = readings.get(mark.link_id), created.get(mark.link_id)
            one = _seen(desk, transaction, mark, reading, found, settled, is_linked=mark.link_id in linked)
            if one is not None:
                seen[one.link_id] = one
        known = load_known(transaction, list(seen))
        decided = decide_all(desk, transaction, known, list(seen.values()))
        settled.counts = commit(transaction, desk, known, decided)
        unread = {mark.link_id for mark, _ in settled.failures}
        clear_marks(transaction, [mark for mark in marks if mark.link_id not in unread])
    return settled


def _seen(
    desk: Desk,
    transaction: sa.Connection,
    mark: Mark,
    reading: Reading | None,
    created: Found | VendorError | None,
    settled: Settled,
    *,
    is_linked: bool,
) -> Seen | None:
    """What is known of the vendor's side; None when there is nothing to decide on."""
    if isinstance(reading, VendorError) or isinstance(created, VendorError):
        error = reading if isinstance(reading, VendorError) else created
        assert isinstance(error, VendorError)
        settled.failures.append((mark, error))
        return None
    if mark.remote_id is None:
        return settle_create(desk, transaction, mark, created)
    if isinstance(reading, Absent):
        return Seen(mark.link_id, mark.resource_type, mark.remote_id, None, reading.evidence)
    assert reading is not None
    if _refuse(desk, transaction, mark, reading):
        settled.refused += 1
        return None
    seen = Seen(mark.link_id, mark.resource_type, mark.remote_id, reading)
    return seen if is_linked else recognise(desk, transaction, seen)


def decide_all(desk: Desk, transaction: sa.Connection, known: Known, seen: Sequence[Seen]) -> list[Decided]:
    """Decide each link; then once more those of patients with so many conflicts that something else is wrong."""
    decided = [_decide_one(desk, known, one) for one in seen if not _has_ended(known, one)]
    if not any(one.decision.conflict is not None and one.decision.conflict.conflicted for one in decided):
        return decided
    earlier = conflicts.count_by_patient(transaction, desk.job_id)
    patients = [patient_of(one) if _contradicts(one) else None for one in decided]
    totals = Counter(patient for patient in patients if patient is not None)
    for place, (one, patient) in enumerate(zip(decided, patients, strict=True)):
        if patient is None:
            continue
        count = totals[patient] + earlier.get(patient, 0)
        if count > desk.rules.matrix.overlay_limit:
            facts = replace(one.facts, conflicts_on_patient=count)
            decided[place] = replace(one, facts=facts, decision=decide(facts, desk.rules))
    return decided


def _has_ended(known: Known, seen: Seen) -> bool:
    """Whether nothing follows: a person has ended the link; or the vendor has nothing (any more), and the link is over,
    or its create is a person's to look into. A late event of such a resource would otherwise create it again."""
    state = known.states.get(seen.link_id)
    if state is None:
        return False
    if state.link_state == "unlinked" or seen.present is not None:
        return state.link_state == "unlinked"
    return state.link_state == "ended" or (state.link_state == "review" and state.remote_id is None)


def _contradicts(one: Decided) -> bool:
    record = one.decision.conflict
    return record is not None and record.conflicted > 0 and one.decision.outcome is not Outcome.UNLINK


def _decide_one(desk: Desk, known: Known, seen: Seen) -> Decided:
    facts = facts_of(desk, known, seen)
    return Decided(seen, known.states.get(seen.link_id), facts, decide(facts, desk.rules))


def _refuse(desk: Desk, transaction: sa.Connection, mark: Mark, present: Present) -> bool:
    """Put a reading that is no valid resource into quarantine; the sides stay as they are."""
    refusal = _refusal(mark, present)
    if refusal is None:
        return False
    side = Side(present.body)
    put_documents(transaction, [(side.address, side.body)])
    quarantine_resources(
        transaction, desk.job_id, desk.connection, mark.resource_type, Stage.WRITE_BACK, [refusal], desk.now()
    )
    return True


def _refusal(mark: Mark, present: Present) -> Refusal | None:
    source = f"GET {mark.resource_type}/{{id}}"
    try:
        _ = Side(present.body).hash
    except MalformedResource as error:
        return Refusal(mark.remote_id, present.body, error.code, None, error.message, error.remedy, source, None)
    for issue in check_structure(present.body, mark.resource_type):
        if issue.severity is ErrorSeverity.ERROR:
            return Refusal(
                mark.remote_id, present.body, issue.rule, issue.path, issue.message, issue.remedy, source, None
            )
    return None
