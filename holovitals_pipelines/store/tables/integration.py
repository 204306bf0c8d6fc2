"""What comes in by HL7 v2, and the rules by which resources are transformed.

Law: a message is stored here before it is acknowledged. A version of a rule set, once saved,
stays as it is.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from holovitals_pipelines.store.tables.columns import Json, Sequenced, UtcTimestamp, hash_column, metadata

hl7_message = Table(
    "hl7_message",
    metadata,
    Column("message_id", Sequenced, primary_key=True, autoincrement=True, comment="grows in the order of arrival"),
    Column("connection", String(64), nullable=False),
    Column("feed", String(41), nullable=False, comment="the port it came by, as the connection names it"),
    Column("sender", String(400), nullable=False, comment="MSH-3|MSH-4, as they were written"),
    Column("control_id", String(200), nullable=False, comment="MSH-10; empty where there is none"),
    Column("message_type", String(64), nullable=False, comment="MSH-9, such as ADT^A08; empty where there is none"),
    hash_column("body_hash", nullable=False, comment="first 16 bytes of sha256 over the exact bytes"),
    Column("body", LargeBinary, nullable=False, comment="the exact bytes, without the frame"),
    Column("times_received", Integer, nullable=False, default=1, comment="a sender that saw no answer repeats itself"),
    Column("answer", String(2), nullable=False, comment="how it was acknowledged: AA, AE, AR, CA, CE, CR, or none"),
    Column("state", String(16), nullable=False, comment="received, applied, dead"),
    Column("code", String(64), comment="why it is dead, or what was remarkable"),
    Column("problem", Text, comment="the same in words, without values"),
    Column("remedy", Text),
    Column("received_at", UtcTimestamp, nullable=False),
    Column("applied_at", UtcTimestamp),
    Index("one_hl7_message", "connection", "sender", "control_id", "body_hash", unique=True),
    Index(None, "connection", "state", "message_id"),
    comment="Every HL7 v2 message, stored before it is acknowledged; never changed but in its state.",
)

hl7_record = Table(
    "hl7_record",
    metadata,
    Column("connection", String(64), primary_key=True),
    Column("resource_type", String(64), primary_key=True),
    Column("remote_id", String(256), primary_key=True),
    Column("body", LargeBinary, nullable=False, comment="zstd frame of the record in JSON: what all messages told"),
    hash_column("body_hash", nullable=False),
    Column("patient_id", String(256), comment="remote id of the patient it belongs to"),
    Column("told_at", String(32), comment="MSH-7 of the newest message that told of it, as written"),
    Column("message_id", Sequenced, nullable=False, comment="the last message that changed it"),
    Column("changed_at", UtcTimestamp, nullable=False),
    Index(None, "connection", "resource_type", "changed_at"),
    comment="What a vendor that sends HL7 v2 holds, as far as its messages told: empty is no change, null deletes.",
)

rule_set_version = Table(
    "rule_set_version",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("version", String(32), primary_key=True),
    Column(
        "content_hash", String(64), nullable=False, comment="of what it means; documents it made are tagged with it"
    ),
    Column("provider", String(32), nullable=False),
    Column("resource_type", String(64), nullable=False),
    Column("direction", String(16), nullable=False),
    Column("source_format", String(16), nullable=False),
    Column("text", Text, nullable=False, comment="the YAML as it was saved; never changed"),
    Column("saved_by", String(64), nullable=False),
    Column("saved_at", UtcTimestamp, nullable=False),
    Column("comment", Text, comment="why, in the words of who saved it"),
    Column("active", Boolean, nullable=False, default=False, comment="jobs use it, in place of the shipped one"),
    Index(
        "one_active_rule_set",
        "provider",
        "resource_type",
        "direction",
        "source_format",
        unique=True,
        sqlite_where=sa.text("active"),
        postgresql_where=sa.text("active"),
    ),
    comment="Every version of every rule set that was saved; at most one for the same records is active.",
)

rule_set_event = Table(
    "rule_set_event",
    metadata,
    Column("event_id", Sequenced, primary_key=True, autoincrement=True),
    Column("name", String(120), nullable=False),
    Column("version", String(32), nullable=False),
    Column("action", String(16), nullable=False, comment="saved, activated, deactivated"),
    Column("actor", String(64), nullable=False),
    Column("at", UtcTimestamp, nullable=False),
    Column("cause", Text, comment="of a deactivation: the rule set, `name@version`, that took its place"),
    ForeignKeyConstraint(["name", "version"], ["rule_set_version.name", "rule_set_version.version"]),
    Index(None, "name", "event_id"),
    comment="The append-only history of rule sets: who saved, activated and deactivated which version.",
)

transformation_rule = Table(
    "transformation_rule",
    metadata,
    Column("rule_id", String(36), primary_key=True),
    Column("rule_set", String(120), nullable=False),
    Column("rule_set_version", String(32), nullable=False),
    Column("name", String(128), nullable=False, comment="the rule's id, after its group's id and a point"),
    Column("type", String(32), nullable=False),
    Column("provider", String(32), nullable=False),
    Column("resource_type", String(64), nullable=False),
    Column("direction", String(16), nullable=False),
    Column("source_format", String(16), nullable=False),
    Column("target_format", String(16), nullable=False),
    Column("priority", Integer, nullable=False, default=100),
    Column("position", Integer, nullable=False, comment="place in the file, from 1; decides among equal priorities"),
    Column("enabled", Boolean, nullable=False, default=True),
    Column("definition", Json, nullable=False, comment="the rule with all its members, as rule sets spell them"),
    ForeignKeyConstraint(["rule_set", "rule_set_version"], ["rule_set_version.name", "rule_set_version.version"]),
    Index(None, "rule_set", "rule_set_version"),
    comment="The rules of the active versions, one a row; of shipped rule sets only while a saved copy is active.",
)

field_mapping = Table(
    "field_mapping",
    metadata,
    Column("mapping_id", String(36), primary_key=True),
    Column("rule_id", String(36), ForeignKey("transformation_rule.rule_id"), nullable=False),
    Column("source_field", Text, comment="path in the record, `list: path in the item` in groups; null: a constant"),
    Column("target_field", Text, nullable=False, comment="path in what is made, after `list[].` in groups"),
    Column("required", Boolean, nullable=False, default=False),
    Column("default_value", Json),
    Index(None, "rule_id"),
    comment="What each active rule reads and makes: a row for each field and target.",
)
