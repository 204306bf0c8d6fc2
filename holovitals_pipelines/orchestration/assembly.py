"""Puts the code location together: components from `defs/`, connections without YAML there, what they share."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from holovitals_pipelines.orchestration.components.ehr_connection import EhrConnection
from holovitals_pipelines.orchestration.drop_folder import drop_sensors
from holovitals_pipelines.orchestration.executors import step_executor
from holovitals_pipelines.orchestration.notifying import notification_sensors
from holovitals_pipelines.orchestration.partitions import first_days
from holovitals_pipelines.orchestration.patient_index import patient_index_assets
from holovitals_pipelines.orchestration.queue_sensors import queue_sensors
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.orchestration.run_ends import run_end_sensors
from holovitals_pipelines.orchestration.statistics import statistics_assets
from holovitals_pipelines.orchestration.upkeep import upkeep_jobs, upkeep_schedules
from holovitals_pipelines.settings import Settings, load_connections

PROJECT = Path(__file__).parent


_kept: list[dg.Definitions] = []


def assemble_ahead() -> None:
    """Keep what is put together now for this process and the children it forks: a fork server does so, which is begun
    anew when anything was declared otherwise."""
    _kept[:] = [assemble()]


def assembled() -> dg.Definitions:
    """What was put together ahead, or else what is declared now."""
    return _kept[0] if _kept else assemble()


def assemble() -> dg.Definitions:
    """Every declared connection is visible: by its YAML in `defs/` where it has one, by its defaults otherwise."""
    declared_here = dg.load_from_defs_folder(path_within_project=PROJECT)
    named = {key.path[0] for key in _keys(declared_here)}
    settings = Settings()
    since = first_days(settings)
    elsewhere = [
        EhrConnection(
            connection=connection.name,
            provider=connection.provider.value,
            format=connection.format,
            resource_types=connection.resource_types,
            owner=connection.owner,
            incremental_cron=connection.incremental_cron,
            full_cron=connection.full_cron,
            anti_entropy_cron=connection.anti_entropy_cron,
        ).definitions(since.get(connection.name))
        for connection in load_connections(settings.resolved_connections_file)
        if connection.enabled and connection.name not in named
    ]
    connections = dg.Definitions.merge(declared_here, *elsewhere)
    shared = dg.Definitions(
        assets=[*statistics_assets(sorted(_keys(connections))), *patient_index_assets(sorted(_keys(connections)))],
        jobs=[*upkeep_jobs()],
        schedules=upkeep_schedules(),
        sensors=[*run_end_sensors(), *notification_sensors(), *_of_the_queue(connections)],
        resources={"home": HomeResource()},
        executor=step_executor(),
    )
    return dg.Definitions.merge(connections, shared)


def _of_the_queue(connections: dg.Definitions) -> list[dg.SensorDefinition]:
    jobs = [job for job in connections.jobs or () if not job.name.startswith("anti_entropy_")]
    return [*queue_sensors(jobs), *drop_sensors()] if jobs else []


def _keys(definitions: dg.Definitions) -> set[dg.AssetKey]:
    return {key for asset in definitions.assets or () if isinstance(asset, dg.AssetsDefinition) for key in asset.keys}
