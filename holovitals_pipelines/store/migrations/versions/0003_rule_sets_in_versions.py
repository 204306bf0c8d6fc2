"""Rule sets in versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLE_COMMENTS = (
    (
        "transformation_rule",
        "The rules of the active versions, one a row; of shipped rule sets only while a saved copy is active.",
    ),
    ("field_mapping", "What each active rule reads and makes: a row for each field and target."),
)
_COMMENTS = (
    ("transformation_rule", "name", "the rule's id, after its group's id and a point"),
    ("transformation_rule", "definition", "the rule with all its members, as rule sets spell them"),
    ("field_mapping", "source_field", "path in the record, `list: path in the item` in groups; null: a constant"),
    ("field_mapping", "target_field", "path in what is made, after `list[].` in groups"),
)


def upgrade() -> None:
    op.create_table(
        "rule_set_version",
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column(
            "content_hash",
            sa.String(length=64),
            nullable=False,
            comment="of what it means; documents it made are tagged with it",
        ),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column("direction", sa.String(length=16), nullable=False),
        sa.Column("source_format", sa.String(length=16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False, comment="the YAML as it was saved; never changed"),
        sa.Column("saved_by", sa.String(length=64), nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("comment", sa.Text(), nullable=True, comment="why, in the words of who saved it"),
        sa.Column("active", sa.Boolean(), nullable=False, comment="jobs use it, in place of the shipped one"),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_rule_set_version")),
        comment="Every version of every rule set that was saved; at most one for the same records is active.",
    )
    with op.batch_alter_table("rule_set_version", schema=None) as batch_op:
        batch_op.create_index(
            "one_active_rule_set",
            ["provider", "resource_type", "direction", "source_format"],
            unique=True,
            sqlite_where=sa.text("active"),
            postgresql_where=sa.text("active"),
        )

    op.create_table(
        "rule_set_event",
        sa.Column("event_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False, comment="saved, activated, deactivated"),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "cause",
            sa.Text(),
            nullable=True,
            comment="of a deactivation: the rule set, `name@version`, that took its place",
        ),
        sa.ForeignKeyConstraint(
            ["name", "version"],
            ["rule_set_version.name", "rule_set_version.version"],
            name=op.f("fk_rule_set_event_name_version"),
        ),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_rule_set_event")),
        comment="The append-only history of rule sets: who saved, activated and deactivated which version.",
    )
    with op.batch_alter_table("rule_set_event", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_rule_set_event_name_event_id"), ["name", "event_id"], unique=False)

    with op.batch_alter_table("field_mapping", schema=None) as batch_op:
        batch_op.alter_column("source_field", existing_type=sa.TEXT(), nullable=True)
        batch_op.create_index(batch_op.f("ix_field_mapping_rule_id"), ["rule_id"], unique=False)

    with op.batch_alter_table("transformation_rule", schema=None) as batch_op:
        batch_op.add_column(sa.Column("rule_set", sa.String(length=120), nullable=False))
        batch_op.add_column(sa.Column("rule_set_version", sa.String(length=32), nullable=False))
        batch_op.add_column(sa.Column("source_format", sa.String(length=16), nullable=False))
        batch_op.add_column(sa.Column("target_format", sa.String(length=16), nullable=False))
        batch_op.add_column(
            sa.Column(
                "position",
                sa.Integer(),
                nullable=False,
                comment="place in the file, from 1; decides among equal priorities",
            )
        )
        batch_op.create_index(
            batch_op.f("ix_transformation_rule_rule_set_rule_set_version"),
            ["rule_set", "rule_set_version"],
            unique=False,
        )
        batch_op.create_foreign_key(
            batch_op.f("fk_transformation_rule_rule_set_rule_set_version"),
            "rule_set_version",
            ["rule_set", "rule_set_version"],
            ["name", "version"],
        )

    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        for table, comment in _TABLE_COMMENTS:
            op.create_table_comment(table, comment)
        for table, column, comment in _COMMENTS:
            op.alter_column(table, column, comment=comment)
