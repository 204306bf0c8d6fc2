"""The shapes of landing-zone parts: what the vendor sent, and what passed validation.

One law: a row of an extract carries the exact bytes received; everything else in it only helps to find them again.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from holovitals_pipelines.model.vocabulary import Dataset

HASH = pa.binary(16)
INSTANT = pa.timestamp("us", tz="UTC")

EXTRACT = pa.schema(
    [
        ("remote_id", pa.string()),
        ("version", pa.string()),
        ("last_updated", INSTANT),
        ("content_hash", HASH),  # of the exact bytes; null for a deletion
        (
            "delivery",
            pa.int64(),
        ),  # rows of one delivery have no order among themselves; later deliveries were read later
        ("source", pa.dictionary(pa.int32(), pa.string())),
        ("line", pa.int32()),
        ("evidence", pa.string()),  # how the vendor said the resource is deleted; null for a living one
        ("body", pa.binary()),
    ]
)
"""One row a resource (or deletion) as read from the vendor, in order of reading."""

EXTRACT_KEYS = ["remote_id", "content_hash", "delivery", "last_updated", "evidence"]

RECORDS = pa.schema(
    [
        ("remote_id", pa.string()),
        ("version", pa.string()),
        ("last_updated", INSTANT),
        ("content_hash", HASH),
        ("hash", HASH),  # canonical content hash, sync-protocol.md §3.1; null for a deletion
        ("evidence", pa.string()),
        ("rule_set", pa.dictionary(pa.int32(), pa.string())),  # hash of the rule set that made it; null for none
        ("body", pa.binary()),
    ]
)
"""One row a resource whose bytes differ from the last reading and that passed validation; one reading an id."""

FINDINGS = pa.schema(
    [
        ("remote_id", pa.string()),
        ("rule_set", pa.string()),  # hash of the rule set
        ("place", pa.string()),  # `group.rule`, `source.<field>` or `validate.<target>`
        ("code", pa.string()),
        ("severity", pa.string()),
    ]
)
"""One row for each thing that a rule set found wrong with a record; no value of the record is in it."""

SCHEMAS = {Dataset.EXTRACT: EXTRACT, Dataset.RECORDS: RECORDS, Dataset.FINDINGS: FINDINGS}


def numbered(parts: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The same rows with their place in the part beside them, as column `row`."""
    schema = parts.schema.append(pa.field("row", pa.int32()))

    def batches() -> Iterator[pa.RecordBatch]:
        row = 0
        for batch in parts:
            places = pa.array(np.arange(row, row + batch.num_rows, dtype=np.int32))
            row += batch.num_rows
            yield pa.RecordBatch.from_arrays([*batch.columns, places], schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())
