"""Metadata of the main job's assets: counts, schemas, timings and the shape of a batch. Never a value of a resource."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg
import orjson
import pyarrow as pa

from holovitals_pipelines.model.job import Outcome

SHAPE_SAMPLE = 500
"""Resources looked at for the preview."""


COLUMNS = {
    "remote_id": "the id by which the vendor knows the resource",
    "version": "the vendor's version id, where it gives one",
    "last_updated": "when the vendor says it changed",
    "content_hash": "of the exact bytes; null for a deletion",
    "hash": "of the canonical content; null for a deletion",
    "delivery": "later deliveries were read later; rows of one have no order among themselves",
    "source": "the file or the request it came with, without ids",
    "line": "line of that file",
    "evidence": "how the vendor said it is deleted; null for a living one",
    "rule_set": "the hash of the rule set that made it; null where it is as sent",
    "body": "the resource, byte for byte as sent or as the rules made it",
}


def column_schema(schema: pa.Schema) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[dg.TableColumn(f.name, type=_type_name(f.type), description=COLUMNS[f.name]) for f in schema]
    )


def _type_name(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        return str(kind.value_type)
    return f"binary({kind.byte_width})" if pa.types.is_fixed_size_binary(kind) else str(kind)


def outcome_metadata(outcome: Outcome) -> dict[str, Any]:
    """What became of the type so far in this job."""
    counts = (
        "extracted",
        "created",
        "updated",
        "unchanged",
        "conflicts",
        "resolved",
        "held",
        "quarantined",
        "duplicates",
        "superseded",
        "deletions",
        "absent",
        "missed",
    )
    return {name: dg.MetadataValue.int(getattr(outcome, name)) for name in counts}


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str | int]]) -> dg.MarkdownMetadataValue:
    """Texts to the left, numbers to the right; the first column is text, the others are numbers."""
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    lines += [f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else cell for cell in row)} |" for row in rows]
    return dg.MarkdownMetadataValue("\n".join(lines))


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
    lines = [f"| element | of {sample:,} {'row' if sample == 1 else 'rows'} |", "| --- | ---: |"]
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
