"""The warehouse's tables: their stable names, their columns, and where each value comes from.

Law: no body, no vendor id and no free text of a person is in the warehouse; link and record ids are opaque.
docs/warehouse.md is generated from here.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256

import sqlalchemy as sa

from holovitals_pipelines.store.tables import (
    link,
    provider_latency,
    quality_result,
    quarantine,
    sync_error,
    sync_statistics,
    watermark,
)
from holovitals_pipelines.store.warehouse_agreement import (
    comparisons,
    conflict_fields,
    conflicts,
    standing_differences,
    writes,
)
from holovitals_pipelines.store.warehouse_columns import WarehouseTable, derive, make, take
from holovitals_pipelines.store.warehouse_identity import person_members, person_proposals
from holovitals_pipelines.store.warehouse_operations import sync_jobs, webhook_events


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
        "write_back_seconds": "seconds of work reading marked links, deciding and writing",
    }
    total = derive(
        "total_seconds",
        "DOUBLE",
        "seconds of work in all stages",
        "extract_seconds + transform_seconds + reconcile_seconds + write_back_seconds",
    )
    return WarehouseTable(
        "sync_statistics",
        "What became of the resources of one type in one job: extracted = created + updated + unchanged + conflicts + "
        "quarantined + duplicates + superseded.",
        [*(take(column, comments.get(column.name, "")) for column in c), total],
        changes_at="finished_at",
        replaced_by=("job_id",),
    )


def _errors() -> WarehouseTable:
    comments = {
        "job_id": "the job; see sync_jobs",
        "connection": "the connection's name",
        "resource_type": "FHIR resource type, where it concerns one",
        "stage": "extract, transform, reconcile or write_back",
        "severity": "CRITICAL, ERROR, WARNING",
        "code": "stable and greppable",
        "message": "what happened",
        "remedy": "what to do about it",
        "line": "line of the source, where it is a file",
        "at": "when",
    }
    columns = [take(column, comments.get(column.name, "")) for column in sync_error.c if column.name != "error_id"]
    return WarehouseTable("sync_errors", "Every error and warning of every job.", columns, changes_at="at")


def _record_counts() -> WarehouseTable:
    c = link.c
    return WarehouseTable(
        "record_counts",
        "How many records of each type are linked to each connection.",
        [
            take(c.connection, "the connection's name"),
            take(c.resource_type, "FHIR resource type"),
            make("records", sa.func.count(c.record_id.distinct()), "local records with an active link"),
            make("links", sa.func.count(), "active links: resources known at the vendor"),
            derive("as_of", "TIMESTAMPTZ", "when they were counted", "getvariable('as_of')"),
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
    columns = [take(column, comments[column.name]) for column in quality_result.c if column.name != "result_id"]
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
            *(take(column, comment) for column, comment in zip(places, comments, strict=True)),
            make("resources", sa.func.count(), "how many"),
            make("first_at", sa.func.min(c.at), "when the first was refused"),
            make("last_at", sa.func.max(c.at), "when the last was refused"),
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
    columns = [take(column, comments.get(column.name, "")) for column in watermark.c]
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
    columns = [take(column, comments[column.name]) for column in provider_latency.c]
    return WarehouseTable(
        "provider_latency",
        "What requests to vendors cost, by job.",
        columns,
        changes_at="at",
        replaced_by=("job_id", "operation"),
    )


@cache
def warehouse_tables() -> tuple[WarehouseTable, ...]:
    """Every table, in the order people read about them."""
    return (
        _statistics(),
        sync_jobs(),
        _errors(),
        conflicts(),
        conflict_fields(),
        standing_differences(),
        writes(),
        comparisons(),
        person_members(),
        person_proposals(),
        _record_counts(),
        _quality_results(),
        _quarantine(),
        _watermarks(),
        _provider_latency(),
        webhook_events(),
    )


def schema_version() -> str:
    """Changes when any table does: a snapshot of another version is not built upon."""
    text = "\n".join(statement for table in warehouse_tables() for statement in table.create_sql())
    return sha256((text + "".join(table.insert_sql("x") for table in warehouse_tables())).encode()).hexdigest()[:16]
