"""Metadata of the main job's assets: counts, schemas, timings and the shape of a batch. Never a value of a resource."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import dagster as dg
import pyarrow as pa

from holovitals_pipelines.model.job import Outcome

SHAPE_SAMPLE = 500
"""Resources looked at for the preview."""


def column_schema(schema: pa.Schema) -> dg.TableSchema:
    return dg.TableSchema(columns=[dg.TableColumn(name=field.name, type=str(field.type)) for field in schema])


def outcome_metadata(outcome: Outcome) -> dict[str, Any]:
    """What became of the type so far in this job."""
    counts = ("extracted", "created", "updated", "unchanged", "conflicts", "quarantined", "duplicates", "superseded", "deletions", "absent")
    return {name: dg.MetadataValue.int(getattr(outcome, name)) for name in counts}


def shape_of(bodies: list[bytes]) -> dg.MarkdownMetadataValue:
    """Which elements the resources have, and how many of them: a preview that shows no health data."""
    seen: Counter[str] = Counter()
    for body in bodies[:SHAPE_SAMPLE]:
        seen.update(key for key in json.loads(body) if key != "resourceType")
    sample = len(bodies[:SHAPE_SAMPLE])
    lines = ["| element | present in |", "| --- | ---: |"]
    lines += [f"| {name} | {count / sample:.0%} |" for name, count in sorted(seen.items(), key=lambda i: (-i[1], i[0]))]
    return dg.MarkdownMetadataValue("\n".join(lines) if sample else "no rows")


def column_lineage(columns: Mapping[str, list[tuple[list[str], str]]]) -> dg.TableColumnLineage:
    """Column → the upstream (asset key, column) pairs it comes from."""
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(asset_key=dg.AssetKey(key), column_name=source) for key, source in sources]
            for column, sources in columns.items()
        }
    )
