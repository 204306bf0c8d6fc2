"""What write-back and the comparison of both sides hand to Dagster: what was done, and what waits.

Law: counts by resource type and by severity; no record, no unit and no value is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from holovitals_pipelines.engine.outcome import outcomes_of
from holovitals_pipelines.model.job import Outcome
from holovitals_pipelines.model.vocabulary import Stage
from holovitals_pipelines.orchestration.asset_metadata import markdown_table
from holovitals_pipelines.orchestration.run_history import chart_of_connection
from holovitals_pipelines.store.backlog import Backlog, backlog_of
from holovitals_pipelines.store.statistics import Spent, spent_on_requests

if TYPE_CHECKING:
    from holovitals_pipelines.engine.anti_entropy import Compared
    from holovitals_pipelines.engine.session import JobSession
    from holovitals_pipelines.model.job import JobReport


def write_back_result(session: JobSession) -> dg.MaterializeResult[None]:
    """What this job's write-back did, and what waits at the connection after it."""
    rows = [row for row in session.stage_rows() if row.stage is Stage.WRITE_BACK]
    outcomes = outcomes_of(rows)
    total = Outcome()
    for outcome in outcomes.values():
        total = total.plus(outcome)
    connection = session.connection
    with session.home.database.read() as transaction:
        backlog = backlog_of(transaction, connection.name, session.now())
        spent = spent_on_requests(transaction, session.job_id)
    what_became = markdown_table(
        ("resource type", "decided", "pushed", "resolved", "held", "removed", "refused", "put off", "not read"),
        [
            (
                row.resource_type,
                *(
                    row.counts.get(name, 0)
                    for name in ("decided", "pushed", "resolved", "held", "removed", "refused_writes", "put_off")
                ),
                row.counts.get("unread", 0) + row.counts.get("refused", 0),
            )
            for row in rows
        ],
    )
    return dg.MaterializeResult(
        asset_key=[connection.name, "writeback"],
        metadata={
            "last runs": chart_of_connection(session),
            "pushed": total.pushed,
            "held": total.held,
            "resolved": total.resolved,
            "removed": total.removed,
            "refused writes": total.refused_writes,
            "seconds": round(total.write_back_seconds, 2),
            **_waiting(backlog),
            "by resource type": what_became if rows else "nothing was marked and nothing waited",
            "writes to this vendor": "allowed" if connection.write.enabled else "not allowed (write.enabled is false)",
            **_requests(spent),
            "holovitals job": session.job_id,
        },
    )


def comparison_result(connection: str, report: JobReport, types: Mapping[str, Compared]) -> dg.MaterializeResult[None]:
    """What comparing both sides found; all of it has been brought in by the same job."""
    names = ("compared", "missed", "unsent", "absent")
    found = {name: [getattr(of_type, name) for of_type in types.values()] for name in names}
    rows = [(kind, *(counts[place] for counts in found.values())) for place, kind in enumerate(types)]
    return dg.MaterializeResult(
        asset_key=[connection, "anti_entropy"],
        metadata={
            **{name: sum(counts) for name, counts in found.items()},
            "pushed": report.total.pushed,
            "seconds": round(report.seconds, 2),
            "by resource type": markdown_table(("resource type", *names), rows),
            "holovitals job": report.job_id,
        },
    )


def _requests(spent: Spent) -> dict[str, Any]:
    """What the whole job has asked the vendor for, reads and writes."""
    return {
        "requests": spent.requests,
        "failed requests": spent.failures,
        "repeated requests": spent.retries,
        "received bytes": spent.received_bytes,
        "seconds held back by limits": round(spent.waited_seconds, 2),
    }


def _waiting(backlog: Backlog) -> dict[str, Any]:
    gravities = [*backlog.conflicts, *(name for name in backlog.standing if name not in backlog.conflicts)]
    by_severity = markdown_table(
        ("severity", "open conflicts", "of these overdue", "standing differences"),
        [
            (name, backlog.conflicts.get(name, 0), backlog.overdue.get(name, 0), backlog.standing.get(name, 0))
            for name in gravities
        ],
    )
    return {
        "waiting writes": backlog.writes,
        "waiting links": backlog.marked,
        **{f"open conflicts {name.lower()}": count for name, count in backlog.conflicts.items()},
        **{f"standing differences {name.lower()}": count for name, count in backlog.standing.items()},
        "by severity": by_severity,
    }
