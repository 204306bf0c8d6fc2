"""The job queue, webhooks with their history, and tokens of the HTTP API."""

from __future__ import annotations

import hashlib
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    kind: sa.types.TypeEngine[Any]
    with op.batch_alter_table("sync_job", schema=None) as batch_op:
        for name, kind, comment in (
            ("requested_by", sa.String(64), "who asked: a person, a token's name, a schedule, a sensor"),
            ("scope_hash", sa.String(32), "the same for jobs that ask for the same: one that waits is joined"),
            ("idempotency_key", sa.String(200), "as the caller chose it; a second request with it is the first"),
            ("queued_at", _TIME, "since when it waits; its priority rises with the wait"),
            ("next_at", _TIME, "a job that will be tried again: not before"),
            ("lane", sa.String(16), "who runs it: worker, dagster; null for a job that was run where it was asked"),
            ("dispatched_to", sa.String(128), "the worker, or the Dagster run, that was told to run it"),
            ("dispatched_at", _TIME, None),
        ):
            batch_op.add_column(sa.Column(name, kind, nullable=True, comment=comment))
        batch_op.create_index(batch_op.f("ix_sync_job_connection_scope_hash"), ["connection", "scope_hash"])
        batch_op.create_index("one_idempotency_key", ["idempotency_key"], unique=True)

    with op.batch_alter_table("webhook_config", schema=None) as batch_op:
        for name, kind, comment in (
            ("token_hash", sa.String(64), "sha256 of the token in the receiver's path; the token is kept nowhere"),
            ("secret", sa.LargeBinary(), "encrypted with the installation's key"),
            ("previous_secret", sa.LargeBinary(), "encrypted; still taken until previous_until"),
            ("previous_until", _TIME, None),
            ("created_by", sa.String(64), None),
            ("updated_at", _TIME, None),
            ("deleted_at", _TIME, "no longer taken; its events stay"),
        ):
            batch_op.add_column(sa.Column(name, kind, nullable=True, comment=comment))
        batch_op.add_column(sa.Column("enabled", sa.Boolean(), nullable=False, server_default=sa.true()))
        batch_op.create_index("one_webhook_token", ["token_hash"], unique=True)

    with op.batch_alter_table("webhook_log", schema=None) as batch_op:
        for name, kind, comment in (
            ("log_id", sa.String(32), "of source and event_id: one name for both"),
            ("webhook_id", sa.String(36), "by which registered webhook it came"),
            ("vendor_event", sa.String(128), "the event's name in the vendor's own words"),
            ("resource_type", sa.String(64), "a hint of the payload; never trusted as data"),
            ("remote_id", sa.String(256), None),
            ("patient_id", sa.String(256), "remote id of the patient whose chart is to be read"),
            ("job_id", sa.String(36), "the job that reads what it was about"),
            ("key_id", sa.String(16), "which secret had signed it: current, previous"),
            ("error_code", sa.String(64), None),
            ("error_message", sa.Text(), None),
            ("completed_at", _TIME, None),
        ):
            batch_op.add_column(sa.Column(name, kind, nullable=True, comment=comment))
        batch_op.add_column(sa.Column("times_received", sa.Integer(), nullable=False, server_default="1"))
        batch_op.add_column(
            sa.Column("altered", sa.Integer(), nullable=False, server_default="0", comment="other bodies under its id")
        )
    _name_events()
    with op.batch_alter_table("webhook_log", schema=None) as batch_op:
        batch_op.alter_column("log_id", existing_type=sa.String(32), nullable=False)
        batch_op.create_index("one_webhook_log_id", ["log_id"], unique=True)
        batch_op.create_index(batch_op.f("ix_webhook_log_job_id"), ["job_id"])
        batch_op.create_index(batch_op.f("ix_webhook_log_received_at"), ["received_at"])

    op.create_table(
        "webhook_log_event",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("log_id", sa.String(32), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False, comment="received, repeated, altered, moved, replayed"),
        sa.Column("status", sa.String(16), nullable=True),
        sa.Column("detail", _JSON, nullable=True, comment="codes and counts, never values"),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_webhook_log_event")),
        comment="The append-only history of every webhook event.",
    )
    with op.batch_alter_table("webhook_log_event", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_webhook_log_event_log_id_sequence"), ["log_id", "sequence"])

    op.create_table(
        "api_token",
        sa.Column("token_id", sa.String(36), nullable=False),
        sa.Column(
            "name", sa.String(64), nullable=False, comment="whom or what it was given to; the actor in histories"
        ),
        sa.Column("token_hash", sa.String(64), nullable=False, comment="sha256 of the token, which is kept nowhere"),
        sa.Column("roles", _JSON, nullable=False, comment="viewer, operator, resolver, approver, auditor"),
        sa.Column("created_by", sa.String(64), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.Column("revoked_at", _TIME, nullable=True),
        sa.Column("last_used_at", _TIME, nullable=True, comment="to the hour"),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_api_token")),
        comment="Who may call the HTTP API, and in which roles.",
    )
    with op.batch_alter_table("api_token", schema=None) as batch_op:
        batch_op.create_index("one_api_token", ["token_hash"], unique=True)
        batch_op.create_index(batch_op.f("ix_api_token_name"), ["name"])

    op.create_table(
        "notification",
        sa.Column("notification_id", sa.String(36), nullable=False),
        sa.Column("job_id", sa.String(36), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("payload", _JSON, nullable=False, comment="ids, statuses and counts; no health data"),
        sa.Column("status", sa.String(16), nullable=False, comment="waiting, delivered, failed"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", _TIME, nullable=True),
        sa.Column("error_code", sa.String(64), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("delivered_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("notification_id", name=op.f("pk_notification")),
        comment="What is to be told to others when a job ends, and whether they have taken it.",
    )
    with op.batch_alter_table("notification", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_notification_job_id"), ["job_id"])
        batch_op.create_index(batch_op.f("ix_notification_status_next_at"), ["status", "next_at"])


def _name_events() -> None:
    """Give every event that is there the name it will be asked for by."""
    log = sa.table("webhook_log", *(sa.column(name) for name in ("source", "event_id", "log_id")))
    connection = op.get_bind()
    for source, event_id in connection.execute(sa.select(log.c.source, log.c.event_id)).all():
        name = hashlib.sha256(f"{source}\n{event_id}".encode()).hexdigest()[:32]
        named = log.update().where(log.c.source == source, log.c.event_id == event_id)
        connection.execute(named.values(log_id=name))
