"""The operational store's tables, for SQLite and PostgreSQL alike; docs/operational-store.md is generated from the comments.

Hashes are 16 bytes. Timestamps are UTC. `document_hash` is the hash of a body's exact bytes; `hash` beside a
`hash_version` is the canonical content hash (sync-protocol.md §3.1) by which sides are compared.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from sqlalchemy.dialects.postgresql import JSONB

from holovitals_pipelines.model.vocabulary import JobStatus

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcTimestamp(sa.types.TypeDecorator[datetime]):
    """A UTC instant: `timestamptz` on PostgreSQL; on SQLite a fixed-width text that sorts as time."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a timestamp without time zone cannot be stored")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Json = sa.JSON().with_variant(JSONB(), "postgresql")
Sequenced = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite numbers rows by itself only when the key's type is spelled INTEGER."""


def _hash(name: str, *args: Any, **kw: Any) -> Column[bytes]:
    return Column(name, LargeBinary(32), *args, **kw)


def _one_of(name: str, column: str, values: list[str]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} in ({listed})", name=name)


ehr_connection = Table(
    "ehr_connection", metadata,
    Column("name", String(64), primary_key=True),
    Column("provider", String(32), nullable=False),
    Column("base_url", Text, nullable=False),
    Column("config", Json, nullable=False, comment="the connection as declared, secrets by reference only"),
    Column("enabled", Boolean, nullable=False, default=True),
    Column("created_at", UtcTimestamp, nullable=False),
    Column("updated_at", UtcTimestamp, nullable=False),
    comment="One row a connection: a tenant at a vendor.",
)

