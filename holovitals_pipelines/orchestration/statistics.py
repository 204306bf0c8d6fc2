"""`sync_statistics`: the warehouse snapshot that notebooks read, published anew after each sync."""

from collections.abc import Iterable

import dagster as dg

from holovitals_pipelines.engine.sync import publish_statistics
from holovitals_pipelines.orchestration.asset_metadata import markdown_table
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.store.warehouse import row_counts


def statistics_assets(upstream: Iterable[dg.AssetKey]) -> list[dg.AssetsDefinition]:
    """`upstream`: the assets of all connections; the snapshot waits for whatever ends a job."""
    ends = [key for key in upstream if len(key.path) > 1 and key.path[1] in ("conflicts", "writeback", "anti_entropy")]

    @dg.asset(
        key="sync_statistics",
        deps=ends,
        group_name="statistics",
        owners=["team:data-eng"],
        kinds={"duckdb"},
        description="One row is what became of one resource type in one job. A read-only DuckDB snapshot, built beside "
        "the one in use and swapped in; an open notebook keeps the one it has.",
    )
    def sync_statistics(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult[None]:
        with home.open() as opened:
            snapshot = publish_statistics(opened)
            tables = row_counts(opened.settings.warehouse_folder)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": tables["sync_statistics"],
                "snapshot": snapshot.name,
                "tables": markdown_table(("table", "rows"), tables.items()),
                "notebook": dg.MetadataValue.text("notebooks/01_sync_overview.ipynb, notebooks/02_conflicts.ipynb"),
            }
        )

    return [sync_statistics]
