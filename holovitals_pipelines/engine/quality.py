"""Quality of what was landed: the newest records batch of a type judged by its suite, the counts kept.

Law: what is kept is counts by claim; the claims are held to the installation's thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.model.job import request_from
from holovitals_pipelines.model.quality import CheckOutcome
from holovitals_pipelines.model.vocabulary import Dataset, Stage
from holovitals_pipelines.quality.expectations import Expectation
from holovitals_pipelines.quality.relations import dangling_references
from holovitals_pipelines.quality.runner import run_suite
from holovitals_pipelines.quality.suites import REFERENCES
from holovitals_pipelines.store.agreements import remote_ids
from holovitals_pipelines.store.jobs import get_job
from holovitals_pipelines.store.parts import landed_types, newest_job_with, parts_of
from holovitals_pipelines.store.quality import save_quality

_BY_STORE = frozenset(claim.name for claim in REFERENCES)


def judge_newest_batch(home: Home, connection: str, resource_type: str) -> Sequence[CheckOutcome]:
    """Outcomes of the claims about rows for the newest transformed batch; none where no batch has rows, or where its
    job asked for no such checks."""
    with home.database.read() as transaction:
        job_id = newest_job_with(transaction, connection, resource_type, Stage.TRANSFORM)
        if job_id and not request_from(get_job(transaction, job_id).request).options.validate_data:
            return []
        parts = parts_of(transaction, job_id, Dataset.RECORDS, resource_type) if job_id else []
    if job_id is None or not parts:
        return []
    claims = home.thresholds.reported(connection, resource_type)
    by_row = [claim for claim in claims if claim.name not in _BY_STORE]
    names = {claim.name for claim in by_row}
    paths = [part.path for part in parts]
    batch = home.landing.open_parts(paths, columns=["remote_id", "evidence", "body"])
    outcomes = [one for one in run_suite(resource_type, batch, claims=by_row) if one.name in names]
    for claim in claims:
        if claim.name in _BY_STORE:
            outcomes.append(_references(home, connection, claim, paths))
    with home.database.write() as transaction:
        save_quality(transaction, job_id, connection, resource_type, outcomes, datetime.now(UTC))
    return outcomes


def _references(home: Home, connection: str, claim: Expectation, paths: list[str]) -> CheckOutcome:
    with home.database.read() as transaction:
        known = {name: remote_ids(transaction, connection, name) for name in landed_types(transaction, connection)}
    batch = home.landing.open_parts(paths, columns=["remote_id", "evidence", "body"])
    found = dangling_references(batch, {name: [one for one in ids if one] for name, ids in known.items()})
    return CheckOutcome(
        name=claim.name,
        expectation=claim.expectation_type,
        severity=claim.severity,
        blocking=claim.blocking,
        passed=found.unexpected <= claim.tolerance * found.judged,
        rows=found.rows,
        unexpected=found.unexpected,
        description=claim.description,
        holds_write_back=claim.holds_write_back,
    )
