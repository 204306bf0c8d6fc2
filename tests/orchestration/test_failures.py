"""When the vendor, a batch or a person stops a run: what the run says, what the job is, and how it goes on."""

import logging
import os
import signal
from contextlib import suppress
from datetime import UTC, datetime

import dagster as dg
import pyarrow as pa

from holovitals_pipelines.engine import batches
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.fhir.canonical import content_hash
from holovitals_pipelines.model.vocabulary import Dataset, JobStatus
from holovitals_pipelines.orchestration.partitions import landing_days
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.orchestration.steps import stage_of_run
from holovitals_pipelines.store.parts import register_parts
from holovitals_pipelines.store.tables import record, watermark
from tests.orchestration.installation import (
    Installation,
    checks,
    failures,
    files_with,
    materializations,
    today,
)
from tests.orchestration.reconstructed import sync_clinic
from tests.orchestration.vendor import TYPES, Vendor

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def execute(installation: Installation, again: dg.ReexecutionOptions | None = None) -> dg.JobExecutionResult:
    """`sync_clinic` as a run worker executes it, which is what a rerun needs."""
    return dg.execute_job(
        dg.reconstructable(sync_clinic),
        installation.instance,
        run_config=QUIET,
        tags={"dagster/partition": today()},
        reexecution_options=again,
    )


def test_a_type_that_fails_is_named_with_code_place_and_remedy_and_the_others_are_committed(
    installation: Installation, vendor: Vendor
) -> None:
    with vendor.fault(kind="status", status=500, path="Observation"):
        result = installation.run("clinic")

    assert not result.success
    [said] = failures(result)
    assert "connection clinic failed" in said and "Observation" in said
    assert "[http." in said and "Remedy: " in said
    report = installation.report(result.run_id)
    assert report.status is JobStatus.FAILED
    created = {name: outcome.created for name, outcome in report.outcomes.items()}
    held = vendor.holds()
    assert created == {"Patient": held["Patient"], "Condition": held["Condition"], "Observation": 0}
    assert not checks(result)["clinic/extract/Observation", "the_read_is_complete"].passed
    assert checks(result)["clinic/extract/Patient", "the_read_is_complete"].passed
    assert {row.resource_type for row in installation.rows(watermark)} == {"Patient", "Condition"}


def test_a_rerun_from_failure_goes_on_with_the_same_job_and_reads_what_failed(
    installation_on_disk: Installation, vendor: Vendor
) -> None:
    installation = installation_on_disk
    with vendor.fault(kind="status", status=500, path="Observation"), execute(installation) as failed:
        assert not failed.success
    vendor.forget_requests()

    again = dg.ReexecutionOptions.from_failure(failed.run_id, installation.instance)
    with execute(installation, again) as result:
        assert result.success
        shown = materializations(result)

    [job] = installation.jobs()
    assert (job.status, job.attempt, job.run_id) == (JobStatus.COMPLETED, 2, failed.run_id)
    assert installation.job_id_of(result.run_id) == job.job_id
    held = vendor.holds()
    report = installation.report(result.run_id)
    assert {name: outcome.created for name, outcome in report.outcomes.items()} == held
    assert report.total.unaccounted == 0
    assert shown["clinic/extract/Observation"]["dagster/partition_row_count"] == held["Observation"]
    assert shown["clinic/records/Observation"]["dagster/partition_row_count"] == held["Observation"]
    assert shown["clinic/conflicts/Observation"]["created"] == held["Observation"]
    assert checks(result)["clinic/extract/Observation", "the_read_is_complete"].passed
    assert not [request for request in vendor.requests() if "Condition" in request["path"]], "done work is not redone"
    assert {row.resource_type for row in installation.rows(watermark)} == set(TYPES)


def test_a_read_that_failed_half_way_is_read_afresh_and_accounted_for_once(
    installation_on_disk: Installation, vendor: Vendor
) -> None:
    installation = installation_on_disk
    installation.declare("clinic", page_size=2)
    with vendor.fault(kind="status", status=500, path="Patient", skip=1), execute(installation) as failed:
        assert not failed.success
    committed = installation.count(record, record.c.resource_type == "Patient")
    assert 0 < committed < vendor.holds()["Patient"], "what came is committed"

    again = dg.ReexecutionOptions.from_failure(failed.run_id, installation.instance)
    with execute(installation, again) as result:
        assert result.success

    patients = installation.report(result.run_id).outcomes["Patient"]
    held = vendor.holds()["Patient"]
    assert (patients.extracted, patients.unchanged, patients.created) == (held, committed, held - committed)
    assert installation.count(record, record.c.resource_type == "Patient") == held


