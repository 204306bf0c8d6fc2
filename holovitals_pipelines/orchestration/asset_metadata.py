"""Metadata of the main job's assets: counts, schemas, timings and the shape of a batch. Never a value of a resource."""

from __future__ import annotations

from collections import Counter
from typing import Any

import dagster as dg
import orjson
import pyarrow as pa

from holovitals_pipelines.model.job import Outcome

SHAPE_SAMPLE = 500
"""Resources looked at for the preview."""


def column_schema(schema: pa.Schema) -> dg.TableSchema:
    return dg.TableSchema(columns=[dg.TableColumn(name=field.name, type=str(field.type)) for field in schema])


def outcome_metadata(outcome: Outcome) -> dict[str, Any]:
    """What became of the type so far in this job."""
    counts = (
        "extracted",
        "created",
        "updated",
        "unchanged",
        "conflicts",
        "quarantined",
        "duplicates",
        "superseded",
        "deletions",
        "absent",
    )
    return {name: dg.MetadataValue.int(getattr(outcome, name)) for name in counts}


def shape_of(batch: pa.RecordBatchReader) -> dg.MarkdownMetadataValue:
    """Which elements the resources of a batch have, and how many of them: a preview that shows no health data."""
    seen: Counter[str] = Counter()
    sample = 0
    for piece in batch:
        for body in piece.column("body").to_pylist():
            if body is not None and sample < SHAPE_SAMPLE:
                seen.update(key for key in orjson.loads(body) if key != "resourceType")
                sample += 1
        if sample >= SHAPE_SAMPLE:
            break
    if not sample:
        return dg.MarkdownMetadataValue("no rows")
    lines = [f"| element | of {sample:,} rows |", "| --- | ---: |"]
    lines += [f"| {name} | {count / sample:.0%} |" for name, count in sorted(seen.items(), key=lambda i: (-i[1], i[0]))]
    return dg.MarkdownMetadataValue("\n".join(lines))


def records_lineage(connection: str, resource_type: str) -> dg.TableColumnLineage:
    """Where each column of a records batch comes from in its extract."""
    extract = dg.AssetKey([connection, "extract", resource_type])
    sources = {name: name for name in ("remote_id", "version", "last_updated", "content_hash", "evidence", "body")}
    sources["hash"] = "body"
    return dg.TableColumnLineage(
        {column: [dg.TableColumnDep(asset_key=extract, column_name=source)] for column, source in sources.items()}
    )
