"""What the newest jobs did before this one, for the pictures in metadata; asked once a step.

Law: counts and times only, from the statistics that each job's end has written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.outcome import outcomes_of
from holovitals_pipelines.model.job import Outcome
from holovitals_pipelines.orchestration.history_chart import Run, history_chart
from holovitals_pipelines.store.statistics import PastOutcome, past_outcomes

if TYPE_CHECKING:
    from holovitals_pipelines.engine.session import JobSession

RUNS_SHOWN = 12
COUNTED = ("created", "updated", "unchanged", "conflicts", "held", "quarantined", "pushed", "refused writes", "seconds")
_OF_A_TYPE = ("created", "updated", "unchanged", "conflicts", "quarantined")

History = Mapping[str, Sequence[Run]]
"""By resource type, the oldest first."""


def history_of(session: JobSession) -> History:
    """Of each type, the jobs of this connection that have ended."""
    with session.home.database.read() as transaction:
        past = past_outcomes(transaction, RUNS_SHOWN - 1, session.connection.name)
    runs: defaultdict[str, list[Run]] = defaultdict(list)
    for one in past:
        runs[one.resource_type].append(Run(one.started_at, _counts(one.outcome)))
    return runs


def chart_of_type(
    history: History, resource_type: str, outcome: Outcome, now: datetime, names: Sequence[str] = _OF_A_TYPE
) -> dg.MarkdownMetadataValue:
    """The type's last jobs, this one at the end."""
    return history_chart([*history.get(resource_type, ()), Run(now, _counts(outcome))], names)


def chart_of_connection(session: JobSession) -> dg.MarkdownMetadataValue:
    """All types of the connection together, this job at the end."""
    with session.home.database.read() as transaction:
        past = past_outcomes(transaction, RUNS_SHOWN - 1, session.connection.name)
    now = Outcome()
    for outcome in outcomes_of(session.stage_rows()).values():
        now = now.plus(outcome)
    return history_chart([*_by_job(past), Run(session.now(), _counts(now))], COUNTED)


def chart_of_all(home: Home) -> dg.MarkdownMetadataValue:
    """The newest jobs of all connections."""
    with home.database.read() as transaction:
        past = past_outcomes(transaction, RUNS_SHOWN)
    return history_chart(runs, COUNTED) if (runs := _by_job(past)) else dg.MetadataValue.md("no job has ended yet")


def _by_job(past: Sequence[PastOutcome]) -> list[Run]:
    total: dict[tuple[str, datetime], Outcome] = {}
    for one in past:
        job = (one.connection, one.started_at)
        total[job] = total.get(job, Outcome()).plus(one.outcome)
    return [Run(at, _counts(outcome)) for (_, at), outcome in total.items()]


def _counts(outcome: Outcome) -> dict[str, float]:
    plain = {name: float(getattr(outcome, name.replace(" ", "_"))) for name in COUNTED}
    return plain | {"seconds": round(outcome.seconds, 1)}