def test_a_vendor_out_of_reach_fails_the_extract_and_nothing_after_it_runs(
    installation: Installation, vendor: Vendor
) -> None:
    with vendor.fault(kind="drop"):
        result = installation.run("clinic")

    assert not result.success
    [said] = failures(result)
    assert said.startswith("[http.") and "Remedy: " in said
    assert materializations(result) == {}
    [job] = installation.jobs()
    assert job.status is JobStatus.FAILED and job.error_code == "http.dropped"


def test_a_batch_that_breaks_a_structural_claim_ends_the_job_and_is_never_committed(installation: Installation) -> None:
    assert installation.run("clinic", "extract/Patient").success
    with installation.open() as home:
        land_a_resource_without_id(home, installation.jobs()[0].job_id)

    result = installation.run("clinic", "records/Patient", "conflicts/Patient")

    assert not result.success
    [said] = failures(result)
    assert said.startswith("[quality.blocked] connection clinic: ") and "Patient" in said and "Remedy: " in said
    assert not checks(result)["clinic/records/Patient", "ids_are_present"].passed
    assert "clinic/conflicts/Patient" not in materializations(result)
    job = installation.job_of(result.run_id)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "quality.blocked")
    assert installation.count(record) == 0

    later = installation.run("clinic", "conflicts/Patient")
    assert later.success
    assert installation.count(record) == 0, "nor does a later run find it"


def land_a_resource_without_id(home: Home, job_id: str) -> None:
    """One more part of the job's extract, as a defect in an adapter might land it."""
    rows = {name: [None] for name in batches.EXTRACT.names}
    body = b'{"resourceType":"Patient","gender":"female"}'
    rows |= {"remote_id": [""], "content_hash": [content_hash(body)], "delivery": [99], "source": ["x"], "body": [body]}
    part = home.landing.write_part("clinic", job_id, Dataset.EXTRACT, "Patient", pa.table(rows, schema=batches.EXTRACT))
    with home.database.write() as transaction:
        register_parts(transaction, "clinic", job_id, [part], datetime.now(UTC))


def test_an_unexpected_error_ends_the_job_and_its_text_is_kept_nowhere(installation_on_disk: Installation) -> None:
    installation = installation_on_disk

    @dg.asset(key=["clinic", "records", "Patient"], partitions_def=landing_days())
    def broken(context: dg.AssetExecutionContext, home: HomeResource) -> None:
        with home.open() as opened, stage_of_run(context, opened, "clinic", ["Patient"], False):
            raise ValueError("Zzyzx is no date")

    result = dg.materialize(
        [broken], instance=installation.instance, partition_key=today(), resources={"home": HomeResource()},
        raise_on_error=False,
    )  # fmt: skip

    [said] = failures(result)
    assert said.startswith("[engine.unexpected] unexpected ValueError")
    job = installation.job_of(result.run_id)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "engine.unexpected")
    step = next(event for event in result.all_events if event.is_step_failure).step_failure_data
    assert "test_failures.py" in str(step.user_failure_data.metadata["raised at"].value)
    assert files_with(b"Zzyzx", installation.folder) == []


def test_cancelling_between_two_results_cancels_the_job(installation_on_disk: Installation) -> None:
    """Dagster holds an interrupt back while it writes an event, and then gives the step up from outside."""
    installation = installation_on_disk

    class PressStop(logging.Handler):
        def emit(self, line: logging.LogRecord) -> None:
            if "Materialized value clinic extract Patient" in line.getMessage():
                [run] = installation.instance.get_runs()
                installation.instance.report_run_canceling(run)
                os.kill(os.getpid(), signal.SIGINT)

    @dg.logger
    def stopping(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("stopping", level=logging.DEBUG)
        logger.addHandler(PressStop())
        return logger

    job = dg.Definitions.merge(installation.definitions, dg.Definitions(loggers={"stopping": stopping}))
    with suppress(dg.DagsterExecutionInterruptedError):
        job.resolve_job_def("sync_clinic").execute_in_process(
            instance=installation.instance, partition_key=today(), run_config={"loggers": {"stopping": {}}}
        )
    [run] = installation.instance.get_runs()
    assert run.status is dg.DagsterRunStatus.CANCELED
    look_at_ended_runs(installation, "cancelled_runs", run, "PIPELINE_CANCELED")

    [cancelled] = installation.jobs()
    assert (cancelled.status, cancelled.error_code) == (JobStatus.CANCELLED, "job.cancelled")


def look_at_ended_runs(installation: Installation, sensor: str, run: dg.DagsterRun, event_type: str) -> None:
    """What the daemon does within seconds of a run's end."""
    [event] = [
        log.dagster_event
        for log in installation.instance.all_logs(run.run_id)
        if log.dagster_event is not None and log.dagster_event.event_type_value == event_type
    ]
    context = dg.build_run_status_sensor_context(sensor, event, installation.instance, run)
    [looks] = [s for s in installation.definitions.sensors if s.name == sensor]
    looks(context, home=HomeResource())
