"""Parts of the graph: one type, one layer, and days of the past."""

from __future__ import annotations

from holovitals_pipelines.model.vocabulary import JobStatus, JobType
from holovitals_pipelines.store.tables import record, sync_stage, watermark
from tests.orchestration.installation import LAYERS, Installation, materializations, today
from tests.orchestration.vendor import OBSERVATIONS_EACH, PATIENTS, Vendor


def test_one_type_through_all_layers_is_a_resource_sync_of_that_type_alone(
    installation: Installation, vendor: Vendor
) -> None:
    vendor.forget_requests()

    result = installation.run("clinic", *(f"{layer}/Observation" for layer in LAYERS))

    assert result.success
    assert set(materializations(result)) == {f"clinic/{layer}/Observation" for layer in LAYERS}
    report = installation.report(result.run_id)
    assert (report.type, report.status) == (JobType.RESOURCE_SYNC, JobStatus.COMPLETED)
    assert {name: outcome.created for name, outcome in report.outcomes.items()} == {
        "Observation": PATIENTS * OBSERVATIONS_EACH
    }
    asked = {request["path"].split("?")[0].rpartition("/")[2] for request in vendor.requests()}
    assert "Observation" in asked and not asked & {"Patient", "Condition"}


def test_each_layer_can_be_materialized_alone_and_works_on_what_landed_last(installation: Installation) -> None:
    extracted = installation.run("clinic", "extract/Patient")
    assert extracted.success
    assert installation.report(extracted.run_id).status is JobStatus.COMPLETED
    assert installation.count(record) == 0, "nothing is reconciled by an extract"
    assert installation.count(watermark) == 0, "and what is not reconciled is read again"

    transformed = installation.run("clinic", "records/Patient")
    assert transformed.success
    assert materializations(transformed)["clinic/records/Patient"]["dagster/partition_row_count"] == PATIENTS

    committed = installation.run("clinic", "conflicts/Patient")
    assert committed.success
    assert materializations(committed)["clinic/conflicts/Patient"]["created"] == PATIENTS
    assert installation.count(record) == PATIENTS
    assert len({installation.job_id_of(run.run_id) for run in (extracted, transformed, committed)}) == 3
    assert {row.stage for row in installation.rows(sync_stage)} == {"extract", "transform", "reconcile"}


def test_a_layer_without_anything_landed_before_it_materializes_no_rows(installation: Installation) -> None:
    result = installation.run("clinic", "records/Patient")

    assert result.success
    assert materializations(result)["clinic/records/Patient"]["dagster/partition_row_count"] == 0


def test_a_day_of_the_past_is_read_as_a_window_and_moves_no_watermark(
    installation: Installation, vendor: Vendor
) -> None:
    installation.run("clinic")
    before = {(row.resource_type, row.value) for row in installation.rows(watermark)}
    vendor.forget_requests()

    result = installation.run("clinic", day="2026-11-03")

    assert result.success
    searches = [request for request in vendor.requests() if "Observation" in request["path"]]
    assert searches and all("2026-11-03" in str(search) and "2026-11-04" in str(search) for search in searches), (
        searches
    )
    request = installation.job_of(result.run_id).request
    assert request["window"] == ["2026-11-03T00:00:00+00:00", "2026-11-04T00:00:00+00:00"]
    assert {(row.resource_type, row.value) for row in installation.rows(watermark)} == before
    assert installation.report(result.run_id).total.absent == 0, "a window says nothing about what it does not show"


def test_several_days_of_the_past_are_one_run_and_one_window(installation: Installation) -> None:
    days = {"dagster/asset_partition_range_start": "2026-11-02", "dagster/asset_partition_range_end": "2026-11-05"}

    result = installation.run("clinic", *(f"{layer}/Patient" for layer in LAYERS), tags=days)

    assert result.success
    request = installation.job_of(result.run_id).request
    assert request["window"] == ["2026-11-02T00:00:00+00:00", "2026-11-06T00:00:00+00:00"]
    partitions = {event.partition for event in result.get_asset_materialization_events()}
    assert partitions == {"2026-11-02", "2026-11-03", "2026-11-04", "2026-11-05"}


def test_days_up_to_today_are_the_ordinary_sync(installation: Installation) -> None:
    days = {"dagster/asset_partition_range_start": "2026-11-02", "dagster/asset_partition_range_end": today()}

    result = installation.run("clinic", *(f"{layer}/Patient" for layer in LAYERS), tags=days)

    assert result.success
    assert installation.job_of(result.run_id).request["window"] is None
    assert installation.count(watermark) == 1
