"""A rerun from failure begins at the step that failed; what its job lacks from the steps before is made up for here.

One law: a resource type whose read failed is read afresh by the rerun, whichever step the rerun begins with.
"""

from __future__ import annotations

import dagster as dg

from holovitals_pipelines.engine.extract import extract
from holovitals_pipelines.engine.reconcile import reconcile
from holovitals_pipelines.engine.session import JobSession
from holovitals_pipelines.engine.transform import transform
from holovitals_pipelines.model.vocabulary import Stage
from holovitals_pipelines.orchestration.layer_results import (
    block,
    breaks_its_structure,
    conflicts_result,
    extract_result,
    records_result,
)


def read_what_failed(context: dg.AssetExecutionContext, session: JobSession) -> list[str]:
    """Extract the types whose read did not end in this job; returns them. None in an ordinary run."""
    rows = [row for row in session.stage_rows() if row.stage == Stage.EXTRACT and row.state == "running"]
    unread = [row.resource_type for row in rows]
    if unread:
        context.log.info(f"reading afresh what failed before: {', '.join(unread)}")
        extract(session, session.open_vendor())
        for name in unread:
            _report(context, extract_result(session, name))
    return unread


def read_and_transform_what_failed(context: dg.AssetExecutionContext, session: JobSession) -> list[str]:
    """The same, up to records. Raises JobError when a batch breaks a structural claim."""
    blocked = []
    unread = read_what_failed(context, session)
    for name in unread:
        transform(session, name)
        result = records_result(session, name)
        _report(context, result)
        if breaks_its_structure(result):
            blocked.append(name)
    block(session, blocked)
    return unread


def commit_what_failed(context: dg.AssetExecutionContext, session: JobSession) -> None:
    """The same, up to the operational store."""
    for name in read_and_transform_what_failed(context, session):
        reconcile(session, name)
        _report(context, conflicts_result(session, name))


def _report(context: dg.AssetExecutionContext, result: dg.MaterializeResult[None]) -> None:
    """Into the event log, as the step that should have done it would have put it there."""
    assert result.asset_key is not None
    partitioned = context.has_partition_key or context.has_partition_key_range
    for partition in context.partition_keys if partitioned else [None]:
        context.log_event(dg.AssetMaterialization(result.asset_key, metadata=result.metadata, partition=partition))
    for check in result.check_results:
        assert check.asset_key is not None and check.check_name is not None
        context.log_event(
            dg.AssetCheckEvaluation(
                asset_key=check.asset_key,
                check_name=check.check_name,
                passed=check.passed,
                metadata=check.metadata,
                severity=check.severity,
            )
        )
