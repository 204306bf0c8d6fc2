"""The warehouse's tables: their stable names, their columns, and where each value comes from.

Law: no body, no vendor id and no free text of a person is in the warehouse; link and record ids are opaque hashes.
docs/warehouse.md is generated from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any, Literal

import pyarrow as pa
import sqlalchemy as sa

from holovitals_pipelines.store.tables import (
    link,
    provider_latency,
    quality_result,
    quarantine,
    sync_conflict,
    sync_conflict_field,
    sync_error,
    sync_job,
    sync_statistics,
    watermark,
    webhook_log,
)

Kind = Literal["VARCHAR", "VARCHAR[]", "BIGINT", "DOUBLE", "BOOLEAN", "TIMESTAMPTZ"]

_ARROW: dict[str, pa.DataType] = {
    "VARCHAR": pa.string(),
    "VARCHAR[]": pa.string(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMPTZ": pa.timestamp("us", "UTC"),
}


@dataclass(frozen=True, slots=True, eq=False)
class WarehouseColumn:
    name: str
    kind: Kind
    comment: str
    source: sa.ColumnElement[Any] | None
    """In the operational store; None for a column made of others."""
    expression: str
    """DuckDB SQL over the incoming columns."""


@dataclass(frozen=True, slots=True, eq=False)
class WarehouseTable:
    name: str
    comment: str
    columns: Sequence[WarehouseColumn]
    where: sa.ColumnElement[bool] | None = None
    group_by: Sequence[sa.ColumnElement[Any]] = ()
    changes_at: str | None = None
    """The column that takes a new instant (or null) whenever a row changes: older rows can be copied from the previous
    snapshot. None: the table is built anew each time."""

    @property
    def incoming(self) -> list[WarehouseColumn]:
        return [column for column in self.columns if column.source is not None]

    def select(self) -> sa.Select[Any]:
        query = sa.select(*(column.source.label(column.name) for column in self.incoming if column.source is not None))
        if self.where is not None:
            query = query.where(self.where)
        return query.group_by(*self.group_by)

    def arrow_schema(self) -> pa.Schema:
        return pa.schema([(column.name, _ARROW[column.kind]) for column in self.incoming])

    def insert_sql(self, relation: str) -> str:
        expressions = ", ".join(f'{column.expression} AS "{column.name}"' for column in self.columns)
        return f'INSERT INTO "{self.name}" SELECT {expressions} FROM {relation}'  # noqa: S608 our own names

    def create_sql(self) -> list[str]:
        columns = ", ".join(f'"{column.name}" {column.kind}' for column in self.columns)
        return [
            f'CREATE TABLE "{self.name}" ({columns})',
            f'COMMENT ON TABLE "{self.name}" IS {_literal(self.comment)}',
            *(
                f'COMMENT ON COLUMN "{self.name}"."{column.name}" IS {_literal(column.comment)}'
                for column in self.columns
            ),
        ]


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _take(source: sa.ColumnElement[Any], comment: str = "", expression: str | None = None) -> WarehouseColumn:
    """A column taken over under its own name; its comment is the operational column's unless given."""
    assert isinstance(source, sa.Column)
    return _make(source.name, source, comment or source.comment or "", expression)


def _make(
    name: str, source: sa.ColumnElement[Any], comment: str, expression: str | None = None, kind: Kind | None = None
) -> WarehouseColumn:
    return WarehouseColumn(name, kind or _kind(source.type), comment, source, expression or f'"{name}"')


def _derive(name: str, kind: Kind, comment: str, expression: str) -> WarehouseColumn:
    return WarehouseColumn(name, kind, comment, None, expression)


def _kind(source: sa.types.TypeEngine[Any]) -> Kind:
    if isinstance(source, sa.types.TypeDecorator):
        return "TIMESTAMPTZ"
    if isinstance(source, sa.Boolean):
        return "BOOLEAN"
    if isinstance(source, sa.Integer):
        return "BIGINT"
    if isinstance(source, sa.Float):
        return "DOUBLE"
    return "VARCHAR"


def _statistics() -> WarehouseTable:
    c = sync_statistics.c
    comments = {
        "job_id": "the job; see sync_jobs",
        "resource_type": "FHIR resource type",
        "connection": "the connection's name",
        "provider": "the vendor kind",
        "job_type": "FULL_SYNC, INCREMENTAL_SYNC, …",
        "started_at": "when the job started",
        "finished_at": "when the job's statistics were last written",
        "extract_seconds": "seconds of work reading from the vendor",
        "transform_seconds": "seconds of work validating and hashing",
        "reconcile_seconds": "seconds of work deciding and committing",
    }
    total = _derive(
        "total_seconds",
        "DOUBLE",
        "seconds of work in all three stages",
        "extract_seconds + transform_seconds + reconcile_seconds",
    )
    return WarehouseTable(
        "sync_statistics",
        "What became of the resources of one type in one job: extracted = created + updated + unchanged + conflicts + "
        "quarantined + duplicates + superseded.",
        [*(_take(column, comments.get(column.name, "")) for column in c), total],
        changes_at="finished_at",
    )


