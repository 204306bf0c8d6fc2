"""What comes in by webhook, and who may ask the HTTP API for what.

Law: a webhook event is stored here before it is acknowledged. Secrets are encrypted, tokens are hashed: neither can be
read from these tables.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, String, Table, Text, true

from holovitals_pipelines.store.tables.columns import Json, Sequenced, UtcTimestamp, hash_column, metadata

webhook_config = Table(
    "webhook_config",
    metadata,
    Column("webhook_id", String(36), primary_key=True),
    Column("connection", String(64), nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("config", Json, nullable=False),
    Column("token_hash", String(64), comment="sha256 of the token in the receiver's path; the token is kept nowhere"),
    Column("secret", LargeBinary, comment="encrypted with the installation's key"),
    Column("previous_secret", LargeBinary, comment="encrypted; still taken until previous_until"),
    Column("previous_until", UtcTimestamp),
    Column("enabled", Boolean, nullable=False, default=True, server_default=true()),
    Column("created_by", String(64)),
    Column("created_at", UtcTimestamp, nullable=False),
    Column("updated_at", UtcTimestamp),
    Column("deleted_at", UtcTimestamp, comment="no longer taken; its events stay"),
    Index("one_webhook_token", "token_hash", unique=True),
    comment="Registered webhooks.",
)

webhook_log = Table(
    "webhook_log",
    metadata,
    Column("source", String(64), primary_key=True),
    Column("event_id", String(256), primary_key=True),
    Column("log_id", String(32), nullable=False, comment="of source and event_id: one name for both"),
    Column("webhook_id", String(36), comment="by which registered webhook it came"),
    Column("event_type", String(32), nullable=False),
    Column("vendor_event", String(128), comment="the event's name in the vendor's own words"),
    Column("resource_type", String(64), comment="a hint of the payload; never trusted as data"),
    Column("remote_id", String(256)),
    Column("patient_id", String(256), comment="remote id of the patient whose chart is to be read"),
    Column("link_id", String(32), comment="the link it is about; null where that cannot be told"),
    Column("status", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_at", UtcTimestamp),
    Column("job_id", String(36), comment="the job that reads what it was about"),
    Column("key_id", String(16), comment="which secret had signed it: current, previous"),
    Column("times_received", Integer, nullable=False, default=1, server_default="1"),
    Column("altered", Integer, nullable=False, default=0, server_default="0", comment="other bodies under its id"),
    Column("error_code", String(64)),
    Column("error_message", Text),
    hash_column("body_hash", nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("received_at", UtcTimestamp, nullable=False),
    Column("completed_at", UtcTimestamp),
    Index(None, "status", "next_at"),
    Index(None, "link_id"),
    Index(None, "job_id"),
    Index(None, "received_at"),
    Index("one_webhook_log_id", "log_id", unique=True),
    comment="The inbox: every webhook event, stored before it is acknowledged.",
)

webhook_log_event = Table(
    "webhook_log_event",
    metadata,
    Column("sequence", Sequenced, primary_key=True, autoincrement=True),
    Column("log_id", String(32), nullable=False),
    Column("at", UtcTimestamp, nullable=False),
    Column("kind", String(32), nullable=False, comment="received, repeated, altered, moved, replayed"),
    Column("status", String(16)),
    Column("detail", Json, comment="codes and counts, never values"),
    Index(None, "log_id", "sequence"),
    comment="The append-only history of every webhook event.",
)

api_token = Table(
    "api_token",
    metadata,
    Column("token_id", String(36), primary_key=True),
    Column("name", String(64), nullable=False, comment="whom or what it was given to; the actor in histories"),
    Column("token_hash", String(64), nullable=False, comment="sha256 of the token, which is kept nowhere"),
    Column("roles", Json, nullable=False, comment="viewer, operator, resolver, approver, auditor"),
    Column("created_by", String(64)),
    Column("created_at", UtcTimestamp, nullable=False),
    Column("expires_at", UtcTimestamp),
    Column("revoked_at", UtcTimestamp),
    Column("last_used_at", UtcTimestamp, comment="to the hour"),
    Index("one_api_token", "token_hash", unique=True),
    Index(None, "name"),
    comment="Who may call the HTTP API, and in which roles.",
)

notification = Table(
    "notification",
    metadata,
    Column("notification_id", String(36), primary_key=True),
    Column("job_id", String(36), nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("payload", Json, nullable=False, comment="ids, statuses and counts; no health data"),
    Column("status", String(16), nullable=False, comment="waiting, delivered, failed"),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_at", UtcTimestamp),
    Column("error_code", String(64)),
    Column("created_at", UtcTimestamp, nullable=False),
    Column("delivered_at", UtcTimestamp),
    Index(None, "status", "next_at"),
    Index(None, "job_id"),
    comment="What is to be told to others when a job ends, and whether they have taken it.",
)
