"""What every step of the main job shares: the engine session of its run, and errors that explain themselves."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import dagster as dg

from holovitals_pipelines.engine.failure import failure_of
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.jobs import CANCELLED, end_job, give_to_run, open_session
from holovitals_pipelines.engine.session import JobSession
from holovitals_pipelines.engine.sync import publish_statistics
from holovitals_pipelines.engine.worker import worker_name
from holovitals_pipelines.model.errors import HoloVitalsError, JobError, TransientError
from holovitals_pipelines.model.job import JobReport, SyncRequest
from holovitals_pipelines.model.vocabulary import Direction, JobType, Stage
from holovitals_pipelines.orchestration.run_progress import RunProgress

WRITE_BACK = "writeback"
LAYERS = {
    Stage.EXTRACT: "extract",
    Stage.TRANSFORM: "records",
    Stage.RECONCILE: "conflicts",
    Stage.WRITE_BACK: WRITE_BACK,
}
"""The assets each stage materializes: `<connection>/<layer>/<resource type>`, and one `<connection>/writeback`."""

JOB_TAG = "holovitals/job_id"


@contextmanager
def stage_of_run(
    context: dg.AssetExecutionContext,
    home: Home,
    connection: str,
    offered: list[str],
    full: bool = False,
    waiting_job: str | None = None,
) -> Iterator[JobSession]:
    """The engine session of the main job of this run, with the types and the direction that its selection means.

    `waiting_job` is one that was queued: it says itself what is to be read, so that no run carries a patient's id.
    """
    if waiting_job is not None:
        try:
            give_to_run(home, waiting_job, connection, context.run.root_run_id or context.run.run_id)
        except HoloVitalsError as error:
            raise as_failure(error) from None
    with session_of_run(context, home, _request(context, connection, offered, full)) as session:
        yield session


@contextmanager
def session_of_run(context: dg.AssetExecutionContext, home: Home, request: SyncRequest) -> Iterator[JobSession]:
    """The engine session of this run's job; the same job for every step of the run and for its retries.

    An error ends the job as FAILED and becomes a dg.Failure whose description is the sentence to read. A step that
    Dagster gives up between two results never comes back here: `run_ends.py` ends its job.
    """
    run = context.run
    owner = worker_name()
    progress = RunProgress(context.log)
    try:
        with open_session(
            home, request, owner=owner, run_id=run.root_run_id or run.run_id, progress=progress
        ) as session:
            context.instance.add_run_tags(run.run_id, {JOB_TAG: session.job_id})
            try:
                yield session
            except dg.Failure:  # the job has ended already
                raise
            except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt):
                end_job(session, run_was_cancelled(session.place))
                raise
            except Exception as error:
                end_job(session, failure_of(error))
                raise
    except HoloVitalsError as error:
        publish_statistics(home)
        raise as_failure(error) from None
    except dg.Failure:
        raise
    except Exception as error:  # noqa: BLE001 - it goes on as a dg.Failure
        publish_statistics(home)
        # Its text may hold health data, and Dagster would keep it. Where it was raised says enough, and goes with the
        # failure.
        raise as_failure(failure_of(error), raised_at=places_of(error)) from None


def run_was_cancelled(place: str) -> JobError:
    return JobError("the run was cancelled", code=CANCELLED, place=place)


def as_failure(error: HoloVitalsError, raised_at: str = "") -> dg.Failure:
    """Retrying helps only against transient errors; everything else waits for a person."""
    metadata = {"code": error.code, "place": error.place or "-", "remedy": error.remedy or "-"}
    return dg.Failure(
        description=str(error),
        metadata=metadata | ({"raised at": dg.MetadataValue.md(raised_at)} if raised_at else {}),
        allow_retries=isinstance(error, TransientError),
    )


def places_of(error: BaseException) -> str:
    """Where an unexpected exception came from, innermost last, without its text or any value."""
    frames = traceback.extract_tb(error.__traceback__)
    return "\n".join(f"- `{frame.filename}:{frame.lineno}` {frame.name}" for frame in frames)


def finish_if_last(context: dg.AssetExecutionContext, session: JobSession, stage: Stage) -> None:
    """End the job after the last stage this run has selected. Raises dg.Failure when resource types failed."""
    selected = _selected_layers(context, session.connection.name)
    later = list(LAYERS)[list(LAYERS).index(stage) + 1 :]
    if not any(LAYERS[one] in selected for one in later):
        finish(session)


def finish(session: JobSession) -> JobReport:
    """End the job and report it. Raises dg.Failure when resource types failed."""
    report = end_job(session)
    if not report.succeeded:
        publish_statistics(session.home)
        raise dg.Failure(description=describe_failure(report), metadata={"job": report.job_id}, allow_retries=False)
    return report


def describe_failure(report: JobReport) -> str:
    """A failed job in sentences: what failed, where, what to do; the first three errors."""
    shown = [error for error in report.errors if error.severity != "WARNING"][:3]
    lines = [
        f"[{error.code}] {error.source or error.resource_type or ''}"
        + (f":{error.line}" if error.line else "")
        + f" {error.message}"
        + (f" Remedy: {error.remedy}" if error.remedy else "")
        for error in shown
    ]
    rest = report.error_count - len(shown)
    if rest > 0:
        lines.append(f"… and {rest} more errors and warnings: holovitals jobs show {report.job_id}")
    return f"Job {report.job_id} of connection {report.connection} failed.\n" + "\n".join(lines)


def _request(context: dg.AssetExecutionContext, connection: str, offered: list[str], full: bool) -> SyncRequest:
    selected = _selected_layers(context, connection)
    only_writes = set(selected) == {WRITE_BACK}
    named = set().union(*selected.values())
    everything = only_writes or named == set(offered)
    job_type = JobType.FULL_SYNC if full else JobType.INCREMENTAL_SYNC if everything else JobType.RESOURCE_SYNC
    # Without write-back nothing goes out in this job; the next one that has it takes up what is marked.
    both_ways = Direction.BIDIRECTIONAL if WRITE_BACK in selected else Direction.INBOUND
    return SyncRequest(
        connection=connection,
        type=job_type,
        resource_types=tuple(name for name in offered if name in named),
        window=None if only_writes else _past_window(context),
        direction=Direction.OUTBOUND if only_writes else both_ways,
    )


def _selected_layers(context: dg.AssetExecutionContext, connection: str) -> dict[str, set[str]]:
    """What this run has selected of the connection: resource types by layer, none for `writeback`."""
    layers: dict[str, set[str]] = {}
    for key in context.job_def.asset_layer.selected_asset_keys:
        if len(key.path) > 1 and key.path[0] == connection and key.path[1] in LAYERS.values():
            layers.setdefault(key.path[1], set()).update(key.path[2:])
    return layers


def _past_window(context: dg.AssetExecutionContext) -> tuple[datetime, datetime] | None:
    """The interval of a backfill; None when the partitions reach today, which is the ordinary sync."""
    if not context.has_partition_key and not context.has_partition_key_range:
        return None
    window = context.partition_time_window
    start, end = window.start.astimezone(UTC), window.end.astimezone(UTC)
    return None if end > datetime.now(UTC) else (start, end)
