"""`patient_index`: which patient records of all connections are one person, and which may be."""

from collections.abc import Iterable

import dagster as dg

from holovitals_pipelines.engine.identity.matching import match_patients
from holovitals_pipelines.orchestration.asset_specs import store_kind
from holovitals_pipelines.orchestration.links import links_of
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.settings import Settings


def patient_index_assets(upstream: Iterable[dg.AssetKey]) -> list[dg.AssetsDefinition]:
    """`upstream`: the assets of all connections; the index is made of the patients they committed."""
    patients = [key for key in upstream if key.path[1:] == ["conflicts", "Patient"]]

    settings = Settings()

    @dg.asset(
        key="patient_index",
        deps=patients,
        group_name="identity",
        owners=["team:data-eng"],
        kinds={store_kind(settings), "duckdb"},
        description="One row is one person, with the id each vendor knows them by. Records are joined by trusted "
        "identifiers; what is merely probable waits for a person (`holovitals patients proposals`). No record is "
        "changed, nothing is sent to any vendor.",
        metadata=links_of("patient_index", settings),
    )
    def patient_index(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult[None]:
        with home.open() as opened:
            matched = match_patients(opened)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": matched.persons,
                "records": matched.records,
                "persons of several connections": matched.across_connections,
                "several ids of one vendor": matched.several_ids,
                "joined": matched.indexed.joined,
                "no longer joined": matched.indexed.left,
                "identifiers shared too widely": matched.indexed.widely_shared,
                "new proposals": matched.indexed.proposed + matched.new_proposals,
                "open proposals": matched.open_proposals,
            }
        )

    return [patient_index]
