"""Quality suites as asset checks: structure inside the records step (it blocks), row-level claims beside it.

Great Expectations takes seconds to import, so it is imported inside the check and nowhere else (dagster.md §8).
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import dagster as dg

from holovitals_pipelines.model.vocabulary import Dataset, ErrorSeverity
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.quality.suites import reported_for, structural_for
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store.quality import save_quality

if TYPE_CHECKING:
    from holovitals_pipelines.engine.session import JobSession
    from holovitals_pipelines.model.quality import CheckOutcome

SEVERITY = {
    ErrorSeverity.CRITICAL: dg.AssetCheckSeverity.ERROR,
    ErrorSeverity.ERROR: dg.AssetCheckSeverity.ERROR,
    ErrorSeverity.WARNING: dg.AssetCheckSeverity.WARN,
}


def structural_specs(connection: str, types: Iterable[str]) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(
            claim.name,
            asset=dg.AssetKey([connection, "records", name]),
            blocking=claim.blocking,
            description=claim.description,
            metadata=_page_of(connection, name),
        )
        for name in types
        for claim in structural_for(name)
    ]


def structural_results(session: "JobSession", resource_type: str) -> list[dg.AssetCheckResult]:
    """Judge the batch's structure; results go into the operational store too. A batch without rows breaks nothing."""
    if session.rows_in(Dataset.RECORDS, resource_type) == 0:
        claims = structural_for(resource_type)
        return [_nothing_new(session.connection.name, resource_type, claim.name) for claim in claims]
    from holovitals_pipelines.quality.runner import run_structural

    outcomes = run_structural(resource_type, session.batch(Dataset.RECORDS, resource_type))
    with session.transaction() as transaction:
        save_quality(transaction, session.job_id, session.connection.name, resource_type, outcomes, session.now())
    return [_result(session.connection.name, resource_type, outcome) for outcome in outcomes]


def quality_checks(connection: str, types: list[str], *, by_type: bool = False) -> list[dg.AssetChecksDefinition]:
    """Claims about the rows of the newest records batch of each type: reported, never blocking.

    `by_type`: a step for each type, for several workers to do at once; they only read, so none waits for another. In
    one process one step for all is cheaper.
    """
    if by_type:
        return [_quality(f"{connection}_quality_{name}", connection, [name]) for name in types if reported_for(name)]
    return [_quality(f"{connection}_quality", connection, types)]


def _quality(step: str, connection: str, types: list[str]) -> dg.AssetChecksDefinition:
    specs = [
        dg.AssetCheckSpec(
            claim.name,
            asset=dg.AssetKey([connection, "records", name]),
            blocking=claim.blocking,
            description=claim.description,
            metadata=_page_of(connection, name),
        )
        for name in types
        for claim in reported_for(name)
    ]

    @dg.multi_asset_check(name=step, specs=specs, can_subset=True)
    def quality(context: dg.AssetCheckExecutionContext, home: HomeResource) -> Iterator[dg.AssetCheckResult]:
        from holovitals_pipelines.engine.quality import judge_newest_batch

        wanted = {(key.asset_key.path[-1], key.name) for key in context.selected_asset_check_keys}
        with home.open() as opened:
            for name in types:
                claims = [claim for resource_type, claim in sorted(wanted) if resource_type == name]
                judged = {o.name: o for o in judge_newest_batch(opened, connection, name)} if claims else {}
                for claim in claims:
                    outcome = judged.get(claim)
                    yield _result(connection, name, outcome) if outcome else _nothing_new(connection, name, claim)

    return quality


def _page_of(connection: str, resource_type: str) -> dict[str, dg.MetadataValue]:
    """The page of all claims, at this type, where the API's address is known."""
    api = Settings().api_url
    if api is None:
        return {}
    return {"data docs": dg.MetadataValue.url(f"{api.rstrip('/')}/quality#{connection}-{resource_type}")}


def _nothing_new(connection: str, resource_type: str, claim: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=[connection, "records", resource_type],
        check_name=claim,
        passed=True,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"rows": 0, "note": "nothing new to judge: no resource of this type has changed"},
    )


def _result(connection: str, resource_type: str, outcome: "CheckOutcome") -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=[connection, "records", resource_type],
        check_name=outcome.name,
        passed=outcome.passed,
        severity=SEVERITY[outcome.severity],
        metadata={
            "finding": _finding(outcome),
            "expectation": outcome.expectation,
            "rows": outcome.rows,
            "unexpected": outcome.unexpected,
        },
    )


def _finding(outcome: "CheckOutcome") -> str:
    if not outcome.unexpected:
        return f"all of {outcome.rows:,} records keep it"
    broken = f"{outcome.unexpected:,} of {outcome.rows:,} records break it"
    return f"{broken}, which is tolerated" if outcome.passed else f"{broken}, which is more than is tolerated"
