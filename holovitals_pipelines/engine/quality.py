"""Quality of what was landed: the newest records batch of a type judged by its suite, the counts kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.model.quality import CheckOutcome
from holovitals_pipelines.model.vocabulary import Dataset, Stage
from holovitals_pipelines.quality.runner import run_suite
from holovitals_pipelines.quality.suites import row_level_for
from holovitals_pipelines.store.parts import newest_job_with, parts_of
from holovitals_pipelines.store.quality import save_quality


def judge_newest_batch(home: Home, connection: str, resource_type: str) -> Sequence[CheckOutcome]:
    """Row-level outcomes for the newest transformed batch; nothing where no batch has rows."""
    with home.database.read() as transaction:
        job_id = newest_job_with(transaction, connection, resource_type, Stage.TRANSFORM)
        parts = parts_of(transaction, job_id, Dataset.RECORDS, resource_type) if job_id else []
    if job_id is None or not parts:
        return []
    claims = {claim.name for claim in row_level_for(resource_type)}
    batch = home.landing.open_parts([part.path for part in parts], columns=["remote_id", "evidence", "body"])
    outcomes = [outcome for outcome in run_suite(resource_type, batch) if outcome.name in claims]
    with home.database.write() as transaction:
        save_quality(transaction, job_id, connection, resource_type, outcomes, datetime.now(UTC))
    return outcomes
