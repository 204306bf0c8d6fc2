"""`<connection>/writeback` in Dagster runs: what goes out, what the run says of it, and which runs it is part of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from holovitals_pipelines.model.vocabulary import JobStatus, JobType, Stage
from holovitals_pipelines.store.tables import dirty_link, outbox, sync_conflict, sync_stage
from holovitals_pipelines.store.warehouse import open_current
from tests.orchestration.installation import LAYERS, Installation, checks, failures, files_with, materializations
from tests.orchestration.vendor import TYPES, Vendor, observation, patient

ADA, SUGAR = "wb-ada", "wb-sugar"
TWO_WAY = {"enabled": True, "creates": True, "deletes": True}


@pytest.fixture
def two_way(installation: Installation, vendor: Vendor) -> Iterator[Installation]:
    """Everything is synced, and `clinic` may be written to."""
    vendor.put(patient(ADA))
    vendor.put(observation(SUGAR, ADA))
    installation.declare("clinic", "write", **TWO_WAY)
    assert installation.sync().status is JobStatus.COMPLETED
    vendor.forget_requests()
    yield installation
    vendor.delete("Observation", SUGAR)
    vendor.delete("Patient", ADA)


def of_patients(installation: Installation) -> dg.ExecuteInProcessResult:
    """A run of one type with its writes: the shortest that goes all the way."""
    return installation.run("clinic", *(f"{layer}/Patient" for layer in LAYERS), "writeback")


def wrote(vendor: Vendor) -> list[str]:
    return [request["method"] for request in vendor.requests() if request["method"] not in ("GET", "HEAD")]


def searched(vendor: Vendor) -> list[str]:
    return [request["path"] for request in vendor.requests() if "?" in request["path"]]


def test_a_change_made_here_arrives_at_the_vendor_with_the_ordinary_sync(two_way: Installation, vendor: Vendor) -> None:
    two_way.edit("Patient", ADA, maritalStatus={"text": "married"})

    result = two_way.run("clinic")

    assert result.success
    assert vendor.held("Patient", ADA)["maritalStatus"] == {"text": "married"}
    report = two_way.report(result.run_id)
    assert report.status is JobStatus.COMPLETED
    assert (report.total.pushed, report.total.held, report.total.unaccounted) == (1, 0, 0)
    assert two_way.job_of(result.run_id).direction == "BIDIRECTIONAL"
    shown = materializations(result)["clinic/writeback"]
    assert (shown["pushed"], shown["held"], shown["refused writes"], shown["waiting writes"]) == (1, 0, 0, 0)
    assert "| Patient | 1 | 1 |" in shown["by resource type"]
    assert shown["writes to this vendor"] == "allowed"
    assert all(name in shown for name in ("open conflicts critical", "standing differences low", "last runs"))
    with open_current(two_way.settings.warehouse_folder) as warehouse:
        said = warehouse.execute("select operation, state, guarded, attempts from writes").fetchall()
    assert said == [("update", "done", True, 1)], "the statistics are published after the writes"
    job_id = two_way.job_id_of(result.run_id)
    stages = {(row.resource_type, row.stage) for row in two_way.rows(sync_stage) if row.job_id == job_id}
    assert ("Patient", Stage.WRITE_BACK.value) in stages, "the stage is in the job's own books"


def test_a_run_of_writeback_alone_is_an_outbound_job_that_searches_nothing(
    two_way: Installation, vendor: Vendor
) -> None:
    two_way.edit("Patient", ADA, maritalStatus={"text": "widowed"})
    two_way.edit("Observation", SUGAR, note=[{"text": "fasting"}])

    result = two_way.run("clinic", "writeback")

    assert result.success
    assert set(materializations(result)) == {"clinic/writeback"}
    job = two_way.job_of(result.run_id)
    assert (job.direction, job.type, job.status) == ("OUTBOUND", JobType.INCREMENTAL_SYNC, JobStatus.COMPLETED)
    assert job.request["window"] is None
    assert two_way.report(result.run_id).total.pushed == 2
    assert wrote(vendor) == ["PUT", "PUT"] and searched(vendor) == []
    assert vendor.held("Observation", SUGAR)["note"] == [{"text": "fasting"}]


def test_a_run_without_writeback_sends_nothing_and_the_next_one_takes_up_what_was_marked(
    two_way: Installation, vendor: Vendor
) -> None:
    two_way.edit("Patient", ADA, maritalStatus={"text": "divorced"})

    result = two_way.run("clinic", *(f"{layer}/{name}" for layer in LAYERS for name in TYPES))

    assert result.success
    job = two_way.job_of(result.run_id)
    assert (job.direction, job.status) == ("INBOUND", JobStatus.COMPLETED)
    assert wrote(vendor) == [] and two_way.count(dirty_link) == 1
    assert two_way.run("clinic", "writeback").success
    assert wrote(vendor) == ["PUT"] and two_way.count(dirty_link) == 0


def test_one_type_with_writeback_writes_back_that_type_alone(two_way: Installation, vendor: Vendor) -> None:
    two_way.edit("Patient", ADA, maritalStatus={"text": "single"})
    two_way.edit("Observation", SUGAR, note=[{"text": "repeated"}])

    result = two_way.run("clinic", *(f"{layer}/Observation" for layer in LAYERS), "writeback")

    assert result.success
    job = two_way.job_of(result.run_id)
    assert (job.direction, job.type, job.resource_types) == ("BIDIRECTIONAL", JobType.RESOURCE_SYNC, ("Observation",))
    assert {row.resource_type for row in two_way.rows(outbox)} == {"Observation"}
    assert {row.resource_type for row in two_way.rows(dirty_link)} == {"Patient"}, "the next run's"


def test_changes_that_do_not_contradict_are_merged_and_go_both_ways(two_way: Installation, vendor: Vendor) -> None:
    two_way.edit("Patient", ADA, maritalStatus={"text": "married"})
    vendor.put({**vendor.held("Patient", ADA), "language": "fr"})

    result = of_patients(two_way)

    assert vendor.held("Patient", ADA)["maritalStatus"] == {"text": "married"}
    assert two_way.locally("Patient", ADA)["language"] == "fr"
    conflicts = materializations(result)["clinic/conflicts/Patient"]
    assert (conflicts["conflicts"], conflicts["resolved"], conflicts["held"]) == (1, 1, 0)
    assert two_way.report(result.run_id).total.pushed == 1


@pytest.fixture
def contradicted(two_way: Installation, vendor: Vendor) -> dg.ExecuteInProcessResult:
    """The run that met two birth dates."""
    two_way.edit("Patient", ADA, birthDate="1980-02-11")
    vendor.put({**vendor.held("Patient", ADA), "birthDate": "1980-02-10"})
    return of_patients(two_way)


def test_a_critical_contradiction_is_held_counted_and_nothing_moves(
    two_way: Installation, vendor: Vendor, contradicted: dg.ExecuteInProcessResult
) -> None:
    assert contradicted.success, "a conflict is no failure"
    shown = materializations(contradicted)
    assert shown["clinic/conflicts/Patient"]["held"] == 1
    assert shown["clinic/writeback"]["open conflicts critical"] == 1
    assert "| CRITICAL | 1 | 0 | 0 |" in shown["clinic/writeback"]["by severity"]
    assert vendor.held("Patient", ADA)["birthDate"] == "1980-02-10"
    assert two_way.locally("Patient", ADA)["birthDate"] == "1980-02-11"
    assert all(check.passed for (asset, _), check in checks(contradicted).items() if asset == "clinic/writeback")


def test_a_critical_conflict_past_its_time_is_an_error_of_the_check_and_stops_no_run(
    two_way: Installation, contradicted: dg.ExecuteInProcessResult
) -> None:
    two_way.change(sync_conflict.update().values(due_at=datetime.now(UTC) - timedelta(minutes=1)))

    result = of_patients(two_way)

    assert result.success
    judged = checks(result)
    overdue = judged["clinic/writeback", "no_critical_conflict_is_overdue"]
    assert (overdue.passed, overdue.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert overdue.metadata["count"].value == 1
    assert "holovitals conflicts list" in overdue.metadata["remedy"].value
    assert judged["clinic/writeback", "every_other_conflict_is_in_time"].passed


def test_where_nothing_may_be_written_a_grave_difference_stands_and_is_warned_about(
    two_way: Installation, vendor: Vendor
) -> None:
    two_way.declare("clinic", "write", enabled=False)
    two_way.edit("Patient", ADA, birthDate="1980-02-12")

    result = of_patients(two_way)

    assert result.success and wrote(vendor) == []
    shown = materializations(result)["clinic/writeback"]
    assert shown["standing differences critical"] == 1
    assert shown["writes to this vendor"] == "not allowed (write.enabled is false)"
    standing = checks(result)["clinic/writeback", "no_standing_difference_is_critical"]
    assert (standing.passed, standing.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_a_vendor_that_cannot_be_asked_for_a_moment_is_asked_again_by_the_same_job(
    two_way: Installation, vendor: Vendor
) -> None:
    two_way.edit("Patient", ADA, maritalStatus={"text": "married"})

    with vendor.fault(kind="status", status=503, path="metadata", times=1):
        result = two_way.run("clinic", "writeback")

    assert result.success
    job = two_way.job_of(result.run_id)
    assert (job.status, job.attempt) == (JobStatus.COMPLETED, 2)
    assert wrote(vendor) == ["PUT"]


def test_a_vendor_out_of_reach_fails_the_writeback_in_a_sentence_and_what_is_marked_stays(
    two_way: Installation, vendor: Vendor
) -> None:
    two_way.edit("Patient", ADA, maritalStatus={"text": "married"})

    with vendor.fault(kind="drop"):
        result = two_way.run("clinic", "writeback")

    assert not result.success
    said = list(failures(result))[-1]
    assert said.startswith("[http.") and "connection clinic" in said and "Remedy: " in said
    assert sum(event.is_step_restarted for event in result.all_events) == 2, "retried, and not for ever"
    job = two_way.job_of(result.run_id)
    assert (job.status, job.attempt) == (JobStatus.FAILED, 3)
    assert two_way.count(dirty_link) == 1
    assert of_patients(two_way).success and wrote(vendor)[-1:] == ["PUT"]


def test_a_vendor_that_answers_with_a_web_page_is_not_asked_again(two_way: Installation, vendor: Vendor) -> None:
    two_way.edit("Patient", ADA, maritalStatus={"text": "married"})

    with vendor.fault(kind="html", path="metadata"):
        result = two_way.run("clinic", "writeback")

    assert not result.success
    assert not any(event.is_step_restarted for event in result.all_events)
    assert two_way.job_of(result.run_id).attempt == 1


def test_a_refused_write_is_listed_with_the_job_and_names_nobody(
    installation_on_disk: Installation, vendor: Vendor
) -> None:
    name, identity = "Qwxcanary", "qwx-canary-1"
    installation = installation_on_disk
    vendor.put(patient(identity, name))
    installation.declare("clinic", "write", **TWO_WAY)
    installation.run("clinic", *(f"{layer}/Patient" for layer in LAYERS))
    installation.remove("Patient", identity)
    try:
        with vendor.turned(delete_status=422):
            result = of_patients(installation)
    finally:
        vendor.delete("Patient", identity)

    assert result.success, "one refused write is no failure of the job"
    assert materializations(result)["clinic/writeback"]["refused writes"] == 1
    report = installation.report(result.run_id)
    [error] = [one for one in report.errors if one.resource_type == "Patient"]
    assert error.remedy
    assert installation.count(outbox, outbox.c.state == "failed") == 1
    assert files_with(identity.encode(), installation.folder), "her id is in the operational store"
    for canary in (name, identity):
        assert files_with(canary.encode(), installation.settings.dagster_home) == []
        assert files_with(canary.encode(), installation.settings.warehouse_folder) == []
        assert canary not in str([run.tags for run in installation.instance.get_runs()])


# comparing both sides in full


def found_by(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    shown = materializations(result)["clinic/anti_entropy"]
    return {name: shown[name] for name in ("compared", "missed", "unsent", "pushed")}


def test_a_comparison_of_two_sides_that_agree_finds_nothing(two_way: Installation, vendor: Vendor) -> None:
    result = two_way.compare()

    assert result.success
    assert set(materializations(result)) == {"clinic/anti_entropy", "sync_statistics"}
    everything = sum(vendor.holds().values())
    assert found_by(result) == {"compared": everything, "missed": 0, "unsent": 0, "pushed": 0}
    report = two_way.report(result.run_id)
    assert (report.type, report.status) == (JobType.FULL_SYNC, JobStatus.COMPLETED)
    with open_current(two_way.settings.warehouse_folder) as warehouse:
        [(compared,)] = warehouse.execute("select sum(compared) from anti_entropy").fetchall()
    assert compared == everything


def test_a_change_here_that_nothing_had_marked_is_found_and_sent(two_way: Installation, vendor: Vendor) -> None:
    two_way.edit("Patient", ADA, maritalStatus={"text": "married"})
    two_way.change(dirty_link.delete())
    assert of_patients(two_way).success and wrote(vendor) == [], "the ordinary way knows nothing of it"

    result = two_way.compare()

    assert result.success
    assert found_by(result)["unsent"] == found_by(result)["pushed"] == 1
    assert vendor.held("Patient", ADA)["maritalStatus"] == {"text": "married"}


def test_a_comparison_that_fails_says_what_failed(two_way: Installation, vendor: Vendor) -> None:
    with vendor.fault(kind="status", status=500, path="Observation"):
        result = two_way.compare()

    assert not result.success
    [said] = failures(result)
    assert "connection clinic failed" in said and "Observation" in said and "Remedy: " in said
    assert two_way.job_of(result.run_id).status is JobStatus.FAILED