def _jobs() -> WarehouseTable:
    c = sync_job.c
    return WarehouseTable(
        "sync_jobs",
        "One row a sync job.",
        [
            _take(c.job_id, "the job"),
            _take(c.connection, "the connection's name"),
            _take(c.provider, "the vendor kind"),
            _take(c.type, "FULL_SYNC, INCREMENTAL_SYNC, …"),
            _take(c.direction, "INBOUND, OUTBOUND, BIDIRECTIONAL"),
            _take(c.priority, "1 critical to 5 background"),
            _take(c.status, "PENDING, QUEUED, PROCESSING, COMPLETED, FAILED, CANCELLED, RETRYING"),
            _make(
                "resource_types",
                sa.cast(c.resource_types, sa.Text),
                "the types the job covers",
                "from_json(resource_types, '[\"VARCHAR\"]')",
                "VARCHAR[]",
            ),
            _take(c.attempt, "1 for the first attempt"),
            _take(c.run_id, "the Dagster run, when there is one"),
            _take(c.created_at, "when the job was asked for"),
            _take(c.started_at, "when work on it began"),
            _take(c.finished_at, "when it ended; null while it has not"),
            _derive(
                "duration_seconds",
                "DOUBLE",
                "from the start to the end, waits between attempts included",
                "epoch(finished_at) - epoch(started_at)",
            ),
            _take(c.error_code, "why it failed"),
            _take(c.error_message, "the same in a sentence, without health data"),
        ],
        changes_at="finished_at",
    )


def _errors() -> WarehouseTable:
    comments = {
        "job_id": "the job; see sync_jobs",
        "connection": "the connection's name",
        "resource_type": "FHIR resource type, where it concerns one",
        "stage": "extract, transform or reconcile",
        "severity": "CRITICAL, ERROR, WARNING",
        "code": "stable and greppable",
        "message": "what happened",
        "remedy": "what to do about it",
        "line": "line of the source, where it is a file",
        "at": "when",
    }
    columns = [_take(column, comments.get(column.name, "")) for column in sync_error.c if column.name != "error_id"]
    return WarehouseTable("sync_errors", "Every error and warning of every job.", columns, changes_at="at")


def _conflicts() -> WarehouseTable:
    c = sync_conflict.c
    return WarehouseTable(
        "conflicts",
        "One row a conflict: both sides changed since they last agreed.",
        [
            _take(c.conflict_id, "the conflict"),
            _take(c.link_id, "opaque id of the link"),
            _take(c.record_id, "opaque id of the local record"),
            _take(c.job_id, "the job that found its newest revision"),
            _take(c.connection, "the connection's name"),
            _take(c.resource_type, "FHIR resource type"),
            _take(c.type, "UPDATE_UPDATE, UPDATE_DELETE, DELETE_UPDATE, CREATE_CREATE"),
            _take(c.severity, "CRITICAL, HIGH, MEDIUM, LOW; null until graded"),
            _take(c.status, "DETECTED, PENDING_REVIEW, RESOLVED, IGNORED"),
            _take(c.strategy, "how it was resolved"),
            _take(c.revision, "grows when a side changes again before the decision"),
            _take(c.detected_at, "when the newest revision was found"),
            _take(c.decided_by, "who decided: a policy or a person's user name"),
            _take(c.decided_at, "when"),
            _derive(
                "open_seconds",
                "DOUBLE",
                "from detection to decision; null while open",
                "epoch(decided_at) - epoch(detected_at)",
            ),
        ],
    )


def _conflict_fields() -> WarehouseTable:
    c = sync_conflict_field.c
    return WarehouseTable(
        "conflict_fields",
        "The places in which the sides of a conflict differ.",
        [
            _take(c.conflict_id, "the conflict; see conflicts"),
            _take(c.revision, "of the conflict"),
            _take(
                c.unit,
                "element, list item or group; what identifies a list item is left out: telecom[]",
                r"regexp_replace(unit, '\[[^\]]*\]', '[]', 'g')",
            ),
            _take(c.kind, "how the sides differ there"),
            _take(c.severity, "of this unit alone"),
            _take(c.rule, "the severity rule that fired"),
            _take(c.chosen_side, "which side the decision took"),
        ],
    )


