"""HL7 v2 messages, what they told, and what records point to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attachment",
        sa.Column("link_id", sa.String(length=32), nullable=False),
        sa.Column(
            "place", sa.String(length=200), nullable=False, comment="path in the record, such as content[0].attachment"
        ),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column(
            "address_hash",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="of the address and what the record says of the content",
        ),
        sa.Column("state", sa.String(length=16), nullable=False, comment="wanted, held, refused, gone"),
        sa.Column(
            "document_hash",
            sa.LargeBinary(length=32),
            nullable=True,
            comment="the content's exact bytes, kept in document",
        ),
        sa.Column("content_type", sa.String(length=200), nullable=True, comment="as the vendor answered"),
        sa.Column("size", sa.Integer(), nullable=True),
        sa.Column("code", sa.String(length=64), nullable=True, comment="why it is not held"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("link_id", "place", name=op.f("pk_attachment")),
        comment="What records point to, such as a document's PDF: fetched from the vendor and kept by its hash.",
    )
    with op.batch_alter_table("attachment", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_attachment_connection_state"), ["connection", "state"], unique=False)
        batch_op.create_index(batch_op.f("ix_attachment_document_hash"), ["document_hash"], unique=False)

    op.create_table(
        "hl7_message",
        sa.Column(
            "message_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
            comment="grows in the order of arrival",
        ),
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column(
            "feed", sa.String(length=41), nullable=False, comment="the port it came by, as the connection names it"
        ),
        sa.Column("sender", sa.String(length=400), nullable=False, comment="MSH-3|MSH-4, as they were written"),
        sa.Column("control_id", sa.String(length=200), nullable=False, comment="MSH-10; empty where there is none"),
        sa.Column(
            "message_type",
            sa.String(length=64),
            nullable=False,
            comment="MSH-9, such as ADT^A08; empty where there is none",
        ),
        sa.Column(
            "body_hash",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="first 16 bytes of sha256 over the exact bytes",
        ),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="the exact bytes, without the frame"),
        sa.Column("times_received", sa.Integer(), nullable=False, comment="a sender that saw no answer repeats itself"),
        sa.Column(
            "answer",
            sa.String(length=2),
            nullable=False,
            comment="how it was acknowledged: AA, AE, AR, CA, CE, CR, or none",
        ),
        sa.Column("state", sa.String(length=16), nullable=False, comment="received, applied, dead"),
        sa.Column("code", sa.String(length=64), nullable=True, comment="why it is dead, or what was remarkable"),
        sa.Column("problem", sa.Text(), nullable=True, comment="the same in words, without values"),
        sa.Column("remedy", sa.Text(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_hl7_message")),
        comment="Every HL7 v2 message, stored before it is acknowledged; never changed but in its state.",
    )
    with op.batch_alter_table("hl7_message", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_hl7_message_connection_state_message_id"),
            ["connection", "state", "message_id"],
            unique=False,
        )
        batch_op.create_index("one_hl7_message", ["connection", "sender", "control_id", "body_hash"], unique=True)

    op.create_table(
        "hl7_record",
        sa.Column("connection", sa.String(length=64), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column("remote_id", sa.String(length=256), nullable=False),
        sa.Column(
            "body", sa.LargeBinary(), nullable=False, comment="zstd frame of the record in JSON: what all messages told"
        ),
        sa.Column("body_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("patient_id", sa.String(length=256), nullable=True, comment="remote id of the patient it belongs to"),
        sa.Column(
            "told_at",
            sa.String(length=32),
            nullable=True,
            comment="MSH-7 of the newest message that told of it, as written",
        ),
        sa.Column(
            "message_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="the last message that changed it",
        ),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("connection", "resource_type", "remote_id", name=op.f("pk_hl7_record")),
        comment="What a vendor that sends HL7 v2 holds, as far as its messages told: empty is no change, null deletes.",
    )
    with op.batch_alter_table("hl7_record", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_hl7_record_connection_resource_type_changed_at"),
            ["connection", "resource_type", "changed_at"],
            unique=False,
        )
