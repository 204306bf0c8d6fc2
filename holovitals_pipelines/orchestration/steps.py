"""What every step of the main job shares: the engine session of its run, and errors that explain themselves."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime

import dagster as dg

from holovitals_pipelines.engine.failure import failure_of
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.jobs import end_job, give_to_run, open_session
from holovitals_pipelines.engine.retrying import CANCELLED
from holovitals_pipelines.engine.session import JobSession
from holovitals_pipelines.engine.sync import publish_statistics
from holovitals_pipelines.engine.worker import worker_name
from holovitals_pipelines.model.errors import HoloVitalsError, JobBusyError, JobError, TransientError
from holovitals_pipelines.model.job import JobReport, ReportedError, SyncRequest, request_from
from holovitals_pipelines.model.vocabulary import TERMINAL_STATUSES, Direction, JobStatus, JobType, Stage
from holovitals_pipelines.orchestration.executors import fans_out
from holovitals_pipelines.orchestration.run_progress import SECONDS_BETWEEN_LINES, RunProgress
from holovitals_pipelines.orchestration.run_tags import connection_tags, request_tags
from holovitals_pipelines.store.jobs import Job, get_job, list_jobs

WRITE_BACK = "writeback"
LAYERS = {
    Stage.EXTRACT: "extract",
    Stage.TRANSFORM: "records",
    Stage.RECONCILE: "conflicts",
    Stage.WRITE_BACK: WRITE_BACK,
}
"""The assets each stage materializes: `<connection>/<layer>/<resource type>`, and one `<connection>/writeback`."""

JOB_TAG = "holovitals/job_id"
SECONDS_BETWEEN_TRIES = 0.3

StepContext = dg.AssetExecutionContext | dg.OpExecutionContext


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
def session_of_run(context: StepContext, home: Home, request: SyncRequest) -> Iterator[JobSession]:
    """The engine session of this run's job; the same job for every step of the run and for its retries.

    An error ends the job as FAILED and becomes a dg.Failure whose description is the sentence to read. A step that
    Dagster gives up between two results never comes back here: `run_ends.py` ends its job.
    """
    run = context.run
    owner = worker_name()
    progress = RunProgress(context.log)
    queued_again: JobReport | None = None
    try:
        with _when_free(context, home, request, owner, progress) as session:
            context.instance.add_run_tags(run.run_id, _tags_of(session))
            try:
                yield session
            except dg.Failure:  # the job has ended already
                raise
            except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt):
                end_job(session, run_was_cancelled(session.place))
                raise
            except Exception as error:
                ended = end_job(session, failure_of(error))
                queued_again = ended if ended.status is JobStatus.RETRYING else None
                raise
    except HoloVitalsError as error:
        publish_statistics(home)
        if error.code == CANCELLED:  # asked for at the job: the run is a cancelled one as well
            context.instance.report_run_canceling(run, "Its job was cancelled.")
            raise dg.DagsterExecutionInterruptedError from None
        raise as_failure(error, queued_again=_next_try(home, queued_again)) from None
    except dg.Failure:
        raise
    except Exception as error:  # noqa: BLE001 - it goes on as a dg.Failure
        publish_statistics(home)
        # Its text may hold health data, and Dagster would keep it. Where it was raised says enough, and goes with the
        # failure.
        raise as_failure(failure_of(error), raised_at=places_of(error)) from None


def _when_free(
    context: StepContext, home: Home, request: SyncRequest, owner: str, progress: RunProgress
) -> AbstractContextManager[JobSession]:
    """The session, as soon as no other job is at work on the connection. Raises JobBusyError after the setting's time.

    Dagster's pool keeps runs of the queue apart; a warm worker, or a command, holds the connection without it.
    """
    run_id = context.run.root_run_id or context.run.run_id
    until = time.monotonic() + home.settings.connection_wait_seconds
    say_at = time.monotonic()
    given: str | None = None
    while True:
        opened = ExitStack()
        try:
            moves = fans_out(home.settings)
            session = opened.enter_context(
                open_session(home, request, owner=owner, run_id=run_id, progress=progress, steps_move=moves)
            )
        except JobBusyError as busy:
            if time.monotonic() >= until:
                raise
            if time.monotonic() >= say_at:
                context.log.info(f"waiting: {busy.message} ({busy.place})")
                say_at += SECONDS_BETWEEN_LINES
            time.sleep(SECONDS_BETWEEN_TRIES)
            given = _job_that_waits(home, run_id, given)
        else:
            return _entered(opened, session)


def _job_that_waits(home: Home, run_id: str, given: str | None) -> str | None:
    """The job the run was given, if it was given one. Raises JobError once that has ended, for it was cancelled."""
    with home.database.read() as transaction:
        if given is None:
            found = list_jobs(transaction, run_id=run_id, limit=1)
            return next((job.job_id for job in found if job.status not in TERMINAL_STATUSES), None)
        if get_job(transaction, given).status in TERMINAL_STATUSES:
            raise run_was_cancelled(f"job {given}")
    return given


@contextmanager
def _entered(opened: ExitStack, session: JobSession) -> Iterator[JobSession]:
    with opened:
        yield session


def run_was_cancelled(place: str) -> JobError:
    return JobError("the run was cancelled", code=CANCELLED, place=place)


def as_failure(error: HoloVitalsError, raised_at: str = "", *, queued_again: str = "") -> dg.Failure:
    """Retrying helps only against transient errors; everything else waits for a person. A job that is `queued_again`
    (when, in words) goes on in another run: were the step repeated as well, the run would begin a job of its own."""
    metadata = {"code": error.code, "place": error.place or "-", "remedy": error.remedy or "-"}
    if queued_again:
        metadata["tried again"] = queued_again
    return dg.Failure(
        description=f"{error} {queued_again}".rstrip(),
        metadata=metadata | ({"raised at": dg.MetadataValue.md(raised_at)} if raised_at else {}),
        allow_retries=isinstance(error, TransientError) and not queued_again,
    )


def _next_try(home: Home, ended: JobReport | None) -> str:
    """When the queue tries the job again, in words; nothing for a job that has ended."""
    if ended is None:
        return ""
    with home.database.read() as transaction:
        job = get_job(transaction, ended.job_id)
    when = f"not before {job.next_at:%H:%M:%S} UTC" if job.next_at else "as soon as its turn comes"
    return f"The queue tries the job again, {when}; attempt {job.attempt} of {_attempts(job)} has failed."


def _attempts(job: Job) -> int:
    return request_from(job.request).options.max_retries + 1


def _tags_of(session: JobSession) -> dict[str, str]:
    """Of the run of every lane, whoever launched it."""
    connection = session.connection
    known = connection_tags(connection.name, connection.provider.value)
    return {JOB_TAG: session.job_id, **known, **request_tags(session.request)}


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
        raise dg.Failure(description=describe_failure(report), metadata=_first_error(report), allow_retries=False)
    return report


def _first_error(report: JobReport) -> dict[str, str]:
    found = {"job": report.job_id}
    for error in errors_of(report)[:1]:
        place = error.source or error.resource_type or "-"
        found |= {"code": error.code, "place": place, "remedy": error.remedy or "-"}
    return found


def errors_of(report: JobReport) -> list[ReportedError]:
    return [error for error in report.errors if error.severity != "WARNING"]


def describe_failure(report: JobReport) -> str:
    """A failed job in sentences: what failed, where, what to do; the first three errors."""
    shown = errors_of(report)[:3]
    lines = [
        f"[{error.code}] {error.source or error.resource_type or 'the job'}"
        + (f", line {error.line}" if error.line else "")
        + f": {error.message}"
        + (f"\n    Remedy: {error.remedy}" if error.remedy else "")
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
    past = None if only_writes else _past_window(context)
    # What landed on days of the past is not read anew but transformed anew, unless the extract is to be filled too.
    replay = past is not None and LAYERS[Stage.TRANSFORM] in selected and LAYERS[Stage.EXTRACT] not in selected
    # Without write-back nothing goes out in this job; the next one that has it takes up what is marked.
    both_ways = Direction.BIDIRECTIONAL if WRITE_BACK in selected else Direction.INBOUND
    return SyncRequest(
        connection=connection,
        type=job_type,
        resource_types=tuple(name for name in offered if name in named),
        window=None if replay else past,
        direction=Direction.OUTBOUND if only_writes else both_ways,
        replay=replay,
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
