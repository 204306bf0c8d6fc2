"""What people decide about quality: failed checks let pass, quarantine closed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "quality_acceptance",
        sa.Column(
            "acceptance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column("check_name", sa.String(length=128), nullable=False),
        sa.Column(
            "job_id",
            sa.String(length=36),
            nullable=False,
            comment="the job whose outcome was accepted; a later one is not",
        ),
        sa.Column("accepted_by", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="as the person wrote it"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("acceptance_id", name=op.f("pk_quality_acceptance")),
        comment="Failed quality checks that a person let pass: the type may be written back again.",
    )
    op.create_index(
        op.f("ix_quality_acceptance_connection_resource_type_check_name"),
        "quality_acceptance",
        ["connection", "resource_type", "check_name"],
    )
    op.create_index(
        op.f("ix_quality_result_connection_check_name_resource_type_result_id"),
        "quality_result",
        ["connection", "check_name", "resource_type", "result_id"],
    )
    op.add_column(
        "quarantine",
        sa.Column("closed_by", sa.String(length=64), nullable=True, comment="who released or dismissed it"),
    )
    op.add_column("quarantine", sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("quarantine", sa.Column("closed_reason", sa.Text(), nullable=True, comment="as the person wrote it"))
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column(
            "quarantine",
            "state",
            existing_type=sa.String(length=16),
            existing_nullable=False,
            comment="held, released, superseded, dismissed",
        )
