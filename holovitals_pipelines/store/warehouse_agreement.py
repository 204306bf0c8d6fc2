"""The warehouse's tables about how the sides come to agree: conflicts, standing differences, writes, comparisons.

Law: elements are named, units never: the name of a list item's unit holds content of the resource.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.store.conflicts import OPEN
from holovitals_pipelines.store.tables import (
    anti_entropy,
    outbox,
    standing_difference,
    sync_conflict,
    sync_conflict_field,
)
from holovitals_pipelines.store.warehouse_columns import WarehouseColumn, WarehouseTable, derive, make, take

_ELEMENT = r"'^(?:\*|_?[A-Za-z][A-Za-z0-9_]*(?:\[x\])?)'"
"""How the name of every unit begins: with its top-level element, or `*` for the whole resource."""
_IS_OPEN = "status IN (" + ", ".join(f"'{status}'" for status in OPEN) + ")"


def conflicts() -> WarehouseTable:
    c = sync_conflict.c
    return WarehouseTable(
        "conflicts",
        "One row a conflict: both sides changed since they last agreed. What merged cleanly has a row too.",
        [
            take(c.conflict_id, "the conflict"),
            take(c.link_id, "opaque id of the link"),
            take(c.record_id, "opaque id of the local record"),
            take(c.job_id, "the job that found or decided its newest revision"),
            take(c.connection, "the connection's name"),
            take(c.resource_type, "FHIR resource type"),
            take(c.type, "UPDATE_UPDATE, UPDATE_DELETE, DELETE_UPDATE, CREATE_CREATE"),
            take(c.severity, "CRITICAL, HIGH, MEDIUM, LOW; null until graded"),
            take(c.rule, "the severity rule that graded it; clean_merge: nothing contradicted"),
            take(c.status, "DETECTED, PENDING_REVIEW, RESOLVED, IGNORED"),
            take(c.strategy, "how it was resolved"),
            take(c.policy_version, "version of the policy and the severity matrix it was decided by"),
            take(c.units, "places in which the sides contradict each other; 0: merged cleanly"),
            take(c.revision, "grows when a side changes again before the decision"),
            take(c.reopened, "how often a decision met other values than it was made on", "coalesce(reopened, 0)"),
            take(c.two_person, "a person's decision counts only when a second person has approved it"),
            take(c.detected_at, "when it was first found"),
            take(c.due_at, "by when a person should have decided; null unless it waits for one"),
            take(c.decided_by, "policy:<version>, or the user name of the person who decided"),
            take(c.decided_at, "when; also of a person's decision that is not carried out yet"),
            take(c.post_review, "due, done: an automatic decision that a person looks at afterwards"),
            derive(
                "decided_how",
                "VARCHAR",
                "clean: nothing contradicted (any more), automatic: by policy, person; null while open",
                f"CASE WHEN {_IS_OPEN} THEN NULL WHEN coalesce(units, 0) = 0 THEN 'clean' "
                "WHEN starts_with(decided_by, 'policy:') THEN 'automatic' ELSE 'person' END",
            ),
            derive(
                "resolve_seconds",
                "DOUBLE",
                "from detection to the decision that was carried out; null while open",
                f"CASE WHEN NOT {_IS_OPEN} THEN epoch(decided_at) - epoch(detected_at) END",
            ),
            derive(
                "open_seconds",
                "DOUBLE",
                "from detection to the reading of this snapshot; null unless open",
                f"CASE WHEN {_IS_OPEN} THEN greatest(epoch(getvariable('as_of')) - epoch(detected_at), 0) END",
            ),
            derive(
                "due_in_seconds",
                "DOUBLE",
                "from the reading of this snapshot to the due time, negative when overdue; null unless open with one",
                f"CASE WHEN {_IS_OPEN} THEN epoch(due_at) - epoch(getvariable('as_of')) END",
            ),
            _settled(),
        ],
        changes_at="settled_at",
        replaced_by=("conflict_id",),
    )


def conflict_fields() -> WarehouseTable:
    c = sync_conflict_field.c
    return WarehouseTable(
        "conflict_fields",
        "One row a place in which the sides of a conflict differed, by element.",
        [
            take(c.conflict_id, "the conflict; see conflicts"),
            take(c.revision, "of the conflict"),
            make("newest", c.revision == sync_conflict.c.revision, "whether it is of the conflict's newest revision"),
            make("connection", sync_conflict.c.connection, "the connection's name"),
            make("resource_type", sync_conflict.c.resource_type, "FHIR resource type"),
            take(
                c.element,
                "the top-level element it lies in; * is the whole resource",
                f"nullif(regexp_extract(coalesce(element, ''), {_ELEMENT}), '')",
            ),
            take(c.kind, "conflict, or how it was joined: pulled, pushed, agreed, standing"),
            take(c.severity, "of this place alone; null where it needed none"),
            take(c.rule, "the severity rule that fired"),
            take(c.strategy, "the strategy that decided it"),
            take(c.chosen_side, "local, remote or value: which the decision took"),
            _settled(),
        ],
        where=c.conflict_id == sync_conflict.c.conflict_id,
        changes_at="settled_at",
        replaced_by=("conflict_id",),
    )


def _settled() -> WarehouseColumn:
    """Null for a conflict that may still change: it is read anew by every snapshot."""
    c = sync_conflict.c
    may_change = sa.or_(c.status.in_(OPEN), c.post_review.is_not(None))
    settled: sa.ColumnElement[Any] = sa.case((may_change, sa.null()), else_=c.decided_at)
    return make(
        "settled_at",
        sa.type_coerce(settled, c.decided_at.type),
        "when the conflict was decided for good; null while it may still change",
    )


def standing_differences() -> WarehouseTable:
    c = standing_difference.c
    return WarehouseTable(
        "standing_differences",
        "One row a place in which local and vendor differ and stay so, because the vendor cannot be written there.",
        [
            take(c.connection, "the connection's name"),
            take(c.resource_type, "FHIR resource type"),
            take(c.record_id, "opaque id of the local record"),
            make("element", c.unit, "the top-level element it lies in; * is the whole resource",
                 f"regexp_extract(element, {_ELEMENT})"),
            take(c.severity, "CRITICAL, HIGH, MEDIUM, LOW"),
            take(c.reason),
            take(c.since, "since when"),
        ],
    )  # fmt: skip


def writes() -> WarehouseTable:
    c = outbox.c
    return WarehouseTable(
        "writes",
        "One row a write to a vendor, waiting or over.",
        [
            take(c.intent_id, "the write"),
            take(c.connection, "the connection's name"),
            take(c.resource_type, "FHIR resource type"),
            take(c.record_id, "opaque id of the local record"),
            take(c.job_id, "the job that decided it"),
            take(c.operation),
            take(c.state, "pending, inflight, done, superseded (decided anew before or instead), failed"),
            take(c.attempts, "how often it was sent"),
            take(c.guarded, "whether the vendor was told which version to replace; null until sent"),
            take(c.error_code, "why it failed, or was put off last"),
            take(c.created_at, "when it was decided"),
            take(c.next_at, "not to be sent again before"),
            take(c.finished_at, "when it was over; null while it waits"),
            derive(
                "seconds",
                "DOUBLE",
                "from the decision to the end; null while it waits",
                "epoch(finished_at) - epoch(created_at)",
            ),
        ],
        changes_at="finished_at",
        replaced_by=("intent_id",),
    )


def comparisons() -> WarehouseTable:
    comments = {
        "job_id": "the job; see sync_jobs",
        "resource_type": "FHIR resource type",
        "connection": "the connection's name",
        "at": "when the comparison ended",
    }
    columns = [take(column, comments.get(column.name, "")) for column in anti_entropy.c]
    return WarehouseTable(
        "anti_entropy",
        "One row a resource type of a job that compared both sides in full: what the ordinary way had missed.",
        columns,
        changes_at="at",
        replaced_by=("job_id",),
    )
