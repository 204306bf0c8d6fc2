"""What comes in by webhook, and the rules by which resources are transformed.

Law: a webhook event is stored here before it is acknowledged.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from holovitals_pipelines.store.tables.columns import Json, UtcTimestamp, hash_column, metadata

webhook_config = Table(
    "webhook_config",
    metadata,
    Column("webhook_id", String(36), primary_key=True),
    Column("connection", String(64), nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("config", Json, nullable=False),
    Column("created_at", UtcTimestamp, nullable=False),
    comment="Registered webhooks.",
)

webhook_log = Table(
    "webhook_log",
    metadata,
    Column("source", String(64), primary_key=True),
    Column("event_id", String(256), primary_key=True),
    Column("event_type", String(32), nullable=False),
    Column("link_id", String(32), comment="the link it is about; null where that cannot be told"),
    Column("status", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_at", UtcTimestamp),
    hash_column("body_hash", nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("received_at", UtcTimestamp, nullable=False),
    Index(None, "status", "next_at"),
    Index(None, "link_id"),
    comment="The inbox: every webhook event, stored before it is acknowledged.",
)

transformation_rule = Table(
    "transformation_rule",
    metadata,
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
    "field_mapping",
    metadata,
    Column("mapping_id", String(36), primary_key=True),
    Column("rule_id", String(36), ForeignKey("transformation_rule.rule_id"), nullable=False),
    Column("source_field", Text, nullable=False),
    Column("target_field", Text, nullable=False),
    Column("required", Boolean, nullable=False, default=False),
    Column("default_value", Json),
    comment="Field mappings of a transformation rule.",
)
