"""Whether what was synced is what was served: counts and the hash of the sorted ids, as `expected.json` has them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from holovitals_pipelines.cli.demo.telling import Teller
from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store.agreements import remote_ids


def complaints_about_expectation(settings: Settings, data: Path, teller: Teller) -> list[str]:
    """A sentence for each difference from `expected.json` in the data's folder; none where there is no such file."""
    expectation = (data if data.is_dir() else data.parent) / "expected.json"
    if not expectation.exists():
        return []
    with open_home(settings) as home:
        differences = _differences(home, "fhir", json.loads(expectation.read_text(encoding="utf-8")))
    if not differences:
        teller.holds(f"counts per type and ids equal {expectation}")
    return differences


def _differences(home: Home, connection: str, expected: dict[str, Any]) -> list[str]:
    """`expected`: `{"types": {type: {"count": n, "ids_sha256": hex}}}`."""
    differences = []
    for resource_type, wanted in expected["types"].items():
        with home.database.read() as transaction:
            ids = sorted(remote_ids(transaction, connection, resource_type))
        if len(ids) != wanted["count"]:
            differences.append(f"{resource_type}: {len(ids):,} records, {wanted['count']:,} expected")
        elif hashlib.sha256("\n".join(ids).encode()).hexdigest() != wanted["ids_sha256"]:
            differences.append(f"{resource_type}: the count is right and the ids are not")
    return differences
