"""Which patient records are one person: memberships, what they rest on, proposals for people, and all that happened.

Law: a membership never changes a record. Identifiers are kept as hashes; compared values are not kept at all.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, String, Table, Text

from holovitals_pipelines.store.tables.columns import Json, Sequenced, UtcTimestamp, hash_column, metadata

patient_member = Table(
    "patient_member",
    metadata,
    Column("record_id", String(32), primary_key=True, comment="a record of type Patient"),
    Column("patient_key", String(32), nullable=False, comment="the person; see patient"),
    Column(
        "connection", String(64), nullable=False, comment="the connection that first brought the record, or 'local'"
    ),
    Column(
        "how",
        String(16),
        nullable=False,
        comment="alone, exact: by a trusted identifier, manual: a person said so, and the program leaves it",
    ),
    Column("identifier_system", String(256), comment="of the identifier an exact one rests on; never its value"),
    Column("decided_by", String(64), nullable=False, comment="policy:identity, or the person who decided"),
    Column("at", UtcTimestamp, nullable=False, comment="when the record came to this person"),
    Column("state", String(16), nullable=False, comment="active, gone: the record is deleted"),
    hash_column("document_hash", nullable=False, comment="the record's body when it was last looked at"),
    hash_column("demographics_hash", nullable=False, comment="of the elements that identity is compared by"),
    Index(None, "patient_key"),
    comment="Which person each Patient record is of: one row a record, so that every vendor's id is kept.",
)

patient_identifier = Table(
    "patient_identifier",
    metadata,
    Column("record_id", String(32), primary_key=True),
    Column("system", String(256), primary_key=True),
    hash_column("value_hash", primary_key=True, comment="of system and value"),
    Index(None, "value_hash"),
    comment="Trusted identifiers of Patient records, hashed: who shares one is found without opening bodies.",
)

patient_apart = Table(
    "patient_apart",
    metadata,
    Column("record_id", String(32), primary_key=True, comment="the smaller id of the two"),
    Column("other_id", String(32), primary_key=True),
    Column("decision_id", String(36), nullable=False, comment="the un-link or rejection; see patient_history"),
    Column("decided_by", String(64), nullable=False),
    Column("at", UtcTimestamp, nullable=False),
    Index(None, "other_id"),
    comment="Pairs of records of which a person said that they are two persons: the program never joins them.",
)

patient_proposal = Table(
    "patient_proposal",
    metadata,
    Column("proposal_id", String(32), primary_key=True, comment="hash of the two record ids"),
    Column("record_id", String(32), nullable=False, comment="the smaller id of the two"),
    Column("other_id", String(32), nullable=False),
    Column(
        "grounds",
        String(32),
        nullable=False,
        comment="identifier_conflict, shared_identifier, merge_told: by the vendor, splink",
    ),
    Column("score", Float, comment="probability of a match, where it was computed"),
    Column("compared", Json, nullable=False, comment="the elements compared and the level of each; no values"),
    hash_column("revision", nullable=False, comment="of what both persons' records held when it was proposed"),
    Column("state", String(16), nullable=False, comment="open, accepted, rejected, stale"),
    Column("proposed_at", UtcTimestamp, nullable=False),
    Column("decided_by", String(64)),
    Column("decided_at", UtcTimestamp),
    Column("reason", Text, comment="what the person wrote who decided"),
    Index(None, "state", "grounds"),
    Index(None, "record_id"),
    Index(None, "other_id"),
    comment="Records that may be one person: people accept or reject, the program joins nothing here.",
)

patient_history = Table(
    "patient_history",
    metadata,
    Column("history_id", Sequenced, primary_key=True, autoincrement=True),
    Column("decision_id", String(36), nullable=False, comment="the same for all records that one decision moved"),
    Column("at", UtcTimestamp, nullable=False),
    Column("action", String(16), nullable=False, comment="join, leave, link, unlink, relink, accept, reject"),
    Column("actor", String(64), nullable=False),
    Column("reason", Text, comment="as the person wrote it; the program gives none"),
    Column("record_id", String(32), nullable=False),
    Column("patient_key", String(32), nullable=False, comment="the person the record is of after it"),
    Column("before", Json, comment="the membership before"),
    Column("after", Json, comment="the membership after"),
    Column("proposal_id", String(32)),
    Index(None, "record_id"),
    Index(None, "patient_key"),
    Index(None, "decision_id"),
    comment="Every change of a membership, in order; rows are only ever added.",
)
