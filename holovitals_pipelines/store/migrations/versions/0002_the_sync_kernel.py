"""The sync kernel."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_COMMENTS = (
    ("link", "remote_id", "null while a create at the vendor is not confirmed"),
    ("link", "state", "active, pending, review, unlinked, ended, tombstone"),
    ("outbox", "operation", "create, update, delete"),
    ("outbox", "document_hash", "what is to be sent; null: a delete"),
    ("outbox", "local_snapshot", "what local held when it was decided"),
    ("outbox", "state", "pending, inflight, done, superseded, failed"),
)


def upgrade() -> None:
    op.create_table(
        "anti_entropy",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column(
            "compared", sa.Integer(), nullable=False, comment="resources whose hashes were compared on both sides"
        ),
        sa.Column(
            "missed",
            sa.Integer(),
            nullable=False,
            comment="changes at the vendor that incremental reads had not brought",
        ),
        sa.Column(
            "unsent", sa.Integer(), nullable=False, comment="changes here that had not been marked for the vendor"
        ),
        sa.Column(
            "absent",
            sa.Integer(),
            nullable=False,
            comment="known resources the full read did not show: to be confirmed",
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "resource_type", name=op.f("pk_anti_entropy")),
        comment="What comparing ids and hashes of both sides found: missed_by_incremental.",
    )
    with op.batch_alter_table("anti_entropy", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_anti_entropy_connection_at"), ["connection", "at"], unique=False)

    op.create_table(
        "dirty_link",
        sa.Column(
            "link_id",
            sa.String(length=32),
            nullable=False,
            comment="also of a remote resource that no link exists for yet",
        ),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column("remote_id", sa.String(length=256), nullable=True),
        sa.Column(
            "reason",
            sa.String(length=32),
            nullable=False,
            comment="local, event, delete_evidence, absent, decided, outcome, stale, anti_entropy",
        ),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "mark", sa.Integer(), nullable=False, comment="grows with each new reason, so that none is cleared unseen"
        ),
        sa.PrimaryKeyConstraint("link_id", name=op.f("pk_dirty_link")),
        comment="Links to be read and decided again from current facts: events are hints, reads are truth.",
    )
    with op.batch_alter_table("dirty_link", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_dirty_link_connection_resource_type"), ["connection", "resource_type"], unique=False
        )

    op.create_table(
        "standing_difference",
        sa.Column("link_id", sa.String(length=32), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column("record_id", sa.String(length=32), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column(
            "reason",
            sa.String(length=32),
            nullable=False,
            comment="why it stays: what the vendor's API allows of the element",
        ),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("link_id", "unit", name=op.f("pk_standing_difference")),
        comment="Units in which local and vendor differ and stay so, because the vendor cannot be written there.",
    )
    with op.batch_alter_table("standing_difference", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_standing_difference_connection_severity"), ["connection", "severity"], unique=False
        )

    with op.batch_alter_table("audit_log", schema=None) as batch_op:
        batch_op.add_column(sa.Column("connection", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("conflict_id", sa.String(length=36), nullable=True))
        batch_op.add_column(sa.Column("before_version", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("after_version", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("policy_version", sa.String(length=64), nullable=True))
        batch_op.add_column(
            sa.Column(
                "detail",
                sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
                nullable=True,
                comment="names and counts, never health data",
            )
        )
        batch_op.create_index(batch_op.f("ix_audit_log_conflict_id"), ["conflict_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_log_record_id_seq"), ["record_id", "seq"], unique=False)

    with op.batch_alter_table("link", schema=None) as batch_op:
        batch_op.alter_column("remote_id", existing_type=sa.VARCHAR(length=256), nullable=True)

    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.add_column(sa.Column("connection", sa.String(length=64), server_default="", nullable=False))
        batch_op.add_column(sa.Column("resource_type", sa.String(length=64), server_default="", nullable=False))
        batch_op.add_column(sa.Column("record_id", sa.String(length=32), server_default="", nullable=False))
        batch_op.add_column(
            sa.Column(
                "expected_hash",
                sa.LargeBinary(length=32),
                nullable=True,
                comment="canonical hash of the vendor's document that the decision was made on",
            )
        )
        batch_op.add_column(
            sa.Column(
                "guarded",
                sa.Boolean(),
                nullable=True,
                comment="whether the write named a version; false: an unguarded write",
            )
        )
        batch_op.add_column(sa.Column("error_code", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("error_message", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("job_id", sa.String(length=36), nullable=True))
        batch_op.add_column(sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.create_index(batch_op.f("ix_outbox_connection_state"), ["connection", "state"], unique=False)

    with op.batch_alter_table("sync_conflict", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "proposal_document",
                sa.LargeBinary(length=32),
                nullable=True,
                comment="the merge, with every conflicted unit at its base",
            )
        )
        batch_op.add_column(
            sa.Column(
                "resolved_document",
                sa.LargeBinary(length=32),
                nullable=True,
                comment="what local held after the resolution; null: absent, or not resolved",
            )
        )
        batch_op.add_column(sa.Column("local_updated", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("remote_updated", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(
            sa.Column(
                "patient",
                sa.String(length=256),
                nullable=True,
                comment="the patient reference of the resource, as the record has it",
            )
        )
        batch_op.add_column(
            sa.Column("rule", sa.String(length=128), nullable=True, comment="the severity rule that decided")
        )
        batch_op.add_column(sa.Column("policy_version", sa.String(length=64), nullable=True))
        batch_op.add_column(
            sa.Column(
                "two_person", sa.Boolean(), nullable=True, comment="counts only when a second person has approved"
            )
        )
        batch_op.add_column(
            sa.Column("units", sa.Integer(), nullable=True, comment="units in conflict; 0: merged cleanly")
        )
        batch_op.add_column(sa.Column("due_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(
            sa.Column(
                "decision",
                sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
                nullable=True,
                comment="a person's decision that waits to be applied to the values it was made on",
            )
        )
        batch_op.add_column(sa.Column("approved_by", sa.String(length=64), nullable=True))
        batch_op.add_column(
            sa.Column(
                "post_review",
                sa.String(length=16),
                nullable=True,
                comment="due, done: automatic decisions that a person looks at afterwards",
            )
        )
        batch_op.add_column(sa.Column("reviewed_by", sa.String(length=64), nullable=True))
        batch_op.add_column(
            sa.Column(
                "reopened",
                sa.Integer(),
                nullable=True,
                comment="how often a decision met other values than it was made on",
            )
        )
        batch_op.add_column(sa.Column("audit_seq", sa.BigInteger(), nullable=True))

    with op.batch_alter_table("sync_conflict_field", schema=None) as batch_op:
        batch_op.add_column(sa.Column("element", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("base_local", sa.Text(), nullable=True, comment="JSON; null: not there"))
        batch_op.add_column(sa.Column("base_remote", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("local", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("remote", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("strategy", sa.String(length=32), nullable=True))
        batch_op.add_column(sa.Column("chosen", sa.Text(), nullable=True, comment="JSON; null with a side: removed"))
        batch_op.add_column(
            sa.Column(
                "why", sa.Text(), nullable=True, comment="how the strategy came to it, or why it was left to a person"
            )
        )
        batch_op.alter_column("unit", existing_type=sa.VARCHAR(length=256), type_=sa.Text(), existing_nullable=False)

    with op.batch_alter_table("sync_statistics", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "resolved",
                sa.BigInteger(),
                server_default="0",
                nullable=False,
                comment="conflicts decided by policy, clean merges among them",
            )
        )
        batch_op.add_column(
            sa.Column(
                "held", sa.BigInteger(), server_default="0", nullable=False, comment="conflicts that wait for a person"
            )
        )
        batch_op.add_column(
            sa.Column(
                "pushed", sa.BigInteger(), server_default="0", nullable=False, comment="writes the vendor confirmed"
            )
        )
        batch_op.add_column(
            sa.Column(
                "removed",
                sa.BigInteger(),
                server_default="0",
                nullable=False,
                comment="records deleted here because the vendor deleted them",
            )
        )
        batch_op.add_column(
            sa.Column(
                "refused_writes",
                sa.BigInteger(),
                server_default="0",
                nullable=False,
                comment="writes the vendor refused",
            )
        )
        batch_op.add_column(
            sa.Column(
                "missed",
                sa.BigInteger(),
                server_default="0",
                nullable=False,
                comment="changes a full read found that incremental reads had missed",
            )
        )
        batch_op.add_column(sa.Column("write_back_seconds", sa.Float(), server_default="0", nullable=False))

    with op.batch_alter_table("webhook_log", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "link_id",
                sa.String(length=32),
                nullable=True,
                comment="the link it is about; null where that cannot be told",
            )
        )
        batch_op.create_index(batch_op.f("ix_webhook_log_link_id"), ["link_id"], unique=False)

    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        for table, column, comment in _COMMENTS:
            op.alter_column(table, column, comment=comment)
