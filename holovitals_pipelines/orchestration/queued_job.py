"""`queued_<connection>`: one job of the queue as one step, for jobs that are small beside the main job's many assets.

Law: it does what the job asks and nothing else; the assets it touched show what was done, the others are left alone.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Protocol

import dagster as dg
from pydantic import Field

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.jobs import give_to_run
from holovitals_pipelines.engine.session import JobSession
from holovitals_pipelines.engine.sync import publish_statistics, run_stages
from holovitals_pipelines.model.errors import HoloVitalsError
from holovitals_pipelines.model.job import SyncRequest, request_from
from holovitals_pipelines.model.vocabulary import Direction, JobType, Stage
from holovitals_pipelines.orchestration.executors import step_executor
from holovitals_pipelines.orchestration.run_tags import connection_tags, request_tags
from holovitals_pipelines.orchestration.steps import LAYERS, as_failure, finish, session_of_run
from holovitals_pipelines.store.jobs import Job, get_job


class HomeSource(Protocol):
    """Opens the installation for a step: `HomeResource`, or the warm worker's, whose home is open already."""

    def open(self) -> AbstractContextManager[Home]: ...


class QueuedJobConfig(dg.Config):
    job: str = Field(description="the id of a job that waits, as `holovitals jobs list` shows it")
    publish: bool = Field(
        default=True, description="publish the statistics after it; the warm worker does so by itself"
    )


def name_of_queued(connection: str) -> str:
    return f"queued_{connection}"


def queued_job(connection: str, provider: str, resource: dg.ResourceDefinition | None = None) -> dg.JobDefinition:
    """The job of one connection. `resource`: a home of one's own instead of the code location's."""

    @dg.op(name=f"{connection}_queued_job", out=dg.Out(dg.Nothing), pool=connection)
    def do_queued_job(
        context: dg.OpExecutionContext, config: QueuedJobConfig, home: dg.ResourceParam[HomeSource]
    ) -> None:
        with home.open() as opened:
            request = _take(context, opened, connection, config.job)
            with session_of_run(context, opened, request) as session:
                run_stages(session)
                try:
                    finish(session)
                finally:
                    for done in _materializations(session):
                        context.log_event(done)
            if config.publish:
                publish_statistics(opened)

    @dg.graph(name=name_of_queued(connection))
    def steps() -> None:
        do_queued_job()

    return steps.to_job(
        description=f"One job of {connection} that waits in the queue, in one step: patients, single resources, what "
        "webhooks were about.",
        tags=connection_tags(connection, provider),
        executor_def=step_executor(),
        resource_defs={"home": resource} if resource else None,
    )


def is_whole(request: SyncRequest) -> bool:
    """Whether the main job's assets fit the request: everything the connection offers, as of now, read and written."""
    whole_types = request.type in (JobType.FULL_SYNC, JobType.INCREMENTAL_SYNC) and not request.resource_types
    as_of_now = request.window is None and not request.replay
    return whole_types and as_of_now and not request.is_named and request.direction is Direction.BIDIRECTIONAL


def run_request_of(job: Job) -> dg.RunRequest:
    """The Dagster run for a job that was given out; a job that is given out again gets another one."""
    connection, request = job.connection, request_from(job.request)
    given = job.dispatched_at.isoformat() if job.dispatched_at else ""
    whole = is_whole(request)
    step = f"{connection}_extract" if whole else f"{connection}_queued_job"
    config = {"job": job.job_id, "full": request.type is JobType.FULL_SYNC} if whole else {"job": job.job_id}
    return dg.RunRequest(
        run_key=f"{job.job_id}/{job.attempt}/{given}",
        job_name=f"sync_{connection}" if whole else name_of_queued(connection),
        run_config={"ops": {step: {"config": config}}},
        partition_key=datetime.now(UTC).strftime("%Y-%m-%d") if whole else None,
        tags=tags_of(job),
    )


def tags_of(job: Job) -> dict[str, str]:
    """What a run of the job is found by, in every lane; nothing of it names a patient."""
    return {
        "holovitals/job_id": job.job_id,
        **connection_tags(job.connection, job.provider.value),
        **request_tags(request_from(job.request)),
        "holovitals/attempt": str(job.attempt),
        GIVEN_TAG: job.dispatched_at.isoformat() if job.dispatched_at else "",
        "dagster/priority": str(_DAGSTER_PRIORITY[job.priority.name]),
    }


GIVEN_TAG = "holovitals/given_at"
"""When the job was given to this run; a run that ends late says nothing of a job that was given to another since."""

_DAGSTER_PRIORITY = {"CRITICAL": 20, "HIGH": 10, "NORMAL": 0, "LOW": -10, "BACKGROUND": -20}


def _take(context: dg.OpExecutionContext, home: Home, connection: str, job_id: str) -> SyncRequest:
    """Raises dg.Failure for a job that does not wait for this run."""
    try:
        give_to_run(home, job_id, connection, context.run.root_run_id or context.run.run_id)
        with home.database.read() as transaction:
            return request_from(get_job(transaction, job_id).request)
    except HoloVitalsError as error:
        raise as_failure(error) from None


def _materializations(session: JobSession) -> Iterator[dg.AssetMaterialization]:
    """One for each layer of each type of which anything came, and for the write-back where it did anything."""
    connection, today = session.connection.name, session.now().strftime("%Y-%m-%d")
    for row in session.stage_rows():
        counts = {name: count for name, count in row.counts.items() if count}
        if not counts or row.stage not in LAYERS or row.stage is Stage.WRITE_BACK:
            continue
        yield dg.AssetMaterialization(
            asset_key=[connection, LAYERS[row.stage], row.resource_type],
            partition=today,
            metadata={**counts, "holovitals job": session.job_id},
        )
    written = [row for row in session.stage_rows() if row.stage is Stage.WRITE_BACK and any(row.counts.values())]
    if written:
        sent = sum(row.counts.get("pushed", 0) for row in written)
        yield dg.AssetMaterialization(
            asset_key=[connection, "writeback"], metadata={"pushed": sent, "holovitals job": session.job_id}
        )