sync_job = Table(
    "sync_job", metadata,
    Column("job_id", String(36), primary_key=True),
    Column("connection", String(64), nullable=False),
    Column("provider", String(32), nullable=False),
    Column("type", String(32), nullable=False),
    Column("direction", String(16), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("resource_types", Json, nullable=False, comment="list of the types this job covers"),
    Column("request", Json, nullable=False, comment="options and filters as asked"),
    Column("attempt", Integer, nullable=False, default=1),
    Column("run_id", String(64), comment="the Dagster run (root run of a retried group), when there is one"),
    Column("owner", String(128), comment="the worker that holds the lease: host:pid:token"),
    Column("fence", Integer, nullable=False, default=0, comment="grows with each lease; a late write with an older fence is refused"),
    Column("lease_until", UtcTimestamp),
    Column("cancel_requested", Boolean, nullable=False, default=False),
    Column("created_at", UtcTimestamp, nullable=False),
    Column("started_at", UtcTimestamp),
    Column("finished_at", UtcTimestamp),
    Column("error_code", String(64)),
    Column("error_message", Text),
    _one_of("status", "status", [s.value for s in JobStatus]),
    Index(None, "connection", "created_at"),
    Index(None, "status"),
    Index(None, "run_id"),
    comment="One row a sync job; the truth about its status.",
)

sync_job_event = Table(
    "sync_job_event", metadata,
    Column("event_id", Sequenced, primary_key=True, autoincrement=True),
    Column("job_id", String(36), ForeignKey("sync_job.job_id"), nullable=False),
    Column("at", UtcTimestamp, nullable=False),
    Column("kind", String(32), nullable=False, comment="created, moved, leased, resumed, stage, …"),
    Column("status", String(16)),
    Column("detail", Json),
    Index(None, "job_id", "event_id"),
    comment="The append-only history of every job.",
)

sync_stage = Table(
    "sync_stage", metadata,
    Column("job_id", String(36), ForeignKey("sync_job.job_id"), primary_key=True),
    Column("resource_type", String(64), primary_key=True),
    Column("stage", String(16), primary_key=True),
    Column("state", String(16), nullable=False, comment="running, done, failed"),
    Column("started_at", UtcTimestamp, nullable=False),
    Column("finished_at", UtcTimestamp),
    Column("busy_seconds", Float, nullable=False, default=0.0),
    Column("counts", Json, nullable=False, default=dict),
    Column("watermark", UtcTimestamp, comment="extract only: the vendor's clock when the read began"),
    Column("snapshot", Boolean, nullable=False, default=False, comment="extract only: everything the connection can see was read"),
    Column("error_code", String(64)),
    Column("error_message", Text),
    comment="How far each resource type of a job has come; a killed job resumes from here.",
)

extract_progress = Table(
    "extract_progress", metadata,
    Column("job_id", String(36), ForeignKey("sync_job.job_id"), primary_key=True),
    Column("cursor", Json, nullable=False),
    Column("updated_at", UtcTimestamp, nullable=False),
    comment="The adapter's cursor after the newest page whose rows are visible.",
)

landing_part = Table(
    "landing_part", metadata,
    Column("part_id", Sequenced, primary_key=True, autoincrement=True),
    Column("connection", String(64), nullable=False),
    Column("job_id", String(36), ForeignKey("sync_job.job_id"), nullable=False),
    Column("dataset", String(16), nullable=False),
    Column("resource_type", String(64), nullable=False),
    Column("path", Text, nullable=False, unique=True, comment="relative to the landing zone's root"),
    Column("rows", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("landed_at", UtcTimestamp, nullable=False),
    Index(None, "job_id", "dataset", "resource_type"),
    Index(None, "connection", "resource_type", "dataset", "landed_at"),
    comment="Every visible Parquet part of the landing zone; a file without a row here does not exist for anybody.",
)

sync_error = Table(
    "sync_error", metadata,
    Column("error_id", Sequenced, primary_key=True, autoincrement=True),
    Column("job_id", String(36), ForeignKey("sync_job.job_id"), nullable=False),
    Column("connection", String(64), nullable=False),
    Column("resource_type", String(64)),
    Column("stage", String(16), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("code", String(64), nullable=False),
    Column("message", Text, nullable=False),
    Column("remedy", Text),
    Column("source", Text, comment="file URL or URL template"),
    Column("line", Integer),
    Column("at", UtcTimestamp, nullable=False),
    Index(None, "job_id"),
    comment="Every error and warning of a job, without health data.",
)

quarantine = Table(
    "quarantine", metadata,
    Column("quarantine_id", Sequenced, primary_key=True, autoincrement=True),
    Column("job_id", String(36), ForeignKey("sync_job.job_id"), nullable=False),
    Column("connection", String(64), nullable=False),
    Column("resource_type", String(64), nullable=False),
    Column("remote_id", String(256)),
    _hash("document_hash", nullable=False, comment="the refused bytes, kept in document"),
    Column("stage", String(16), nullable=False),
    Column("rule", String(64), nullable=False),
    Column("path", Text, comment="FHIRPath of the element that broke the rule"),
    Column("message", Text, nullable=False),
    Column("remedy", Text, nullable=False),
    Column("source", Text),
    Column("line", Integer),
    Column("state", String(16), nullable=False, default="held", comment="held, released, superseded"),
    Column("at", UtcTimestamp, nullable=False),
    Index(None, "connection", "resource_type", "state"),
    Index(None, "job_id"),
    comment="Resources that were refused: kept whole, with the rule they broke and what to do.",
)

document = Table(
    "document", metadata,
    _hash("document_hash", primary_key=True, comment="first 16 bytes of sha256 over the exact bytes"),
    Column("size", Integer, nullable=False, comment="bytes before compression"),
    Column("body", LargeBinary, nullable=False, comment="zstd frame of the exact bytes as received"),
    comment="Content-addressed bodies: each distinct body once, whoever points to it.",
)

record = Table(
    "record", metadata,
    Column("record_id", String(32), primary_key=True),
    Column("resource_type", String(64), nullable=False),
    Column("origin", String(64), nullable=False, comment="the connection that first brought it, or 'local'"),
    Column("version", Integer, nullable=False, comment="grows by one with each content change"),
    Column("state", String(16), nullable=False, default="active", comment="active, deleted"),
    _hash("document_hash", nullable=False),
    _hash("hash", nullable=False),
    Column("hash_version", Integer, nullable=False),
    Column("changed_by", String(64), nullable=False, comment="connection name or local actor"),
    Column("updated_at", UtcTimestamp, nullable=False),
    Index(None, "resource_type"),
    comment="The local clinical records: canonical FHIR R4 JSON, by pointer into document.",
)

record_version = Table(
    "record_version", metadata,
    Column("record_id", String(32), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("state", String(16), nullable=False),
    _hash("document_hash", nullable=False),
    Column("changed_by", String(64), nullable=False),
    Column("job_id", String(36)),
    Column("at", UtcTimestamp, nullable=False),
    comment="Every earlier version of a record that was replaced: nothing is overwritten without its before-image.",
)

link = Table(
    "link", metadata,
    Column("link_id", String(32), primary_key=True, comment="hash of (connection, resource type, remote id)"),
    Column("connection", String(64), nullable=False),
    Column("resource_type", String(64), nullable=False),
    Column("remote_id", String(256), nullable=False),
    Column("record_id", String(32), nullable=False),
    Column("state", String(16), nullable=False, default="active", comment="active, review, unlinked, tombstone"),
    Column("linked_by", String(64), nullable=False),
    Column("linked_at", UtcTimestamp, nullable=False),
    UniqueConstraint("connection", "resource_type", "remote_id"),
    Index(None, "record_id"),
    comment="Which remote resource a record is, at each connection.",
)

shadow = Table(
    "shadow", metadata,
    Column("link_id", String(32), primary_key=True),
    _hash("local_hash", comment="canonical hash of what local held at the last agreement; null: agreed absent"),
    _hash("local_document"),
    _hash("remote_hash", comment="canonical hash of what the vendor held at the last agreement; null: agreed absent"),
    _hash("remote_document"),
    Column("hash_version", Integer, nullable=False),
    _hash("seen_document", comment="exact bytes last read from the vendor: the prefilter that skips unchanged resources"),
    Column("seen_version", String(128), comment="the vendor's version token of that reading"),
    Column("seen_updated", UtcTimestamp, comment="the vendor's meta.lastUpdated of that reading"),
    Column("seen_at", UtcTimestamp, nullable=False, comment="when that reading was landed; an older batch never overrules a newer one"),
    Column("delete_evidence", Text, comment="how the vendor said it deleted the resource, when it did"),
    comment="The two shadows of a link: what each side held when they last agreed.",
)

watermark = Table(
    "watermark", metadata,
    Column("connection", String(64), primary_key=True),
    Column("resource_type", String(64), primary_key=True),
    Column("mechanism", String(32), nullable=False),
    Column("value", UtcTimestamp, nullable=False, comment="the vendor's clock when the newest complete read began"),
    Column("job_id", String(36), nullable=False),
    Column("updated_at", UtcTimestamp, nullable=False),
    comment="From where the next incremental read of a type starts (less the overlap).",
)

sync_conflict = Table(
    "sync_conflict", metadata,
    Column("conflict_id", String(36), primary_key=True),
    Column("link_id", String(32), nullable=False),
    Column("job_id", String(36), nullable=False),
    Column("connection", String(64), nullable=False),
    Column("resource_type", String(64), nullable=False),
    Column("record_id", String(32), nullable=False),
    Column("type", String(16), nullable=False),
    Column("severity", String(16), comment="null until the kernel has graded it"),
    Column("status", String(16), nullable=False),
    Column("strategy", String(32)),
    Column("revision", Integer, nullable=False, default=1),
    _hash("base_local_document"),
    _hash("base_remote_document"),
    _hash("local_document"),
    _hash("remote_document"),
    Column("remote_version", String(128)),
    Column("detected_at", UtcTimestamp, nullable=False),
    Column("decided_by", String(64)),
    Column("decided_at", UtcTimestamp),
    Column("reason", Text),
    Index("one_open_conflict", "link_id", unique=True,
          sqlite_where=sa.text("status in ('DETECTED','PENDING_REVIEW')"),
          postgresql_where=sa.text("status in ('DETECTED','PENDING_REVIEW')")),
    Index(None, "connection", "status"),
    Index(None, "job_id"),
    comment="Every case in which both sides changed since they last agreed.",
)

sync_conflict_field = Table(
    "sync_conflict_field", metadata,
    Column("conflict_id", String(36), ForeignKey("sync_conflict.conflict_id"), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("unit", String(256), primary_key=True),
    Column("kind", String(32)),
    Column("severity", String(16)),
    Column("rule", String(128)),
    Column("chosen_side", String(16)),
    comment="The units (fields, list items, groups) in which a conflict's sides differ.",
)

sync_statistics = Table(
    "sync_statistics", metadata,
    Column("job_id", String(36), primary_key=True),
    Column("resource_type", String(64), primary_key=True),
    Column("connection", String(64), nullable=False),
    Column("provider", String(32), nullable=False),
    Column("job_type", String(32), nullable=False),
    Column("started_at", UtcTimestamp, nullable=False),
    Column("finished_at", UtcTimestamp, nullable=False),
    *[
        Column(name, BigInteger, nullable=False, default=0, comment=comment)
        for name, comment in [
            ("extracted", "resources the vendor sent, refused ones included"),
            ("created", "new records"),
            ("updated", "records that took the vendor's change"),
            ("unchanged", "same content as at the last agreement"),
            ("conflicts", "both sides changed: recorded, nothing overwritten"),
            ("quarantined", "refused and kept"),
            ("duplicates", "repeats within one read"),
            ("deletions", "delete evidence recorded"),
            ("superseded", "readings older than what is already known"),
            ("absent", "known resources a full read did not show; never a delete by itself"),
            ("bytes", "bytes received"),
        ]
    ],
    Column("extract_seconds", Float, nullable=False, default=0.0),
    Column("transform_seconds", Float, nullable=False, default=0.0),
    Column("reconcile_seconds", Float, nullable=False, default=0.0),
    Index(None, "connection", "started_at"),
    comment="One row a job and resource type: extracted = created + updated + unchanged + conflicts + quarantined + duplicates + superseded.",
)

provider_latency = Table(
    "provider_latency", metadata,
    Column("job_id", String(36), primary_key=True),
    Column("operation", String(200), primary_key=True),
    Column("connection", String(64), nullable=False),
    Column("at", UtcTimestamp, nullable=False),
    Column("requests", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("retries", Integer, nullable=False),
    Column("waited_seconds", Float, nullable=False),
    Column("received_bytes", BigInteger, nullable=False),
    Column("p50_ms", Float, nullable=False),
    Column("p95_ms", Float, nullable=False),
    Column("max_ms", Float, nullable=False),
    comment="What requests to a vendor cost, by operation template.",
)

quality_result = Table(
    "quality_result", metadata,
    Column("result_id", Sequenced, primary_key=True, autoincrement=True),
    Column("job_id", String(36), nullable=False),
    Column("connection", String(64), nullable=False),
    Column("resource_type", String(64), nullable=False),
    Column("check_name", String(128), nullable=False),
    Column("expectation", String(128), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("unexpected", BigInteger, nullable=False),
    Column("at", UtcTimestamp, nullable=False),
    Index(None, "connection", "resource_type", "at"),
    comment="Outcome of every data-quality check; counts only, never values.",
)

patient = Table(
    "patient", metadata,
    Column("patient_key", String(32), primary_key=True),
    *[Column(f"{vendor}_id", String(256)) for vendor in ("epic", "cerner", "meditech", "allscripts", "nextgen", "athena", "ecw")],
    Column("last_synced_at", UtcTimestamp),
    comment="One row a person, with the id each vendor knows them by.",
)

outbox = Table(
    "outbox", metadata,
    Column("intent_id", String(36), primary_key=True),
    Column("link_id", String(32), nullable=False),
    Column("operation", String(16), nullable=False),
    _hash("document_hash"),
    _hash("local_snapshot"),
    Column("expected_version", String(128)),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_at", UtcTimestamp),
    Column("created_at", UtcTimestamp, nullable=False),
    Index("one_live_intent", "link_id", unique=True,
          sqlite_where=sa.text("state in ('pending','inflight')"), postgresql_where=sa.text("state in ('pending','inflight')")),
    comment="Writes waiting for the vendor; at most one live intent a link.",
)

webhook_config = Table(
    "webhook_config", metadata,
    Column("webhook_id", String(36), primary_key=True),
    Column("connection", String(64), nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("config", Json, nullable=False),
    Column("created_at", UtcTimestamp, nullable=False),
    comment="Registered webhooks.",
)

webhook_log = Table(
    "webhook_log", metadata,
    Column("source", String(64), primary_key=True),
    Column("event_id", String(256), primary_key=True),
    Column("event_type", String(32), nullable=False),
    Column("status", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_at", UtcTimestamp),
    _hash("body_hash", nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("received_at", UtcTimestamp, nullable=False),
    comment="The inbox: every webhook event, stored before it is acknowledged.",
)

transformation_rule = Table(
    "transformation_rule", metadata,
    Column("rule_id", String(36), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("type", String(32), nullable=False),
    Column("provider", String(32), nullable=False),
    Column("resource_type", String(64), nullable=False),
    Column("direction", String(16), nullable=False),
    Column("priority", Integer, nullable=False, default=100),
    Column("enabled", Boolean, nullable=False, default=True),
    Column("definition", Json, nullable=False),
    comment="Transformation rules.",
)

field_mapping = Table(
    "field_mapping", metadata,
    Column("mapping_id", String(36), primary_key=True),
    Column("rule_id", String(36), ForeignKey("transformation_rule.rule_id"), nullable=False),
    Column("source_field", Text, nullable=False),
    Column("target_field", Text, nullable=False),
    Column("required", Boolean, nullable=False, default=False),
    Column("default_value", Json),
    comment="Field mappings of a transformation rule.",
)

audit_log = Table(
    "audit_log", metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcTimestamp, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("action", String(32), nullable=False),
    Column("link_id", String(32)),
    Column("record_id", String(32)),
    _hash("before_document"),
    _hash("after_document"),
    Column("cause", Text),
    Column("job_id", String(36)),
    _hash("previous_entry"),
    _hash("entry_hash", nullable=False),
    comment="Who changed what, why and from which source: append-only and hash-chained.",
)
