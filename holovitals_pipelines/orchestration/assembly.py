"""Puts the code location together: components from `defs/`, connections that have no YAML there, shared assets, resources."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from holovitals_pipelines.orchestration.components.ehr_connection import EhrConnection
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.orchestration.statistics import statistics_assets
from holovitals_pipelines.settings import Settings, load_connections

PROJECT = Path(__file__).parent


def assemble() -> dg.Definitions:
    """Every declared connection is visible: by its YAML in `defs/` where it has one, by its defaults otherwise."""
    declared_here = dg.load_from_defs_folder(path_within_project=PROJECT)
    named = {key.path[0] for key in declared_here.resolve_all_asset_keys()}
    elsewhere = [
        EhrConnection(
            connection=connection.name,
            provider=connection.provider.value,
            resource_types=connection.resource_types,
            owner=connection.owner,
            incremental_cron=connection.incremental_cron,
        ).definitions()
        for connection in load_connections(Settings().resolved_connections_file)
        if connection.enabled and connection.name not in named
    ]
    connections = dg.Definitions.merge(declared_here, *elsewhere)
    shared = dg.Definitions(
        assets=statistics_assets(sorted(connections.resolve_all_asset_keys())),
        resources={"home": HomeResource()},
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(connections, shared)
