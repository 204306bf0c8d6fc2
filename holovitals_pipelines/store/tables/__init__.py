"""The operational store's tables, for SQLite and PostgreSQL alike; docs/operational-store.md is generated from them.

Law: a column is described where it is declared. Hashes are 16 bytes, those of the
audit log 32. Timestamps are UTC. `document_hash` is the
hash of a body's exact bytes; `hash` beside a `hash_version` is the canonical content hash (sync-protocol.md §3.1) by
which sides are compared.
"""

from holovitals_pipelines.store.tables.columns import Json, Sequenced, UtcTimestamp, metadata
from holovitals_pipelines.store.tables.decisions import (
    anti_entropy,
    audit_log,
    outbox,
    sync_conflict,
    sync_conflict_field,
)
from holovitals_pipelines.store.tables.identity import (
    patient_apart,
    patient_history,
    patient_identifier,
    patient_member,
    patient_proposal,
)
from holovitals_pipelines.store.tables.integration import (
    field_mapping,
    hl7_message,
    hl7_record,
    rule_set_event,
    rule_set_version,
    transformation_rule,
)
from holovitals_pipelines.store.tables.jobs import (
    ehr_connection,
    extract_progress,
    landing_part,
    provider_latency,
    quality_acceptance,
    quality_result,
    sync_error,
    sync_job,
    sync_job_event,
    sync_stage,
    sync_statistics,
    vendor_allowance,
    watermark,
)
from holovitals_pipelines.store.tables.operations import (
    api_token,
    notification,
    webhook_config,
    webhook_log,
    webhook_log_event,
)
from holovitals_pipelines.store.tables.records import (
    attachment,
    dirty_link,
    document,
    link,
    patient,
    quarantine,
    record,
    record_version,
    shadow,
    standing_difference,
)

__all__ = [
    "Json",
    "Sequenced",
    "UtcTimestamp",
    "anti_entropy",
    "api_token",
    "attachment",
    "audit_log",
    "dirty_link",
    "document",
    "ehr_connection",
    "extract_progress",
    "field_mapping",
    "hl7_message",
    "hl7_record",
    "landing_part",
    "link",
    "metadata",
    "notification",
    "outbox",
    "patient",
    "patient_apart",
    "patient_history",
    "patient_identifier",
    "patient_member",
    "patient_proposal",
    "provider_latency",
    "quality_acceptance",
    "quality_result",
    "quarantine",
    "record",
    "record_version",
    "rule_set_event",
    "rule_set_version",
    "shadow",
    "standing_difference",
    "sync_conflict",
    "sync_conflict_field",
    "sync_error",
    "sync_job",
    "sync_job_event",
    "sync_stage",
    "sync_statistics",
    "transformation_rule",
    "vendor_allowance",
    "watermark",
    "webhook_config",
    "webhook_log",
    "webhook_log_event",
]
