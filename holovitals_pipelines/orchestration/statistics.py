"""`sync_statistics`: the warehouse snapshot that notebooks read, published anew after each sync."""

from collections.abc import Iterable

import dagster as dg

from holovitals_pipelines.engine.sync import publish_statistics
from holovitals_pipelines.orchestration.asset_metadata import markdown_table
from holovitals_pipelines.orchestration.freshness import freshness_of
from holovitals_pipelines.orchestration.links import links_of
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.orchestration.run_history import chart_of_all
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store.warehouse import row_counts


def statistics_assets(upstream: Iterable[dg.AssetKey]) -> list[dg.AssetsDefinition]:
    """`upstream`: the assets of all connections; the snapshot waits for whatever ends a job."""
    settings = Settings()
    ends = [key for key in upstream if len(key.path) > 1 and key.path[1] in ("conflicts", "writeback", "anti_entropy")]

    @dg.asset(
        key="sync_statistics",
        deps=ends,
        group_name="statistics",
        owners=["team:data-eng"],
        kinds={"duckdb"},
        description="One row is what became of one resource type in one job. A read-only DuckDB snapshot, built beside "
        "the one in use and swapped in; an open notebook keeps the one it has. Published at the end of every job, and "
        "by the schedule `statistics`.",
        metadata=links_of("sync_statistics", settings),
        freshness_policy=freshness_of(settings.statistics_cron),
    )
    def sync_statistics(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult[None]:
        with home.open() as opened:
            snapshot = publish_statistics(opened)
            tables = row_counts(opened.settings.warehouse_folder)
            last_runs = chart_of_all(opened)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": tables["sync_statistics"],
                "snapshot": snapshot.name,
                "tables": markdown_table(("table", "rows"), tables.items()),
                "last runs": last_runs,
            }
        )

    return [sync_statistics]
