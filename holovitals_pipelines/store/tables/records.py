"""Records, their bodies, their links to vendors, and everything that may happen to them.

Law: nothing here is overwritten without its before-image.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from holovitals_pipelines.store.tables.columns import Sequenced, UtcTimestamp, hash_column, metadata

document = Table(
    "document",
    metadata,
    hash_column("document_hash", primary_key=True, comment="first 16 bytes of sha256 over the exact bytes"),
    Column("size", Integer, nullable=False, comment="bytes before compression"),
    Column("body", LargeBinary, nullable=False, comment="zstd frame of the exact bytes as received"),
    comment="Content-addressed bodies: each distinct body once, whoever points to it.",
)

record = Table(
    "record",
    metadata,
    Column("record_id", String(32), primary_key=True),
    Column("resource_type", String(64), nullable=False),
    Column("origin", String(64), nullable=False, comment="the connection that first brought it, or 'local'"),
    Column("version", Integer, nullable=False, comment="grows by one with each content change"),
    Column("state", String(16), nullable=False, default="active", comment="active, deleted"),
    hash_column("document_hash", nullable=False),
    hash_column("hash", nullable=False),
    Column("hash_version", Integer, nullable=False),
    Column("changed_by", String(64), nullable=False, comment="connection name or local actor"),
    Column("updated_at", UtcTimestamp, nullable=False),
    Index(None, "resource_type"),
    comment="The local clinical records: canonical FHIR R4 JSON, by pointer into document.",
)

record_version = Table(
    "record_version",
    metadata,
    Column("record_id", String(32), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("state", String(16), nullable=False),
    hash_column("document_hash", nullable=False),
    Column("changed_by", String(64), nullable=False),
    Column("job_id", String(36)),
    Column("at", UtcTimestamp, nullable=False),
    comment="Every earlier version of a record that was replaced: nothing is overwritten without its before-image.",
)

link = Table(
    "link",
    metadata,
    Column("link_id", String(32), primary_key=True, comment="hash of (connection, resource type, remote id)"),
    Column("connection", String(64), nullable=False),
    Column("resource_type", String(64), nullable=False),
    Column("remote_id", String(256), comment="null while a create at the vendor is not confirmed"),
    Column("record_id", String(32), nullable=False),
    Column(
        "state",
        String(16),
        nullable=False,
        default="active",
        comment="active, pending, review, unlinked, ended, tombstone",
    ),
    Column("linked_by", String(64), nullable=False),
    Column("linked_at", UtcTimestamp, nullable=False),
    # Unique by (connection, resource_type, remote_id) through link_id, their hash. This index answers "what do we know
    # of this type at this connection" in link_id order without touching the table: 1.7 µs a link joined with its
    # shadow, against 5 µs through an index on remote_id, whose order is random to the shadow's.
    Index("ix_link_known", "connection", "resource_type", "link_id", "remote_id", "record_id", "state"),
    Index(None, "record_id"),
    comment="Which remote resource a record is, at each connection.",
)

shadow = Table(
    "shadow",
    metadata,
    Column("link_id", String(32), primary_key=True),
    hash_column("local_hash", comment="canonical hash of what local held at the last agreement; null: agreed absent"),
    hash_column("local_document"),
    hash_column(
        "remote_hash", comment="canonical hash of what the vendor held at the last agreement; null: agreed absent"
    ),
    hash_column("remote_document"),
    Column("hash_version", Integer, nullable=False),
    hash_column(
        "seen_document", comment="exact bytes last read from the vendor: the prefilter that skips unchanged resources"
    ),
    Column("seen_version", String(128), comment="the vendor's version token of that reading"),
    Column("seen_updated", UtcTimestamp, comment="the vendor's meta.lastUpdated of that reading"),
    Column(
        "seen_at",
        UtcTimestamp,
        nullable=False,
        comment="when that reading was landed; an older batch never overrules a newer one",
    ),
    Column("delete_evidence", Text, comment="how the vendor said it deleted the resource, when it did"),
    comment="The two shadows of a link: what each side held when they last agreed.",
)

dirty_link = Table(
    "dirty_link",
    metadata,
    Column("link_id", String(32), primary_key=True, comment="also of a remote resource that no link exists for yet"),
    Column("connection", String(64), nullable=False),
    Column("resource_type", String(64), nullable=False),
    Column("remote_id", String(256)),
    Column(
        "reason",
        String(32),
        nullable=False,
        comment="local, event, delete_evidence, absent, decided, outcome, stale, anti_entropy",
    ),
    Column("since", UtcTimestamp, nullable=False),
    Column("mark", Integer, nullable=False, comment="grows with each new reason, so that none is cleared unseen"),
    Index(None, "connection", "resource_type"),
    comment="Links to be read and decided again from current facts: events are hints, reads are truth.",
)

standing_difference = Table(
    "standing_difference",
    metadata,
    Column("link_id", String(32), primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("connection", String(64), nullable=False),
    Column("resource_type", String(64), nullable=False),
    Column("record_id", String(32), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("reason", String(32), nullable=False, comment="why it stays: what the vendor's API allows of the element"),
    Column("since", UtcTimestamp, nullable=False),
    Index(None, "connection", "severity"),
    comment="Units in which local and vendor differ and stay so, because the vendor cannot be written there.",
)

attachment = Table(
    "attachment",
    metadata,
    Column("link_id", String(32), primary_key=True),
    Column("place", String(200), primary_key=True, comment="path in the record, such as content[0].attachment"),
    Column("connection", String(64), nullable=False),
    Column("resource_type", String(64), nullable=False),
    hash_column("address_hash", nullable=False, comment="of the address and what the record says of the content"),
    Column("state", String(16), nullable=False, comment="wanted, held, refused, gone"),
    hash_column("document_hash", comment="the content's exact bytes, kept in document"),
    Column("content_type", String(200), comment="as the vendor answered"),
    Column("size", Integer),
    Column("code", String(64), comment="why it is not held"),
    Column("attempts", Integer, nullable=False, default=0),
    Column("fetched_at", UtcTimestamp),
    Index(None, "connection", "state"),
    Index(None, "document_hash"),
    comment="What records point to, such as a document's PDF: fetched from the vendor and kept by its hash.",
)

patient = Table(
    "patient",
    metadata,
    Column("patient_key", String(32), primary_key=True),
    *[
        Column(f"{vendor}_id", String(256))
        for vendor in ("epic", "cerner", "meditech", "allscripts", "nextgen", "athena", "ecw")
    ],
    Column("last_synced_at", UtcTimestamp),
    comment="One row a person, with the id each vendor knows them by.",
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("quarantine_id", Sequenced, primary_key=True, autoincrement=True),
    Column("job_id", String(36), ForeignKey("sync_job.job_id"), nullable=False),
    Column("connection", String(64), nullable=False),
    Column("resource_type", String(64), nullable=False),
    Column("remote_id", String(256)),
    hash_column("document_hash", nullable=False, comment="the refused bytes, kept in document"),
    Column("stage", String(16), nullable=False),
    Column("rule", String(64), nullable=False),
    Column("path", Text, comment="FHIRPath of the element that broke the rule"),
    Column("message", Text, nullable=False),
    Column("remedy", Text, nullable=False),
    Column("source", Text),
    Column("line", Integer),
    Column("state", String(16), nullable=False, default="held", comment="held, released, superseded, dismissed"),
    Column("at", UtcTimestamp, nullable=False),
    Column("closed_by", String(64), comment="who released or dismissed it"),
    Column("closed_at", UtcTimestamp),
    Column("closed_reason", Text, comment="as the person wrote it"),
    Index(None, "connection", "resource_type", "state", "remote_id"),
    Index(None, "job_id"),
    comment="Resources that were refused: kept whole, with the rule they broke and what to do.",
)
