"""Alembic's entry: it only ever runs on the connection that `run.py` hands over."""

from __future__ import annotations

from alembic import context

from holovitals_pipelines.store.migrations.run import render_type
from holovitals_pipelines.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    # SQLite changes columns by copying the table; a first revision changes none.
    render_as_batch=connection.dialect.name == "sqlite" and context.get_head_revision() is not None,
    render_item=render_type,
)
context.run_migrations()
