# ruff: noqa: E501
"""All tables of the operational store."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("link_id", sa.String(length=32), nullable=True),
        sa.Column("record_id", sa.String(length=32), nullable=True),
        sa.Column("before_document", sa.LargeBinary(length=32), nullable=True),
        sa.Column("after_document", sa.LargeBinary(length=32), nullable=True),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("job_id", sa.String(length=36), nullable=True),
        sa.Column("previous_entry", sa.LargeBinary(length=32), nullable=True),
        sa.Column("entry_hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_log")),
        comment="Who changed what, why and from which source: append-only and hash-chained.",
    )
    op.create_table(
        "document",
        sa.Column(
            "document_hash",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="first 16 bytes of sha256 over the exact bytes",
        ),
        sa.Column("size", sa.Integer(), nullable=False, comment="bytes before compression"),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="zstd frame of the exact bytes as received"),
        sa.PrimaryKeyConstraint("document_hash", name=op.f("pk_document")),
        comment="Content-addressed bodies: each distinct body once, whoever points to it.",
    )
    op.create_table(
        "ehr_connection",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column(
            "config",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="the connection as declared, secrets by reference only",
        ),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_ehr_connection")),
        comment="One row a connection: a tenant at a vendor.",
    )
    op.create_table(
        "link",
        sa.Column(
            "link_id", sa.String(length=32), nullable=False, comment="hash of (connection, resource type, remote id)"
        ),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column("remote_id", sa.String(length=256), nullable=False),
        sa.Column("record_id", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False, comment="active, review, unlinked, tombstone"),
        sa.Column("linked_by", sa.String(length=64), nullable=False),
        sa.Column("linked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("link_id", name=op.f("pk_link")),
        comment="Which remote resource a record is, at each connection.",
    )
    op.create_index(
        "ix_link_known",
        "link",
        ["connection", "resource_type", "link_id", "remote_id", "record_id", "state"],
        unique=False,
    )
    op.create_index(op.f("ix_link_record_id"), "link", ["record_id"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("intent_id", sa.String(length=36), nullable=False),
        sa.Column("link_id", sa.String(length=32), nullable=False),
        sa.Column("operation", sa.String(length=16), nullable=False),
        sa.Column("document_hash", sa.LargeBinary(length=32), nullable=True),
        sa.Column("local_snapshot", sa.LargeBinary(length=32), nullable=True),
        sa.Column("expected_version", sa.String(length=128), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("intent_id", name=op.f("pk_outbox")),
        comment="Writes waiting for the vendor; at most one live intent a link.",
    )
    op.create_index(op.f("ix_outbox_state_next_at"), "outbox", ["state", "next_at"], unique=False)
    op.create_index(
        "one_live_intent",
        "outbox",
        ["link_id"],
        unique=True,
        sqlite_where=sa.text("state in ('pending','inflight')"),
        postgresql_where=sa.text("state in ('pending','inflight')"),
    )
    op.create_table(
        "patient",
        sa.Column("patient_key", sa.String(length=32), nullable=False),
        sa.Column("epic_id", sa.String(length=256), nullable=True),
        sa.Column("cerner_id", sa.String(length=256), nullable=True),
        sa.Column("meditech_id", sa.String(length=256), nullable=True),
        sa.Column("allscripts_id", sa.String(length=256), nullable=True),
        sa.Column("nextgen_id", sa.String(length=256), nullable=True),
        sa.Column("athena_id", sa.String(length=256), nullable=True),
        sa.Column("ecw_id", sa.String(length=256), nullable=True),
        sa.Column("last_synced_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("patient_key", name=op.f("pk_patient")),
        comment="One row a person, with the id each vendor knows them by.",
    )
    op.create_table(
        "provider_latency",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("operation", sa.String(length=200), nullable=False),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("waited_seconds", sa.Float(), nullable=False),
        sa.Column("received_bytes", sa.BigInteger(), nullable=False),
        sa.Column("p50_ms", sa.Float(), nullable=False),
        sa.Column("p95_ms", sa.Float(), nullable=False),
        sa.Column("max_ms", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "operation", name=op.f("pk_provider_latency")),
        comment="What requests to a vendor cost, by operation template.",
    )
    op.create_index(op.f("ix_provider_latency_at"), "provider_latency", ["at"], unique=False)
    op.create_table(
        "quality_result",
        sa.Column(
            "result_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column("check_name", sa.String(length=128), nullable=False),
        sa.Column("expectation", sa.String(length=128), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("unexpected", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("result_id", name=op.f("pk_quality_result")),
        comment="Outcome of every data-quality check; counts only, never values.",
    )
    op.create_index(op.f("ix_quality_result_at"), "quality_result", ["at"], unique=False)
    op.create_index(
        op.f("ix_quality_result_connection_resource_type_at"),
        "quality_result",
        ["connection", "resource_type", "at"],
        unique=False,
    )
    op.create_table(
        "record",
        sa.Column("record_id", sa.String(length=32), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column(
            "origin", sa.String(length=64), nullable=False, comment="the connection that first brought it, or 'local'"
        ),
        sa.Column("version", sa.Integer(), nullable=False, comment="grows by one with each content change"),
        sa.Column("state", sa.String(length=16), nullable=False, comment="active, deleted"),
        sa.Column("document_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("hash_version", sa.Integer(), nullable=False),
        sa.Column("changed_by", sa.String(length=64), nullable=False, comment="connection name or local actor"),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("record_id", name=op.f("pk_record")),
        comment="The local clinical records: canonical FHIR R4 JSON, by pointer into document.",
    )
    op.create_index(op.f("ix_record_resource_type"), "record", ["resource_type"], unique=False)
    op.create_table(
        "record_version",
        sa.Column("record_id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("document_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("changed_by", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("record_id", "version", name=op.f("pk_record_version")),
        comment="Every earlier version of a record that was replaced: nothing is overwritten without its before-image.",
    )
    op.create_table(
        "shadow",
        sa.Column("link_id", sa.String(length=32), nullable=False),
        sa.Column(
            "local_hash",
            sa.LargeBinary(length=32),
            nullable=True,
            comment="canonical hash of what local held at the last agreement; null: agreed absent",
        ),
        sa.Column("local_document", sa.LargeBinary(length=32), nullable=True),
        sa.Column(
            "remote_hash",
            sa.LargeBinary(length=32),
            nullable=True,
            comment="canonical hash of what the vendor held at the last agreement; null: agreed absent",
        ),
        sa.Column("remote_document", sa.LargeBinary(length=32), nullable=True),
        sa.Column("hash_version", sa.Integer(), nullable=False),
        sa.Column(
            "seen_document",
            sa.LargeBinary(length=32),
            nullable=True,
            comment="exact bytes last read from the vendor: the prefilter that skips unchanged resources",
        ),
        sa.Column(
            "seen_version", sa.String(length=128), nullable=True, comment="the vendor's version token of that reading"
        ),
        sa.Column(
            "seen_updated",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="the vendor's meta.lastUpdated of that reading",
        ),
        sa.Column(
            "seen_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when that reading was landed; an older batch never overrules a newer one",
        ),
        sa.Column(
            "delete_evidence",
            sa.Text(),
            nullable=True,
            comment="how the vendor said it deleted the resource, when it did",
        ),
        sa.PrimaryKeyConstraint("link_id", name=op.f("pk_shadow")),
        comment="The two shadows of a link: what each side held when they last agreed.",
    )
    op.create_table(
        "sync_conflict",
        sa.Column("conflict_id", sa.String(length=36), nullable=False),
        sa.Column("link_id", sa.String(length=32), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column("record_id", sa.String(length=32), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=True, comment="null until the kernel has graded it"),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("strategy", sa.String(length=32), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("base_local_document", sa.LargeBinary(length=32), nullable=True),
        sa.Column("base_remote_document", sa.LargeBinary(length=32), nullable=True),
        sa.Column("local_document", sa.LargeBinary(length=32), nullable=True),
        sa.Column("remote_document", sa.LargeBinary(length=32), nullable=True),
        sa.Column("remote_version", sa.String(length=128), nullable=True),
        sa.Column("detected_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.String(length=64), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("conflict_id", name=op.f("pk_sync_conflict")),
        comment="Every case in which both sides changed since they last agreed.",
    )
    op.create_index(op.f("ix_sync_conflict_connection_status"), "sync_conflict", ["connection", "status"], unique=False)
    op.create_index(op.f("ix_sync_conflict_job_id"), "sync_conflict", ["job_id"], unique=False)
    op.create_index(
        "one_open_conflict",
        "sync_conflict",
        ["link_id"],
        unique=True,
        sqlite_where=sa.text("status in ('DETECTED','PENDING_REVIEW')"),
        postgresql_where=sa.text("status in ('DETECTED','PENDING_REVIEW')"),
    )
    op.create_table(
        "sync_job",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("direction", sa.String(length=16), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column(
            "resource_types",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="list of the types this job covers",
        ),
        sa.Column(
            "request",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="options and filters as asked",
        ),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column(
            "run_id",
            sa.String(length=64),
            nullable=True,
            comment="the Dagster run (root run of a retried group), when there is one",
        ),
        sa.Column(
            "owner", sa.String(length=128), nullable=True, comment="the worker that holds the lease: host:pid:token"
        ),
        sa.Column(
            "fence",
            sa.Integer(),
            nullable=False,
            comment="grows with each lease; a late write with an older fence is refused",
        ),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "status in ('PENDING', 'QUEUED', 'PROCESSING', 'COMPLETED', 'FAILED', 'CANCELLED', 'RETRYING')",
            name=op.f("ck_sync_job_status"),
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_sync_job")),
        comment="One row a sync job; the truth about its status.",
    )
    op.create_index(op.f("ix_sync_job_connection_created_at"), "sync_job", ["connection", "created_at"], unique=False)
    op.create_index(op.f("ix_sync_job_finished_at"), "sync_job", ["finished_at"], unique=False)
    op.create_index(op.f("ix_sync_job_run_id"), "sync_job", ["run_id"], unique=False)
    op.create_index(op.f("ix_sync_job_status"), "sync_job", ["status"], unique=False)
    op.create_table(
        "sync_statistics",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("job_type", sa.String(length=32), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "extracted", sa.BigInteger(), nullable=False, comment="resources the vendor sent, refused ones included"
        ),
        sa.Column("created", sa.BigInteger(), nullable=False, comment="new records"),
        sa.Column("updated", sa.BigInteger(), nullable=False, comment="records that took the vendor's change"),
        sa.Column("unchanged", sa.BigInteger(), nullable=False, comment="same content as at the last agreement"),
        sa.Column(
            "conflicts", sa.BigInteger(), nullable=False, comment="both sides changed: recorded, nothing overwritten"
        ),
        sa.Column("quarantined", sa.BigInteger(), nullable=False, comment="refused and kept"),
        sa.Column("duplicates", sa.BigInteger(), nullable=False, comment="repeats within one read"),
        sa.Column("deletions", sa.BigInteger(), nullable=False, comment="delete evidence recorded"),
        sa.Column("superseded", sa.BigInteger(), nullable=False, comment="readings older than what is already known"),
        sa.Column(
            "absent",
            sa.BigInteger(),
            nullable=False,
            comment="known resources a full read did not show; never a delete by itself",
        ),
        sa.Column("bytes", sa.BigInteger(), nullable=False, comment="bytes received"),
        sa.Column("extract_seconds", sa.Float(), nullable=False),
        sa.Column("transform_seconds", sa.Float(), nullable=False),
        sa.Column("reconcile_seconds", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "resource_type", name=op.f("pk_sync_statistics")),
        comment="One row a job and resource type: extracted = created + updated + unchanged + conflicts + quarantined + duplicates + superseded.",
    )
    op.create_index(
        op.f("ix_sync_statistics_connection_started_at"), "sync_statistics", ["connection", "started_at"], unique=False
    )
    op.create_index(op.f("ix_sync_statistics_finished_at"), "sync_statistics", ["finished_at"], unique=False)
    op.create_table(
        "transformation_rule",
        sa.Column("rule_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column("direction", sa.String(length=16), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("definition", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("rule_id", name=op.f("pk_transformation_rule")),
        comment="Transformation rules.",
    )
    op.create_table(
        "watermark",
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column("mechanism", sa.String(length=32), nullable=False),
        sa.Column(
            "value",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="the vendor's clock when the newest complete read began",
        ),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("connection", "resource_type", name=op.f("pk_watermark")),
        comment="From where the next incremental read of a type starts (less the overlap).",
    )
    op.create_table(
        "webhook_config",
        sa.Column("webhook_id", sa.String(length=36), nullable=False),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("config", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("webhook_id", name=op.f("pk_webhook_config")),
        comment="Registered webhooks.",
    )
    op.create_table(
        "webhook_log",
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("event_id", sa.String(length=256), nullable=False),
        sa.Column("event_type", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("body_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "event_id", name=op.f("pk_webhook_log")),
        comment="The inbox: every webhook event, stored before it is acknowledged.",
    )
    op.create_index(op.f("ix_webhook_log_status_next_at"), "webhook_log", ["status", "next_at"], unique=False)
    op.create_table(
        "extract_progress",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("cursor", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["sync_job.job_id"], name=op.f("fk_extract_progress_job_id")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_extract_progress")),
        comment="The adapter's cursor after the newest page whose rows are visible.",
    )
    op.create_table(
        "field_mapping",
        sa.Column("mapping_id", sa.String(length=36), nullable=False),
        sa.Column("rule_id", sa.String(length=36), nullable=False),
        sa.Column("source_field", sa.Text(), nullable=False),
        sa.Column("target_field", sa.Text(), nullable=False),
        sa.Column("required", sa.Boolean(), nullable=False),
        sa.Column("default_value", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.ForeignKeyConstraint(["rule_id"], ["transformation_rule.rule_id"], name=op.f("fk_field_mapping_rule_id")),
        sa.PrimaryKeyConstraint("mapping_id", name=op.f("pk_field_mapping")),
        comment="Field mappings of a transformation rule.",
    )
    op.create_table(
        "landing_part",
        sa.Column("part_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("dataset", sa.String(length=16), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False, comment="relative to the landing zone's root"),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("landed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["sync_job.job_id"], name=op.f("fk_landing_part_job_id")),
        sa.PrimaryKeyConstraint("part_id", name=op.f("pk_landing_part")),
        sa.UniqueConstraint("path", name=op.f("uq_landing_part_path")),
        comment="Every visible Parquet part of the landing zone; a file without a row here does not exist for anybody.",
    )
    op.create_index(
        op.f("ix_landing_part_connection_resource_type_dataset_landed_at"),
        "landing_part",
        ["connection", "resource_type", "dataset", "landed_at"],
        unique=False,
    )
    op.create_index(
        op.f("ix_landing_part_job_id_dataset_resource_type"),
        "landing_part",
        ["job_id", "dataset", "resource_type"],
        unique=False,
    )
    op.create_table(
        "quarantine",
        sa.Column(
            "quarantine_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column("remote_id", sa.String(length=256), nullable=True),
        sa.Column(
            "document_hash", sa.LargeBinary(length=32), nullable=False, comment="the refused bytes, kept in document"
        ),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=True, comment="FHIRPath of the element that broke the rule"),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False, comment="held, released, superseded"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["sync_job.job_id"], name=op.f("fk_quarantine_job_id")),
        sa.PrimaryKeyConstraint("quarantine_id", name=op.f("pk_quarantine")),
        comment="Resources that were refused: kept whole, with the rule they broke and what to do.",
    )
    op.create_index(
        op.f("ix_quarantine_connection_resource_type_state_remote_id"),
        "quarantine",
        ["connection", "resource_type", "state", "remote_id"],
        unique=False,
    )
    op.create_index(op.f("ix_quarantine_job_id"), "quarantine", ["job_id"], unique=False)
    op.create_table(
        "sync_conflict_field",
        sa.Column("conflict_id", sa.String(length=36), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("unit", sa.String(length=256), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=True),
        sa.Column("severity", sa.String(length=16), nullable=True),
        sa.Column("rule", sa.String(length=128), nullable=True),
        sa.Column("chosen_side", sa.String(length=16), nullable=True),
        sa.ForeignKeyConstraint(
            ["conflict_id"], ["sync_conflict.conflict_id"], name=op.f("fk_sync_conflict_field_conflict_id")
        ),
        sa.PrimaryKeyConstraint("conflict_id", "revision", "unit", name=op.f("pk_sync_conflict_field")),
        comment="The units (fields, list items, groups) in which a conflict's sides differ.",
    )
    op.create_table(
        "sync_error",
        sa.Column("error_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=True),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True, comment="file URL or URL template"),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["sync_job.job_id"], name=op.f("fk_sync_error_job_id")),
        sa.PrimaryKeyConstraint("error_id", name=op.f("pk_sync_error")),
        comment="Every error and warning of a job, without health data.",
    )
    op.create_index(op.f("ix_sync_error_at"), "sync_error", ["at"], unique=False)
    op.create_index(op.f("ix_sync_error_job_id"), "sync_error", ["job_id"], unique=False)
    op.create_table(
        "sync_job_event",
        sa.Column("event_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False, comment="created, moved, leased, resumed, stage, …"),
        sa.Column("status", sa.String(length=16), nullable=True),
        sa.Column("detail", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["sync_job.job_id"], name=op.f("fk_sync_job_event_job_id")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_sync_job_event")),
        comment="The append-only history of every job.",
    )
    op.create_index(op.f("ix_sync_job_event_job_id_event_id"), "sync_job_event", ["job_id", "event_id"], unique=False)
    op.create_table(
        "sync_stage",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False, comment="running, done, failed"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("busy_seconds", sa.Float(), nullable=False),
        sa.Column("counts", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column(
            "watermark",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="extract only: the vendor's clock when the read began",
        ),
        sa.Column(
            "snapshot", sa.Boolean(), nullable=False, comment="extract only: everything the connection can see was read"
        ),
        sa.Column(
            "mechanism",
            sa.String(length=32),
            nullable=True,
            comment="extract only: how changes of this type are found at the vendor",
        ),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["sync_job.job_id"], name=op.f("fk_sync_stage_job_id")),
        sa.PrimaryKeyConstraint("job_id", "resource_type", "stage", name=op.f("pk_sync_stage")),
        comment="How far each resource type of a job has come; a killed job resumes from here.",
    )
