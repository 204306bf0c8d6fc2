from __future__ import annotations

from pathlib import Path

import pytest

from holovitals_pipelines.store.document_tables import PAGES
from holovitals_pipelines.store.tables import metadata
from holovitals_pipelines.store.warehouse_schema import warehouse_tables

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_what_the_code_says(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), (
        "run: python -m holovitals_pipelines.store.document_tables docs"
    )


def test_every_table_of_the_design_exists_and_is_documented() -> None:
    listed = (
        "ehr_connection, sync_job, sync_job_event, sync_error, sync_conflict, sync_conflict_field, webhook_config, "
        "webhook_log, transformation_rule, field_mapping, sync_statistics, patient, record, document, link, shadow, "
        "outbox, watermark, audit_log"
    )
    assert set(listed.split(", ")) <= metadata.tables.keys()
    page = (DOCS / "operational-store.md").read_text(encoding="utf-8")
    for name, table in metadata.tables.items():
        assert table.comment, name
        assert page.count(f"### {name}\n") == 1


def test_every_warehouse_table_is_documented_once() -> None:
    page = (DOCS / "warehouse.md").read_text(encoding="utf-8")
    for table in warehouse_tables():
        assert page.count(f"## {table.name}\n") == 1
