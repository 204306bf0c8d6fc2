"""Which patient records are one person."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "patient_apart",
        sa.Column("record_id", sa.String(length=32), nullable=False, comment="the smaller id of the two"),
        sa.Column("other_id", sa.String(length=32), nullable=False),
        sa.Column(
            "decision_id", sa.String(length=36), nullable=False, comment="the un-link or rejection; see patient_history"
        ),
        sa.Column("decided_by", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("record_id", "other_id", name=op.f("pk_patient_apart")),
        comment="Pairs of records of which a person said that they are two persons: the program never joins them.",
    )
    with op.batch_alter_table("patient_apart", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_patient_apart_other_id"), ["other_id"], unique=False)

    op.create_table(
        "patient_history",
        sa.Column(
            "history_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column(
            "decision_id",
            sa.String(length=36),
            nullable=False,
            comment="the same for all records that one decision moved",
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "action", sa.String(length=16), nullable=False, comment="join, leave, link, unlink, relink, accept, reject"
        ),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True, comment="as the person wrote it; the program gives none"),
        sa.Column("record_id", sa.String(length=32), nullable=False),
        sa.Column("patient_key", sa.String(length=32), nullable=False, comment="the person the record is of after it"),
        sa.Column(
            "before",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=True,
            comment="the membership before",
        ),
        sa.Column(
            "after",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=True,
            comment="the membership after",
        ),
        sa.Column("proposal_id", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("history_id", name=op.f("pk_patient_history")),
        comment="Every change of a membership, in order; rows are only ever added.",
    )
    with op.batch_alter_table("patient_history", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_patient_history_decision_id"), ["decision_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_patient_history_patient_key"), ["patient_key"], unique=False)
        batch_op.create_index(batch_op.f("ix_patient_history_record_id"), ["record_id"], unique=False)

    op.create_table(
        "patient_identifier",
        sa.Column("record_id", sa.String(length=32), nullable=False),
        sa.Column("system", sa.String(length=256), nullable=False),
        sa.Column("value_hash", sa.LargeBinary(length=32), nullable=False, comment="of system and value"),
        sa.PrimaryKeyConstraint("record_id", "system", "value_hash", name=op.f("pk_patient_identifier")),
        comment="Trusted identifiers of Patient records, hashed: who shares one is found without opening bodies.",
    )
    with op.batch_alter_table("patient_identifier", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_patient_identifier_value_hash"), ["value_hash"], unique=False)

    op.create_table(
        "patient_member",
        sa.Column("record_id", sa.String(length=32), nullable=False, comment="a record of type Patient"),
        sa.Column("patient_key", sa.String(length=32), nullable=False, comment="the person; see patient"),
        sa.Column(
            "connection",
            sa.String(length=64),
            nullable=False,
            comment="the connection that first brought the record, or 'local'",
        ),
        sa.Column(
            "how",
            sa.String(length=16),
            nullable=False,
            comment="alone, exact: by a trusted identifier, manual: a person said so, and the program leaves it",
        ),
        sa.Column(
            "identifier_system",
            sa.String(length=256),
            nullable=True,
            comment="of the identifier an exact one rests on; never its value",
        ),
        sa.Column(
            "decided_by", sa.String(length=64), nullable=False, comment="policy:identity, or the person who decided"
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="when the record came to this person"),
        sa.Column("state", sa.String(length=16), nullable=False, comment="active, gone: the record is deleted"),
        sa.Column(
            "document_hash",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="the record's body when it was last looked at",
        ),
        sa.Column(
            "demographics_hash",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="of the elements that identity is compared by",
        ),
        sa.PrimaryKeyConstraint("record_id", name=op.f("pk_patient_member")),
        comment="Which person each Patient record is of: one row a record, so that every vendor's id is kept.",
    )
    with op.batch_alter_table("patient_member", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_patient_member_patient_key"), ["patient_key"], unique=False)

    op.create_table(
        "patient_proposal",
        sa.Column("proposal_id", sa.String(length=32), nullable=False, comment="hash of the two record ids"),
        sa.Column("record_id", sa.String(length=32), nullable=False, comment="the smaller id of the two"),
        sa.Column("other_id", sa.String(length=32), nullable=False),
        sa.Column(
            "grounds",
            sa.String(length=32),
            nullable=False,
            comment="identifier_conflict, shared_identifier, merge_told: by the vendor, splink",
        ),
        sa.Column("score", sa.Float(), nullable=True, comment="probability of a match, where it was computed"),
        sa.Column(
            "compared",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="the elements compared and the level of each; no values",
        ),
        sa.Column(
            "revision",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="of what both persons' records held when it was proposed",
        ),
        sa.Column("state", sa.String(length=16), nullable=False, comment="open, accepted, rejected, stale"),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.String(length=64), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True, comment="what the person wrote who decided"),
        sa.PrimaryKeyConstraint("proposal_id", name=op.f("pk_patient_proposal")),
        comment="Records that may be one person: people accept or reject, the program joins nothing here.",
    )
    with op.batch_alter_table("patient_proposal", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_patient_proposal_other_id"), ["other_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_patient_proposal_record_id"), ["record_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_patient_proposal_state_grounds"), ["state", "grounds"], unique=False)
