"""Puts the code location together: components from `defs/`, connections without YAML there, what they share."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from holovitals_pipelines.orchestration.components.ehr_connection import EhrConnection
from holovitals_pipelines.orchestration.patient_index import patient_index_assets
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.orchestration.run_ends import run_end_sensors
from holovitals_pipelines.orchestration.statistics import statistics_assets
from holovitals_pipelines.settings import Settings, load_connections

PROJECT = Path(__file__).parent


def assemble() -> dg.Definitions:
    """Every declared connection is visible: by its YAML in `defs/` where it has one, by its defaults otherwise."""
    declared_here = dg.load_from_defs_folder(path_within_project=PROJECT)
    named = {key.path[0] for key in _keys(declared_here)}
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
        ).definitions()
        for connection in load_connections(Settings().resolved_connections_file)
        if connection.enabled and connection.name not in named
    ]
    connections = dg.Definitions.merge(declared_here, *elsewhere)
    shared = dg.Definitions(
        assets=[*statistics_assets(sorted(_keys(connections))), *patient_index_assets(sorted(_keys(connections)))],
        sensors=run_end_sensors(),
        resources={"home": HomeResource()},
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(connections, shared)


def _keys(definitions: dg.Definitions) -> set[dg.AssetKey]:
    return {key for asset in definitions.assets or () if isinstance(asset, dg.AssetsDefinition) for key in asset.keys}
