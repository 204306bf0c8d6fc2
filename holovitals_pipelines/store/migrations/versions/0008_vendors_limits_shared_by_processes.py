"""What is left of vendors' limits of requests, shared by all processes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "vendor_allowance",
        sa.Column(
            "allowance_key",
            sa.String(length=400),
            nullable=False,
            comment="whom the vendor counts: a base URL, or an app",
        ),
        sa.Column(
            "lot",
            sa.Integer(),
            nullable=False,
            comment="calls that one process may send; -1: time, of limits by the second",
        ),
        sa.Column(
            "holder",
            sa.String(length=36),
            nullable=True,
            comment="the process that has it; null once it was given back",
        ),
        sa.Column(
            "free_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when another one may have it, whatever became of the holder",
        ),
        sa.PrimaryKeyConstraint("allowance_key", "lot", name=op.f("pk_vendor_allowance")),
        comment="What is left of vendors' limits of requests, shared by all processes.",
    )
