"""Runs migrations on a connection whose transaction somebody else began, and drafts new ones.

Law: an upgrade is one transaction: all of it or nothing.

    python -m holovitals_pipelines.store.migrations.run 0002 "what changes"

writes a draft revision from the difference between the newest revision and the tables as declared.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from holovitals_pipelines.store.tables.columns import Json, UtcTimestamp


def _config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def upgrade(connection: sa.Connection) -> None:
    command.upgrade(_config(connection), "head")


def render_type(kind: str, item: Any, context: Any) -> str | Literal[False]:
    """How revisions spell our column types: in SQLAlchemy's words, so that a revision never changes with our code."""
    if kind == "type" and isinstance(item, UtcTimestamp):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and item is Json:
        context.imports.add("from sqlalchemy.dialects import postgresql")
        return 'sa.JSON().with_variant(postgresql.JSONB(), "postgresql")'
    if kind == "type" and isinstance(item, sa.BigInteger) and "sqlite" in item._variant_mapping:
        return 'sa.BigInteger().with_variant(sa.Integer(), "sqlite")'
    return False


def main(number: str, message: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = sa.create_engine(f"sqlite:///{folder}/draft.sqlite")
        with engine.begin() as connection:
            config = _config(connection)
            command.upgrade(config, "head")
            command.revision(config, message=message, rev_id=number, autogenerate=True)
        engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
