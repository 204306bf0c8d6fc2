"""`python -m benchmarks.quality`: how long the quality claims take on a batch of Observations, part by part.

Law: the batch is made of valid bodies of ordinary size, every one different.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import orjson
import pyarrow as pa

from holovitals_pipelines.quality.projection import connect, project, slices
from holovitals_pipelines.quality.relations import dangling_references, sharing_identifiers
from holovitals_pipelines.quality.runner import run_structural, run_suite
from holovitals_pipelines.quality.thresholds import default_thresholds

PATIENTS = 10_000


def observations(rows: int) -> pa.Table:
    bodies = [
        orjson.dumps(
            {
                "resourceType": "Observation",
                "id": f"o{number}",
                "status": "final",
                "category": [{"coding": [{"system": "urn:category", "code": "vital-signs"}]}],
                "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}], "text": "Heart rate"},
                "subject": {"reference": f"Patient/p{number % PATIENTS}"},
                "effectiveDateTime": "2025-05-01T10:00:00Z",
                "valueQuantity": {"value": 40 + number % 100, "unit": "/min", "code": "/min"},
            }
        )
        for number in range(rows)
    ]
    ids = pa.array([f"o{number}" for number in range(rows)], pa.string())
    return pa.table({"remote_id": ids, "body": pa.array(bodies, pa.binary())})


def patients(rows: int) -> pa.Table:
    bodies = [
        orjson.dumps({"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": str(number)}]})
        for number in range(rows)
    ]
    ids = pa.array([f"p{number}" for number in range(rows)], pa.string())
    return pa.table({"remote_id": ids, "body": pa.array(bodies, pa.binary())})


def seconds(name: str, work: Callable[[], object]) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    work()
    print(f"{name:44} {time.perf_counter() - began:8.2f} s   {time.process_time() - cpu:8.2f} CPU s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    table = observations(rows)
    claims = [one for one in default_thresholds().reported("", "Observation") if one.name != "references_resolve"]
    columns = list(dict.fromkeys(column for claim in claims for column in claim.columns))

    def projected() -> None:
        with connect() as connection:
            for piece in slices(table):
                project(connection, piece, columns)

    print(f"{rows:,} Observations, {table.nbytes / 1e6:.0f} MB, {len(claims)} claims about rows")
    seconds("Great Expectations: import, and 100 rows", lambda: run_suite("Observation", table.slice(0, 100)))
    seconds("structural claims (DuckDB)", lambda: run_structural("Observation", table))
    seconds("projection alone (DuckDB)", projected)
    seconds("whole suite (projection, Great Expectations)", lambda: run_suite("Observation", table))
    known = {"Patient": [f"p{number}" for number in range(PATIENTS)]}
    seconds("references resolve (DuckDB)", lambda: dangling_references(table, known))
    people = patients(min(rows, 100_000))
    seconds(f"identifiers of {people.num_rows:,} Patients (DuckDB)", lambda: sharing_identifiers(people))


if __name__ == "__main__":
    main()
