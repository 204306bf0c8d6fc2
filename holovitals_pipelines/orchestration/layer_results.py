"""What each layer hands to Dagster for one resource type: a materialization with counts and shapes, and its checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from holovitals_pipelines.engine import batches
from holovitals_pipelines.engine.outcome import outcomes_of
from holovitals_pipelines.model.errors import JobError
from holovitals_pipelines.model.job import Outcome
from holovitals_pipelines.model.vocabulary import Dataset, Stage
from holovitals_pipelines.orchestration.asset_metadata import column_schema, outcome_metadata, records_lineage, shape_of
from holovitals_pipelines.orchestration.quality_checks import structural_results
from holovitals_pipelines.orchestration.run_history import History, chart_of_type, history_of

if TYPE_CHECKING:
    from holovitals_pipelines.engine.session import JobSession
    from holovitals_pipelines.store.stages import StageRow

READ_IS_COMPLETE = "the_read_is_complete"


def extract_result(session: JobSession, resource_type: str) -> dg.MaterializeResult[None]:
    row = session.stage_row(resource_type, Stage.EXTRACT)
    outcome = _outcome(session, resource_type)
    key = dg.AssetKey([session.connection.name, "extract", resource_type])
    return dg.MaterializeResult(
        asset_key=key,
        metadata={
            "dagster/partition_row_count": outcome.extracted,
            "dagster/column_schema": column_schema(batches.EXTRACT),
            "bytes": outcome.bytes,
            "refused": outcome.quarantined,
            "seconds": round(outcome.extract_seconds, 2),
            "changes are found by": (row.mechanism if row else None) or "the server does not offer this type",
            "holovitals job": session.job_id,
        },
        check_results=[
            dg.AssetCheckResult(
                asset_key=key,
                check_name=READ_IS_COMPLETE,
                passed=row is None or row.state == "done",
                metadata=_why_not(row),
            )
        ],
    )


def _why_not(row: StageRow | None) -> dict[str, str]:
    if row is None or row.state == "done":
        return {"error": "-"}
    return {
        "error": row.error_message or "the read has not come to its end",
        "code": row.error_code or "-",
        "what to do": "see the remedy at the failed step of the run; once the cause is gone: Re-execute, From failure. "
        "What has landed is not read again.",
    }


def records_result(session: JobSession, resource_type: str) -> dg.MaterializeResult[None]:
    outcome = _outcome(session, resource_type)
    connection = session.connection.name
    return dg.MaterializeResult(
        asset_key=[connection, "records", resource_type],
        metadata={
            "dagster/partition_row_count": session.rows_in(Dataset.RECORDS, resource_type),
            "dagster/column_schema": column_schema(batches.RECORDS),
            "dagster/column_lineage": records_lineage(connection, resource_type),
            "unchanged bytes": outcome.unchanged,
            "made by": _made_by(session, resource_type),
            "quarantined": outcome.quarantined,
            "seconds": round(outcome.transform_seconds, 2),
            "shape": shape_of(session.batch(Dataset.RECORDS, resource_type, ["body"])),
        },
        check_results=structural_results(session, resource_type),
    )


def _made_by(session: JobSession, resource_type: str) -> str:
    conversion = session.conversions.inbound(resource_type)
    return "the vendor, as FHIR R4" if conversion is None else f"rules: {conversion.name}"


def conflicts_result(
    session: JobSession, resource_type: str, history: History | None = None
) -> dg.MaterializeResult[None]:
    """`history`: of the connection's types, where the caller has asked already."""
    outcome = _outcome(session, resource_type)
    return dg.MaterializeResult(
        asset_key=[session.connection.name, "conflicts", resource_type],
        metadata={
            "last runs": chart_of_type(history or history_of(session), resource_type, outcome, session.now()),
            "dagster/partition_row_count": outcome.conflicts,
            **outcome_metadata(outcome),
            "seconds": round(outcome.reconcile_seconds, 2),
            "holovitals job": session.job_id,
        },
    )


def breaks_its_structure(result: dg.MaterializeResult[None]) -> bool:
    return any(not check.passed for check in result.check_results)


def has_sound_structure(session: JobSession, resource_type: str) -> bool:
    """Whether the records batch keeps every structural claim; the outcome is stored with the quality results."""
    return all(check.passed for check in structural_results(session, resource_type))


def block(session: JobSession, resource_types: list[str]) -> None:
    """End the job where batches break a structural claim: they are not reconciled, now or later. Raises JobError."""
    if not resource_types:
        return
    for name in resource_types:
        session.fail_type(name, Stage.TRANSFORM, _blocked(session, [name]))
    raise _blocked(session, resource_types)


def _blocked(session: JobSession, resource_types: list[str]) -> JobError:
    return JobError(
        f"the records batch of {', '.join(resource_types)} breaks a structural claim",
        code="quality.blocked",
        place=session.place,
        remedy="look at the failed asset checks; the extract is landed and nothing of these types was committed",
    )


def _outcome(session: JobSession, resource_type: str) -> Outcome:
    return outcomes_of(session.stage_rows()).get(resource_type, Outcome())
