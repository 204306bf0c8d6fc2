"""`sync_statistics`: the warehouse snapshot that notebooks read, published anew after each sync."""

from collections.abc import Iterable

import dagster as dg

from holovitals_pipelines.engine.sync import publish_statistics
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.store.warehouse import row_counts


def statistics_assets(upstream: Iterable[dg.AssetKey]) -> list[dg.AssetsDefinition]:
    conflicts = [key for key in upstream if len(key.path) == 3 and key.path[1] == "conflicts"]

    @dg.asset(
        key="sync_statistics",
        deps=conflicts,
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
                "tables": dg.MarkdownMetadataValue(
                    "\n".join(
                        [
                            "| table | rows |",
                            "| --- | ---: |",
                            *(f"| {name} | {rows:,} |" for name, rows in tables.items()),
                        ]
                    )
                ),
                "notebook": dg.MetadataValue.text("notebooks/01_sync_overview.ipynb"),
            }
        )

    return [sync_statistics]
