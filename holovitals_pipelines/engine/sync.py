"""The main job of one connection, without Dagster: extract, transform, reconcile, write back, statistics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from holovitals_pipelines.engine.attachments import fetch_attachments
from holovitals_pipelines.engine.extract import extract
from holovitals_pipelines.engine.failure import failure_of
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.jobs import end_job, open_session
from holovitals_pipelines.engine.progress import Progress
from holovitals_pipelines.engine.reconcile import reconcile
from holovitals_pipelines.engine.replay import replayable_types
from holovitals_pipelines.engine.session import JobSession
from holovitals_pipelines.engine.transform import transform
from holovitals_pipelines.engine.vendors import AdapterFactory
from holovitals_pipelines.engine.worker import worker_name
from holovitals_pipelines.engine.write_back import write_back
from holovitals_pipelines.model.errors import HoloVitalsError
from holovitals_pipelines.model.job import JobReport, SyncRequest
from holovitals_pipelines.model.vocabulary import Direction
from holovitals_pipelines.store.warehouse import publish


def run_sync(
    home: Home, request: SyncRequest, *, progress: Progress | None = None, adapter_for: AdapterFactory | None = None
) -> JobReport:
    """Do the job and report it; a job whose worker was killed goes on where it stopped.

    A type that fails does not stop the others: the report says FAILED and names it, and so it does when an error ended
    the whole job. Raises ConfigurationError and JobBusyError before anything is started, JobError when the job was
    taken over; a foreign exception ends the job as FAILED and is raised.
    """
    with open_session(home, request, owner=worker_name(), progress=progress, adapter_for=adapter_for) as session:
        report = do_job(session)
    publish_statistics(home)
    return report


def do_job(session: JobSession) -> JobReport:
    """All stages of the session's job, and its end. A foreign exception ends the job as FAILED and is raised."""
    try:
        run_stages(session)
    except HoloVitalsError as error:
        return end_job(session, error)
    except Exception as error:
        end_job(session, failure_of(error))
        publish_statistics(session.home)
        raise
    return end_job(session)


def run_stages(session: JobSession) -> None:
    """All stages of the session's job; it stays open. Raises what ended it."""
    if session.request.replay:
        process(session, replayable_types(session))
        return
    if session.request.direction is not Direction.OUTBOUND:
        extract(session, session.open_adapter())
        process(session, session.landed_types())
    write_back(session)
    fetch_attachments(session)


def process(session: JobSession, resource_types: Sequence[str]) -> None:
    """Transform and reconcile what is landed, type by type."""
    for resource_type in resource_types:
        transform(session, resource_type)
    for resource_type in resource_types:
        reconcile(session, resource_type)


def publish_statistics(home: Home) -> Path:
    """Build and publish the warehouse snapshot that notebooks read."""
    return publish(home.database, home.settings.warehouse_folder)
