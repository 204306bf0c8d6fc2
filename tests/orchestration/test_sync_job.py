"""`sync_<connection>` as a Dagster run: what it materializes, what it says, and the job it leaves behind."""

from __future__ import annotations

import dagster as dg

from holovitals_pipelines.model.vocabulary import JobStatus, JobType
from holovitals_pipelines.orchestration.steps import JOB_TAG
from holovitals_pipelines.store.tables import record, watermark
from tests.orchestration.installation import LAYERS, Installation, checks, materializations, today
from tests.orchestration.vendor import TYPES, Vendor


def test_a_sync_materializes_every_layer_of_every_type_and_completes_one_job(
    installation: Installation, vendor: Vendor
) -> None:
    held = vendor.holds()

    result = installation.run("clinic", full=True)

    assert result.success
    shown = materializations(result)
    by_type = {f"clinic/{layer}/{name}" for layer in LAYERS for name in TYPES}
    assert set(shown) == by_type | {"clinic/writeback", "sync_statistics"}
    for name in TYPES:
        assert shown[f"clinic/extract/{name}"]["dagster/partition_row_count"] == held[name]
        assert shown[f"clinic/records/{name}"]["dagster/partition_row_count"] == held[name]
        assert shown[f"clinic/conflicts/{name}"]["created"] == held[name]
    report = installation.report(result.run_id)
    assert report.status is JobStatus.COMPLETED and report.type is JobType.FULL_SYNC
    assert report.total.unaccounted == 0
    assert installation.count(record) == sum(held.values())


def test_a_materialization_says_what_a_row_is_made_of_and_how_long_it_took(installation: Installation) -> None:
    shown = materializations(installation.run("clinic"))

    extract, records = shown["clinic/extract/Patient"], shown["clinic/records/Patient"]
    assert [column.name for column in extract["dagster/column_schema"].columns][:2] == ["remote_id", "version"]
    assert extract["seconds"] >= 0 and extract["bytes"] > 0
    assert extract["changes are found by"] == "last_updated"
    assert "hash" in {column.name for column in records["dagster/column_schema"].columns}
    lineage = records["dagster/column_lineage"].deps_by_column
    assert lineage["hash"][0].asset_key == dg.AssetKey(["clinic", "extract", "Patient"])
    assert "| birthDate | 100% |" in records["shape"]
    assert shown["sync_statistics"]["dagster/row_count"] == len(TYPES)


def test_every_check_of_a_good_batch_passes_and_says_how_many_rows_it_saw(
    installation: Installation, vendor: Vendor
) -> None:
    judged = checks(installation.run("clinic"))

    assert all(check.passed for check in judged.values())
    claims = {claim for asset, claim in judged if asset == "clinic/records/Patient"}
    assert {"ids_are_present", "ids_are_unique", "bodies_are_of_the_type", "every_patient_has_a_name"} <= claims
    assert judged["clinic/extract/Patient", "the_read_is_complete"].passed
    seen = judged["clinic/records/Patient", "every_patient_has_a_name"].metadata["rows"].value
    assert seen == vendor.holds()["Patient"]


def test_the_run_names_its_job_and_the_job_names_its_run(installation: Installation) -> None:
    result = installation.run("clinic")

    [job] = installation.jobs()
    run = installation.instance.get_run_by_id(result.run_id)
    assert run is not None and run.tags[JOB_TAG] == job.job_id
    assert job.run_id == result.run_id


def test_a_second_sync_of_the_unchanged_vendor_is_incremental_and_changes_nothing(installation: Installation) -> None:
    installation.run("clinic")
    result = installation.run("clinic")

    report = installation.report(result.run_id)
    assert report.type is JobType.INCREMENTAL_SYNC
    assert report.total.created + report.total.updated + report.total.conflicts == 0
    assert installation.count(watermark) == len(TYPES)
    empty = checks(result)["clinic/records/Patient", "ids_are_unique"]
    assert empty.passed and empty.metadata["rows"].value == 0


def test_executing_a_finished_run_once_more_is_another_job(installation: Installation) -> None:
    first = installation.run("clinic")
    lineage = {"dagster/root_run_id": first.run_id, "dagster/parent_run_id": first.run_id, "dagster/partition": today()}

    again = installation.run("clinic", tags=lineage)

    assert again.success
    assert [job.status for job in installation.jobs()] == [JobStatus.COMPLETED] * 2
    assert installation.job_id_of(again.run_id) != installation.job_id_of(first.run_id)
