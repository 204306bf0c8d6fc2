"""Claims about what waits at a connection: nothing is overdue, nothing grave stays different, nothing is held back.

Law: they judge the operational store as it is, so they can be run by themselves at any time; they never block.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.quality_gate import holds
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

HOLDS = "quality_holds_nothing_back"
_HOLDS_SAYS = (
    "No resource type is kept from being written back by a quality claim that failed and that nobody has accepted."
)


def backlog_checks(connection: str) -> dg.AssetChecksDefinition:
    """Checks of `<connection>/writeback`: they run after it, or alone."""
    asset = dg.AssetKey([connection, "writeback"])
    specs = [dg.AssetCheckSpec(claim.name, asset=asset, description=claim.description) for claim in CLAIMS]
    specs.append(dg.AssetCheckSpec(HOLDS, asset=asset, description=_HOLDS_SAYS))

    @dg.multi_asset_check(name=f"{connection}_backlog", specs=specs, can_subset=True)
    def backlog(context: dg.AssetCheckExecutionContext, home: HomeResource) -> Iterator[dg.AssetCheckResult]:
        wanted = {key.name for key in context.selected_asset_check_keys}
        with home.open() as opened:
            with opened.database.read() as transaction:
                found = backlog_of(transaction, connection, datetime.now(UTC))
            if HOLDS in wanted:
                yield _held(opened, connection, asset)
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


def _held(home: Home, connection: str, asset: dg.AssetKey) -> dg.AssetCheckResult:
    with home.database.read() as transaction:
        found = holds(home, transaction, connection)
    lines = [
        f"- **{hold.outcome.resource_type}**: `{hold.outcome.check_name}` failed for {hold.outcome.unexpected:,} of"
        f" {hold.outcome.rows:,}. {hold.description} → {hold.as_problem().remedy}"
        for hold in found
    ]
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=HOLDS,
        passed=not found,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"count": len(found), "held back": dg.MetadataValue.md("\n".join(lines) or "-")},
    )
