"""`statistics` and `retention`: what is done for the whole installation, each by a schedule that can be changed.

The schedules' times are settings; off is an empty one.
"""

from typing import Any

import dagster as dg

from holovitals_pipelines.engine.retention import remove_what_is_old
from holovitals_pipelines.engine.sync import publish_statistics
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.settings import Settings


@dg.op(out=dg.Out(dg.Nothing), description="The warehouse snapshot that notebooks read, built anew and swapped in.")
def publish_snapshot(context: dg.OpExecutionContext, home: HomeResource) -> None:
    with home.open() as opened:
        snapshot = publish_statistics(opened)
    context.log_event(dg.AssetMaterialization("sync_statistics", metadata={"snapshot": snapshot.name}))


@dg.op(
    out=dg.Out(dg.Nothing),
    description="Old webhook events, old dropped files, and files in the landing zone that nobody names.",
)
def remove_old(context: dg.OpExecutionContext, home: HomeResource) -> None:
    with home.open() as opened:
        removed = remove_what_is_old(opened)
    context.log.info(
        f"removed: {removed.events} events, {removed.files} files of the landing zone, {removed.dropped} dropped ones"
    )


@dg.job(executor_def=dg.in_process_executor, description="Publishes the statistics of all connections.")
def statistics() -> None:
    publish_snapshot()


@dg.job(executor_def=dg.in_process_executor, description="Removes what is older than the settings want it kept.")
def retention() -> None:
    remove_old()


def upkeep_jobs() -> list[Any]:
    return [statistics, retention]


def upkeep_schedules() -> list[dg.ScheduleDefinition]:
    settings = Settings()
    declared = ((statistics, settings.statistics_cron), (retention, settings.retention_cron))
    return [
        dg.ScheduleDefinition(name=job.name, job=job, cron_schedule=cron, execution_timezone="UTC")
        for job, cron in declared
        if cron
    ]
