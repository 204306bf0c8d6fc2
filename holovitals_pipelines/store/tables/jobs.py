"""Connections, jobs and what they did: status, stages, parts, errors, statistics.

Law: job tables hold no health data beyond what a request named.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from holovitals_pipelines.model.vocabulary import JobStatus
from holovitals_pipelines.store.tables.columns import Json, Sequenced, UtcTimestamp, metadata, one_of

ehr_connection = Table(
    "ehr_connection",
    metadata,
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
    "sync_job",
    metadata,
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
    Column("requested_by", String(64), comment="who asked: a person, a token's name, a schedule, a sensor"),
    Column("scope_hash", String(32), comment="the same for jobs that ask for the same: one that waits is joined"),
    Column("idempotency_key", String(200), comment="as the caller chose it; a second request with it is the first"),
    Column("queued_at", UtcTimestamp, comment="since when it waits; its priority rises with the wait"),
    Column("next_at", UtcTimestamp, comment="a job that will be tried again: not before"),
    Column("lane", String(16), comment="who runs it: worker, dagster; null for a job that was run where it was asked"),
    Column("dispatched_to", String(128), comment="the worker, or the Dagster run, that was told to run it"),
    Column("dispatched_at", UtcTimestamp),
    Column("run_id", String(64), comment="the Dagster run (root run of a retried group), when there is one"),
    Column("owner", String(128), comment="the worker that holds the lease: host:pid:token"),
    Column(
        "fence",
        Integer,
        nullable=False,
        default=0,
        comment="grows with each lease; a late write with an older fence is refused",
    ),
    Column("lease_until", UtcTimestamp),
    Column("cancel_requested", Boolean, nullable=False, default=False),
    Column("created_at", UtcTimestamp, nullable=False),
    Column("started_at", UtcTimestamp),
    Column("finished_at", UtcTimestamp),
    Column("error_code", String(64)),
    Column("error_message", Text),
    one_of("status", "status", [s.value for s in JobStatus]),
    Index(None, "connection", "created_at"),
    Index(None, "status"),
    Index(None, "run_id"),
    Index(None, "finished_at"),
    Index(None, "connection", "scope_hash"),
    Index("one_idempotency_key", "idempotency_key", unique=True),
    comment="One row a sync job; the truth about its status.",
)

sync_job_event = Table(
    "sync_job_event",
    metadata,
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
    "sync_stage",
    metadata,
    Column("job_id", String(36), ForeignKey("sync_job.job_id"), primary_key=True),
    Column("resource_type", String(64), primary_key=True),
    Column("stage", String(16), primary_key=True),
    Column("state", String(16), nullable=False, comment="running, done, failed"),
    Column("started_at", UtcTimestamp, nullable=False),
    Column("finished_at", UtcTimestamp),
    Column("busy_seconds", Float, nullable=False, default=0.0),
    Column("counts", Json, nullable=False, default=dict),
    Column("watermark", UtcTimestamp, comment="extract only: the vendor's clock when the read began"),
    Column(
        "snapshot",
        Boolean,
        nullable=False,
        default=False,
        comment="extract only: everything the connection can see was read",
    ),
    Column("mechanism", String(32), comment="extract only: how changes of this type are found at the vendor"),
    Column("error_code", String(64)),
    Column("error_message", Text),
    comment="How far each resource type of a job has come; a killed job resumes from here.",
)

extract_progress = Table(
    "extract_progress",
    metadata,
    Column("job_id", String(36), ForeignKey("sync_job.job_id"), primary_key=True),
    Column("cursor", Json, nullable=False),
    Column("updated_at", UtcTimestamp, nullable=False),
    comment="The adapter's cursor after the newest page whose rows are visible.",
)

landing_part = Table(
    "landing_part",
    metadata,
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
    "sync_error",
    metadata,
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
    Index(None, "at"),
    comment="Every error and warning of a job, without health data.",
)

watermark = Table(
    "watermark",
    metadata,
    Column("connection", String(64), primary_key=True),
    Column("resource_type", String(64), primary_key=True),
    Column("mechanism", String(32), nullable=False),
    Column("value", UtcTimestamp, nullable=False, comment="the vendor's clock when the newest complete read began"),
    Column("job_id", String(36), nullable=False),
    Column("updated_at", UtcTimestamp, nullable=False),
    comment="From where the next incremental read of a type starts (less the overlap).",
)

sync_statistics = Table(
    "sync_statistics",
    metadata,
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
    *[
        Column(name, BigInteger, nullable=False, default=0, server_default="0", comment=comment)
        for name, comment in [
            ("resolved", "conflicts decided by policy, clean merges among them"),
            ("held", "conflicts that wait for a person"),
            ("pushed", "writes the vendor confirmed"),
            ("removed", "records deleted here because the vendor deleted them"),
            ("refused_writes", "writes the vendor refused"),
            ("missed", "changes a full read found that incremental reads had missed"),
        ]
    ],
    Column("extract_seconds", Float, nullable=False, default=0.0),
    Column("transform_seconds", Float, nullable=False, default=0.0),
    Column("reconcile_seconds", Float, nullable=False, default=0.0),
    Column("write_back_seconds", Float, nullable=False, default=0.0, server_default="0"),
    Index(None, "connection", "started_at"),
    Index(None, "finished_at"),
    comment="One row a job and resource type: extracted = created + updated + unchanged + conflicts + quarantined"
    " + duplicates + superseded.",
)

provider_latency = Table(
    "provider_latency",
    metadata,
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
    Index(None, "at"),
    comment="What requests to a vendor cost, by operation template.",
)

quality_result = Table(
    "quality_result",
    metadata,
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
    Index(None, "connection", "check_name", "resource_type", "result_id"),
    Index(None, "connection", "resource_type", "at"),
    Index(None, "at"),
    comment="Outcome of every data-quality check; counts only, never values.",
)

quality_acceptance = Table(
    "quality_acceptance",
    metadata,
    Column("acceptance_id", Sequenced, primary_key=True, autoincrement=True),
    Column("connection", String(64), nullable=False),
    Column("resource_type", String(64), nullable=False),
    Column("check_name", String(128), nullable=False),
    Column("job_id", String(36), nullable=False, comment="the job whose outcome was accepted; a later one is not"),
    Column("accepted_by", String(64), nullable=False),
    Column("reason", Text, nullable=False, comment="as the person wrote it"),
    Column("at", UtcTimestamp, nullable=False),
    Index(None, "connection", "resource_type", "check_name"),
    comment="Failed quality checks that a person let pass: the type may be written back again.",
)

vendor_allowance = Table(
    "vendor_allowance",
    metadata,
    Column("allowance_key", String(400), primary_key=True, comment="whom the vendor counts: a base URL, or an app"),
    Column(
        "lot", Integer, primary_key=True, comment="calls that one process may send; -1: time, of limits by the second"
    ),
    Column("holder", String(36), comment="the process that has it; null once it was given back"),
    Column(
        "free_at", UtcTimestamp, nullable=False, comment="when another one may have it, whatever became of the holder"
    ),
    comment="What is left of vendors' limits of requests, shared by all processes.",
)
