"""Claims about what waits at a connection: nothing is overdue, nothing grave stays different. They never block.

They judge the operational store as it is, so they can be run by themselves at any time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from holovitals_pipelines.model.vocabulary import ConflictSeverity
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.store.backlog import Backlog, backlog_of

CRITICAL = ConflictSeverity.CRITICAL.value


@dataclass(frozen=True, slots=True)
class Claim:
    """`broken_by` counts what contradicts the claim."""

    name: str
    severity: dg.AssetCheckSeverity
    description: str
    broken_by: Callable[[Backlog], int]
    remedy: str


CLAIMS = (
    Claim(
        "no_critical_conflict_is_overdue",
        dg.AssetCheckSeverity.ERROR,
        "Every open conflict of severity CRITICAL is within its due time (4 hours).",
        lambda backlog: backlog.overdue[CRITICAL],
        "decide them now: holovitals conflicts list --severity CRITICAL",
    ),
    Claim(
        "every_other_conflict_is_in_time",
        dg.AssetCheckSeverity.WARN,
        "Every other open conflict is within its due time (HIGH a day, MEDIUM a week).",
        lambda backlog: sum(backlog.overdue.values()) - backlog.overdue[CRITICAL],
        "decide them: holovitals conflicts list",
    ),
    Claim(
        "no_standing_difference_is_critical",
        dg.AssetCheckSeverity.WARN,
        "Nothing grave stays different because the vendor cannot be written there.",
        lambda backlog: backlog.standing[CRITICAL],
        "look at them, and have the vendor's side changed by the vendor's own means: holovitals standing",
    ),
)


def backlog_checks(connection: str) -> dg.AssetChecksDefinition:
    """Checks of `<connection>/writeback`: they run after it, or alone."""
    asset = dg.AssetKey([connection, "writeback"])
    specs = [dg.AssetCheckSpec(claim.name, asset=asset, description=claim.description) for claim in CLAIMS]

    @dg.multi_asset_check(name=f"{connection}_backlog", specs=specs, can_subset=True)
    def backlog(context: dg.AssetCheckExecutionContext, home: HomeResource) -> Iterator[dg.AssetCheckResult]:
        wanted = {key.name for key in context.selected_asset_check_keys}
        with home.open() as opened, opened.database.read() as transaction:
            found = backlog_of(transaction, connection, datetime.now(UTC))
        for claim in CLAIMS:
            if claim.name in wanted:
                broken = claim.broken_by(found)
                yield dg.AssetCheckResult(
                    asset_key=asset,
                    check_name=claim.name,
                    passed=broken == 0,
                    severity=claim.severity,
                    metadata={"count": broken, "remedy": claim.remedy if broken else "-"},
                )

    return backlog
