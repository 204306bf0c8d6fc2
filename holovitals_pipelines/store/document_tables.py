"""Writes docs/operational-store.md and docs/warehouse.md from the tables as declared.

Law: the pages say what the code says; a test fails when they do not.

    python -m holovitals_pipelines.store.document_tables docs
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa

from holovitals_pipelines.store.tables import decisions, identity, integration, jobs, metadata, operations, records
from holovitals_pipelines.store.warehouse_schema import warehouse_tables

_ROOMS = (
    ("Records and their agreements", records),
    ("Patients and persons", identity),
    ("Conflicts, writes to the vendors, and the audit log", decisions),
    ("Connections, jobs and what they did", jobs),
    ("Webhooks and tokens", operations),
    ("HL7 v2 messages and rules", integration),
)


def operational_store_page() -> str:
    """docs/operational-store.md."""
    lines = [
        "# The operational store",
        "",
        "Made from `holovitals_pipelines/store/tables`; do not edit "
        "(`python -m holovitals_pipelines.store.document_tables docs`).",
        "",
        "SQLite by default (`operational.sqlite` in the home folder), PostgreSQL with "
        "`HOLOVITALS_DATABASE_URL=postgresql://…`. The tables are the same on both. Hashes are 16 bytes (those "
        "that chain the audit log: 32): a `…document…` column is the hash of a body's exact bytes, a `…hash` column "
        "the canonical content hash by which "
        "sides are compared. Instants are UTC: `timestamptz` on PostgreSQL, `YYYY-MM-DD HH:MM:SS.ffffff` on SQLite.",
    ]
    for title, room in _ROOMS:
        lines += ["", f"## {title}"]
        for table in metadata.tables.values():
            if getattr(room, table.name, None) is table:
                lines += _table_lines(table)
    return "\n".join(lines) + "\n"


def _table_lines(table: sa.Table) -> Iterable[str]:
    yield from ("", f"### {table.name}", "", table.comment or "", "", "| column | type | |", "|---|---|---|")
    for column in table.columns:
        notes = []
        if column.primary_key:
            notes.append("key")
        if column.nullable:
            notes.append("may be null")
        notes += [f"→ `{key.target_fullname}`" for key in column.foreign_keys]
        if column.comment:
            notes.append(column.comment)
        yield f"| `{column.name}` | {_kind(column.type)} | {'; '.join(notes)} |"
    indexes = sorted(
        ("unique " if index.unique else "") + "(" + ", ".join(column.name for column in index.columns) + ")"
        for index in table.indexes
    )
    if indexes:
        yield from ("", "Indexes: " + ", ".join(indexes))


def _kind(kind: sa.types.TypeEngine[object]) -> str:
    if isinstance(kind, sa.types.TypeDecorator):
        return "instant"
    if isinstance(kind, sa.JSON):
        return "JSON"
    if isinstance(kind, sa.LargeBinary):
        return "hash" if kind.length else "bytes"
    if isinstance(kind, sa.Boolean):
        return "yes or no"
    if isinstance(kind, sa.Integer):
        return "integer"
    if isinstance(kind, sa.Float):
        return "number"
    length = getattr(kind, "length", None)
    return f"text, up to {length}" if length else "text"


def warehouse_page() -> str:
    """docs/warehouse.md."""
    lines = [
        "# The warehouse",
        "",
        "Made from `holovitals_pipelines/store/warehouse_schema.py`; do not edit "
        "(`python -m holovitals_pipelines.store.document_tables docs`).",
        "",
        "A folder of DuckDB snapshots, `warehouse/` in the home folder. The file `current` names the newest one. A "
        "snapshot never changes once it is published, so open it read-only for as long as you like: nothing waits for "
        "you, and opening again shows the newer state. The newest three snapshots and those younger than an hour are "
        "kept. No body, vendor id or free text of a person is in it; link and record ids are opaque hashes. Instants "
        "are `TIMESTAMPTZ`. The same comments are in the snapshot: `SELECT * FROM duckdb_columns() WHERE NOT internal`"
        ".",
    ]
    for table in warehouse_tables():
        lines += ["", f"## {table.name}", "", table.comment, "", "| column | type | |", "|---|---|---|"]
        lines += [f"| `{column.name}` | {column.kind} | {column.comment} |" for column in table.columns]
    lines += [
        "",
        "## snapshot_info",
        "",
        "One row: which snapshot this is (`number`), when it was read (`as_of`), and the version of these tables.",
    ]
    return "\n".join(lines) + "\n"


PAGES = {"operational-store.md": operational_store_page, "warehouse.md": warehouse_page}


def write_pages(folder: Path) -> None:
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
