"""Whether what was synced is what was served: counts and the hash of the sorted ids, as `expected.json` has them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.store.agreements import remote_ids


def expectation_beside(data: Path) -> Path | None:
    """`expected.json` in the data's folder, when there is one."""
    candidate = (data if data.is_dir() else data.parent) / "expected.json"
    return candidate if candidate.exists() else None


def compare_with_expectation(home: Home, connection: str, expected: dict[str, Any]) -> list[str]:
    """A sentence for each difference. `expected`: `{"types": {type: {"count": n, "ids_sha256": hex}}}`."""
    differences = []
    for resource_type, wanted in expected["types"].items():
        with home.database.read() as transaction:
            ids = sorted(remote_ids(transaction, connection, resource_type))
        if len(ids) != wanted["count"]:
            differences.append(f"{resource_type}: {len(ids):,} records, {wanted['count']:,} expected")
        elif hashlib.sha256("\n".join(ids).encode()).hexdigest() != wanted["ids_sha256"]:
            differences.append(f"{resource_type}: the count is right and the ids are not")
    return differences
