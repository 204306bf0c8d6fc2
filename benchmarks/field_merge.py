"""The field-level merge of documents both sides have changed, alone: reading and writing them is not counted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from benchmarks.measure import Stopwatch
from holovitals_pipelines.fhir.exact import Number, read_document
from holovitals_pipelines.model.writing import Document, WriteCapability
from holovitals_pipelines.sandbox.population import population
from holovitals_pipelines.sync.merge import merge

ROUNDS = 5


def field_merge(resources: int = 4_000) -> None:
    """Merge `resources` of the synthetic population, each changed on both sides, `ROUNDS` times."""
    cases = list(islice(changed_on_both_sides(), resources))
    capability = WriteCapability(create=True, update=True)
    conflicts = 0
    with Stopwatch() as watch:
        for _ in range(ROUNDS):
            for base_local, base_remote, local, remote in cases:
                merged = merge(
                    local["resourceType"],
                    base_local=base_local,
                    base_remote=base_remote,
                    local=local,
                    remote=remote,
                    capability=capability,
                )
                conflicts += bool(merged.conflicts)
    assert 0 < conflicts < ROUNDS * resources, "the input has clean merges and conflicts"
    watch.report(ROUNDS * resources)


def changed_on_both_sides() -> Iterator[tuple[Document, Document, Document, Document]]:
    """base_local, base_remote, local, remote of every resource of the population, seed 1; no two share an object."""
    for number, body in enumerate(population(patients=100_000, seed=1)):
        base_local, base_remote, local, remote = (read_document(body) for _ in range(4))
        remote["meta"] = {**remote.get("meta", {}), "versionId": "2"}
        _edit_here(local, number)
        _edit_there(remote, number)
        yield base_local, base_remote, local, remote


def _edit_here(local: Document, number: int) -> None:
    local.setdefault("identifier", []).append({"system": "urn:here", "value": f"L{number}"})
    if "note" in local or number % 3 == 0:
        local["note"] = [*local.get("note", ()), {"text": "seen here"}]
    _one_in_ten(local, number, Number("7.10"), "unknown")


def _edit_there(remote: Document, number: int) -> None:
    remote.setdefault("identifier", []).insert(0, {"system": "urn:there", "value": f"R{number}"})
    if remote.get("telecom"):
        remote["telecom"][0]["rank"] = 1
    remote["language"] = "en-GB"
    _one_in_ten(remote, number, Number("7.2"), "other")


def _one_in_ten(document: dict[str, Any], number: int, value: Number, code: str) -> None:
    """What the sides will contradict each other in."""
    if number % 10:
        return
    if "valueQuantity" in document:
        document["valueQuantity"]["value"] = value
    elif "gender" in document:
        document["gender"] = code
    else:
        document["status"] = code
