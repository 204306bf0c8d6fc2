"""What a job that names patients or resources asks the vendor for, and what follows when one of them is not shown.

Law: what is named is read and nothing else; a resource that is not shown is read once more before it counts as gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

import sqlalchemy as sa

from holovitals_pipelines.engine.agreement.conflict_rows import patient_reference
from holovitals_pipelines.engine.session import JobSession
from holovitals_pipelines.model.errors import JobError
from holovitals_pipelines.model.extract import Deletion, Problem, ReadRequest
from holovitals_pipelines.store.agreements import link_id_of
from holovitals_pipelines.store.documents import get_documents
from holovitals_pipelines.store.link_states import link_states
from holovitals_pipelines.store.tables import shadow
from holovitals_pipelines.sync.sides import Side

_NOT_SHOWN = frozenset({"read.not_found", "resource.not_in_chart"})
"""How adapters report an id under which the vendor shows nothing, or a record that its patient's chart lacks."""


@dataclass(slots=True)
class PlannedReads:
    """Reads, one after another: by id, then through the patients of what cannot be read by id, then whole patients."""

    requests: list[ReadRequest] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unreadable: dict[str, JobError] = field(default_factory=dict)
    """Types of which nothing that was named can be read, and why."""


def plan_reads(session: JobSession, only_by_patient: Set[str], resource_types: Sequence[str]) -> PlannedReads:
    """The reads that bring what the session's request names, of these types."""
    request, planned = session.request, PlannedReads()
    patients = sorted(set(request.patients))
    by_type: dict[str, set[str]] = {}
    for kind, remote_id in request.ids:
        if kind in resource_types and not (kind == "Patient" and remote_id in patients):
            by_type.setdefault(kind, set()).add(remote_id)
    by_id = {kind: sorted(ids) for kind, ids in by_type.items() if kind not in only_by_patient}
    if by_id:
        planned.requests.append(ReadRequest(list(by_id), only_ids=by_id))
    for kind in sorted(by_type.keys() & only_by_patient):
        _through_patients(session, planned, kind, sorted(by_type[kind]), set(patients))
    if patients:
        kinds = set(request.resource_types or resource_types)
        whole = [name for name in resource_types if name in kinds and name not in planned.unreadable]
        planned.requests.append(ReadRequest(whole, only_patients=patients))
    return planned


def _through_patients(
    session: JobSession, planned: PlannedReads, kind: str, ids: Sequence[str], read_anyway: Set[str]
) -> None:
    """Read the type of the patients whose these resources are, as far as they are known here."""
    owners = _patients_of(session, kind, ids)
    planned.problems += [_of_nobody(session, kind, remote_id) for remote_id in ids if remote_id not in owners]
    patients = sorted(set(owners.values()) - read_anyway)
    if patients:
        planned.requests.append(ReadRequest([kind], only_patients=patients))
    elif not owners and not read_anyway:
        planned.unreadable[kind] = JobError(
            f"{kind} is read by its patient only, and whose the resources are is not known here",
            code="extract.by_patient_only",
            place=session.place,
            remedy=f"sync the patient: holovitals sync {session.connection.name} --patient ID --type {kind}",
        )


def _of_nobody(session: JobSession, kind: str, remote_id: str) -> Problem:
    return Problem(
        code="extract.by_patient_only",
        message=f"{kind} is read by its patient only, and whose this one is is not known here",
        remedy=f"sync the patient: holovitals sync {session.connection.name} --patient ID --type {kind}",
        source=session.place,
        resource_type=kind,
        remote_id=remote_id,
    )


def _patients_of(session: JobSession, kind: str, ids: Sequence[str]) -> Mapping[str, str]:
    """The remote id of the patient by that of the resource, as the vendor last showed it."""
    links = {link_id_of(session.connection.name, kind, remote_id): remote_id for remote_id in ids}
    query = sa.select(shadow.c.link_id, shadow.c.remote_document).where(
        shadow.c.link_id.in_(links), shadow.c.remote_document.is_not(None)
    )
    with session.home.database.read() as transaction:
        held = {links[row.link_id]: bytes(row.remote_document) for row in transaction.execute(query)}
        bodies = get_documents(transaction, held.values())
    found = {remote_id: patient_reference(kind, Side(bodies[address])) for remote_id, address in held.items()}
    return {
        remote_id: reference.removeprefix("Patient/")
        for remote_id, reference in found.items()
        if reference is not None and reference.startswith("Patient/")
    }


def seen_no_more(session: JobSession, problem: Problem) -> Deletion | None:
    """A resource that was named, is known here, and is not shown: suspected of being deleted, to be read once more.

    None for every other problem: an id that nobody knows is reported, for it may be mistyped.
    """
    if problem.code not in _NOT_SHOWN or problem.remote_id is None or problem.resource_type is None:
        return None
    named = (problem.resource_type, problem.remote_id)
    if named not in session.request.ids and not (named[0] == "Patient" and named[1] in session.request.patients):
        return None
    link_id = link_id_of(session.connection.name, *named)
    with session.home.database.read() as transaction:
        known = link_states(transaction, [link_id], lock=False)
    return Deletion(*named, evidence="not shown when it was read by its id") if link_id in known else None
