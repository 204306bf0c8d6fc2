"""From a decision's conflict to the rows that keep it: the conflict itself, and each of its units.

Law: both shadows and both sides are named in the row, whatever was decided, so that it can be looked at and undone.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from holovitals_pipelines.engine.agreement.decided_link import Decided
from holovitals_pipelines.engine.agreement.desk import Desk
from holovitals_pipelines.fhir.resource_types import PATIENT_COMPARTMENT
from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictStatus
from holovitals_pipelines.store.conflicts import StoredConflict, StoredUnit
from holovitals_pipelines.sync.facts import ConflictRecord, RecordedUnit
from holovitals_pipelines.sync.sides import Side
from holovitals_pipelines.sync.unit_paths import WHOLE
from holovitals_pipelines.sync.verdicts import as_json

DUE = {
    ConflictSeverity.CRITICAL: timedelta(hours=4),
    ConflictSeverity.HIGH: timedelta(hours=24),
    ConflictSeverity.MEDIUM: timedelta(days=7),
}
"""Target times (sync-protocol.md §4.3)."""


def conflict_row(
    desk: Desk,
    open_one: StoredConflict | None,
    one: Decided,
    record: ConflictRecord,
    conflict_id: str,
    record_id: str,
    now: datetime,
) -> dict[str, Any]:
    """The columns of `sync_conflict` for a decision's record: a new conflict, or the next revision of the open one."""
    facts = one.facts
    held = record.status is ConflictStatus.PENDING_REVIEW
    revision = 1 if open_one is None else open_one.revision + 1
    automatic = record.actor is not None and record.actor.startswith("policy:")
    resolved = one.decision.local if not held else None
    return {
        "conflict_id": conflict_id,
        "link_id": one.seen.link_id,
        "job_id": desk.job_id,
        "connection": desk.connection,
        "resource_type": one.seen.resource_type,
        "record_id": record_id,
        "type": record.type.value,
        "severity": record.severity.value,
        "status": record.status.value,
        "strategy": record.strategy.value if record.strategy else None,
        "revision": revision,
        "base_local_document": _address(facts.base_local),
        "base_remote_document": _address(facts.base_remote),
        "local_document": _address(facts.local),
        "remote_document": _address(facts.remote),
        "remote_version": one.seen.present.version if one.seen.present else None,
        "proposal_document": _address(record.proposal),
        "resolved_document": _address(resolved),
        "local_updated": facts.local_written_at,
        "remote_updated": facts.remote_written_at,
        "patient": patient_of(one),
        "rule": record.rule[:128],
        "policy_version": desk.rules.version[:64],
        "two_person": record.two_person,
        "units": record.conflicted,
        "detected_at": open_one.detected_at if open_one else now,
        "due_at": now + DUE[record.severity] if held and record.severity in DUE else None,
        "decision": None if held else (open_one.decision if open_one else None),
        "decided_by": record.actor[:64] if record.actor else None,
        "decided_at": now if record.actor else None,
        "approved_by": open_one.approved_by if open_one and not record.reopened else None,
        "reason": record.reason if held or automatic else (open_one.reason if open_one else record.reason),
        "post_review": "due" if automatic and not held and record.severity is ConflictSeverity.HIGH else None,
        "reviewed_by": None,
        "reopened": (open_one.reopened or 0) + int(record.reopened) if open_one else 0,
        "audit_seq": None,
    }


def _address(side: Side | None) -> bytes | None:
    return side.address if side is not None else None


def stored_unit(recorded: RecordedUnit) -> StoredUnit:
    unit, grade = recorded.unit, recorded.grade
    return StoredUnit(
        unit=unit.name,
        element=unit.element[:64],
        kind=unit.kind.value,
        severity=grade.severity.value if grade else None,
        rule=grade.rule[:128] if grade else None,
        base_local=as_json(unit.base_local),
        base_remote=as_json(unit.base_remote),
        local=as_json(unit.local),
        remote=as_json(unit.remote),
        strategy=recorded.strategy.value if recorded.strategy else None,
        chosen_side=recorded.side,
        chosen=as_json(recorded.chosen) if recorded.side is not None and unit.name != WHOLE else None,
        why=recorded.why or None,
    )


def patient_of(one: Decided) -> str | None:
    """The reference to the patient the resource is about; for a Patient, itself."""
    side = one.facts.local or one.facts.remote
    if side is None:
        return None
    return patient_reference(one.seen.resource_type, side)


def patient_reference(resource_type: str, side: Side) -> str | None:
    document = side.document
    if resource_type == "Patient":
        return f"Patient/{document['id']}" if "id" in document else None
    element = "patient" if "patient" in document else PATIENT_COMPARTMENT.get(resource_type, "subject")
    for name in (element, "subject", "patient"):
        reference = document.get(name)
        if isinstance(reference, dict) and isinstance(reference.get("reference"), str):
            text: str = reference["reference"]
            return text[:256]
    return None


# standing differences and news for other links