def _record_counts() -> WarehouseTable:
    c = link.c
    return WarehouseTable(
        "record_counts",
        "How many records of each type are linked to each connection.",
        [
            _take(c.connection, "the connection's name"),
            _take(c.resource_type, "FHIR resource type"),
            _make("records", sa.func.count(c.record_id.distinct()), "local records with an active link"),
            _make("links", sa.func.count(), "active links: resources known at the vendor"),
            _derive("as_of", "TIMESTAMPTZ", "when they were counted", "getvariable('as_of')"),
        ],
        where=c.state == "active",
        group_by=(c.connection, c.resource_type),
    )


def _quality_results() -> WarehouseTable:
    comments = {
        "job_id": "the job whose records were checked",
        "connection": "the connection's name",
        "resource_type": "FHIR resource type",
        "check_name": "name of the check",
        "expectation": "what was expected",
        "severity": "CRITICAL, ERROR, WARNING",
        "passed": "whether it held",
        "rows": "records looked at",
        "unexpected": "records that broke it",
        "at": "when",
    }
    columns = [_take(column, comments[column.name]) for column in quality_result.c if column.name != "result_id"]
    return WarehouseTable("quality_results", "Outcome of every data-quality check.", columns, changes_at="at")


def _quarantine() -> WarehouseTable:
    c = quarantine.c
    places = (c.connection, c.resource_type, c.stage, c.rule, c.path, c.state)
    comments = (
        "the connection's name",
        "FHIR resource type",
        "the stage that refused them",
        "the rule they broke",
        "the element that broke it",
        "held, released, superseded",
    )
    return WarehouseTable(
        "quarantine",
        "Refused resources, counted by the rule they broke and where.",
        [
            *(_take(column, comment) for column, comment in zip(places, comments, strict=True)),
            _make("resources", sa.func.count(), "how many"),
            _make("first_at", sa.func.min(c.at), "when the first was refused"),
            _make("last_at", sa.func.max(c.at), "when the last was refused"),
        ],
        group_by=places,
    )


def _watermarks() -> WarehouseTable:
    comments = {
        "connection": "the connection's name",
        "resource_type": "FHIR resource type",
        "mechanism": "how changes of the type are found at the vendor",
        "job_id": "the job that set it",
        "updated_at": "when",
    }
    columns = [_take(column, comments.get(column.name, "")) for column in watermark.c]
    return WarehouseTable("watermarks", "From where the next incremental read of a type starts.", columns)


def _provider_latency() -> WarehouseTable:
    comments = {
        "job_id": "the job; see sync_jobs",
        "operation": "the kind of request, ids left out",
        "connection": "the connection's name",
        "at": "when the job last wrote it",
        "requests": "how many were made",
        "failures": "how many failed",
        "retries": "how many were repeats",
        "waited_seconds": "seconds of waiting that the vendor asked for",
        "received_bytes": "bytes received",
        "p50_ms": "half of the requests took no longer, milliseconds",
        "p95_ms": "95 of 100 took no longer, milliseconds",
        "max_ms": "the longest, milliseconds",
    }
    columns = [_take(column, comments[column.name]) for column in provider_latency.c]
    return WarehouseTable("provider_latency", "What requests to vendors cost, by job.", columns, changes_at="at")


def _webhook_events() -> WarehouseTable:
    c = webhook_log.c
    return WarehouseTable(
        "webhook_events",
        "One row a received webhook event, without its body and the vendor's event id.",
        [
            _take(c.source, "who sent it"),
            _take(c.event_type, "PATIENT_UPDATED, …"),
            _take(c.status, "RECEIVED, VALIDATED, PROCESSING, COMPLETED, FAILED, RETRYING, IGNORED"),
            _take(c.attempts, "how often it was processed"),
            _take(c.next_at, "when it will be processed again"),
            _take(c.received_at, "when it was stored"),
        ],
    )


@cache
def warehouse_tables() -> tuple[WarehouseTable, ...]:
    """Every table, in the order people read about them."""
    return (
        _statistics(),
        _jobs(),
        _errors(),
        _conflicts(),
        _conflict_fields(),
        _record_counts(),
        _quality_results(),
        _quarantine(),
        _watermarks(),
        _provider_latency(),
        _webhook_events(),
    )


def schema_version() -> str:
    """Changes when any table does: a snapshot of another version is not built upon."""
    text = "\n".join(statement for table in warehouse_tables() for statement in table.create_sql())
    return sha256((text + "".join(table.insert_sql("x") for table in warehouse_tables())).encode()).hexdigest()[:16]
