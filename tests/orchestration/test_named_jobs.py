"""A Dagster run for one patient: the run names a job that waits, and the job names the patient."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg

from holovitals_pipelines.engine.job_queue import submit
from holovitals_pipelines.engine.job_sweep import sweep
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import JobStatus, JobType
from holovitals_pipelines.providers.clock import Clock
from holovitals_pipelines.store.tables import watermark
from tests.orchestration.installation import Installation, today
from tests.orchestration.vendor import TYPES, Vendor


def run_waiting(installation: Installation, job_id: str) -> dg.ExecuteInProcessResult:
    config = {"clinic_extract": {"config": {"job": job_id}}}
    return installation.definitions.resolve_job_def("sync_clinic").execute_in_process(
        instance=installation.instance,
        partition_key=today(),
        run_config={"ops": config, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )


def queued(installation: Installation, kind: JobType, **named: tuple[object, ...]) -> str:
    with installation.open() as home:
        return submit(home, SyncRequest("clinic", kind, **named), requested_by="a test").job_id  # type: ignore[arg-type]


def test_a_run_does_the_job_that_waits_and_carries_no_id_of_a_patient(
    installation: Installation, vendor: Vendor
) -> None:
    job_id = queued(installation, JobType.PATIENT_SYNC, patients=("p1",))
    assert [job.status for job in installation.jobs()] == [JobStatus.PENDING]

    result = run_waiting(installation, job_id)

    report = installation.report(result.run_id)
    assert result.success
    assert (report.job_id, report.type, report.status) == (job_id, JobType.PATIENT_SYNC, JobStatus.COMPLETED)
    assert {name: outcome.created for name, outcome in report.outcomes.items()} == {
        "Patient": 1,
        "Condition": 1,
        "Observation": 3,
    }
    assert installation.count(watermark) == 0
    run = installation.instance.get_run_by_id(result.run_id)
    assert run is not None and "p1" not in str(run.run_config) and "p1" not in run.tags.values()


def test_what_other_jobs_have_landed_is_left_alone(installation: Installation, vendor: Vendor) -> None:
    installation.run("clinic", full=True)
    job_id = queued(installation, JobType.RESOURCE_SYNC, ids=(("Condition", "c-p1"),))

    result = run_waiting(installation, job_id)

    report = installation.report(result.run_id)
    assert (result.success, list(report.outcomes)) == (True, ["Condition"])
    assert (report.total.extracted, report.total.unchanged) == (1, 1)
    assert installation.count(watermark) == len(TYPES)


def test_a_job_waits_once(installation: Installation) -> None:
    job_id = queued(installation, JobType.PATIENT_SYNC, patients=("p1",))
    run_waiting(installation, job_id)

    again = run_waiting(installation, job_id)

    assert not again.success
    assert [job.job_id for job in installation.jobs()] == [job_id]


def test_a_job_of_the_queue_that_fails_for_now_goes_on_in_another_run(
    installation: Installation, vendor: Vendor
) -> None:
    job_id = queued(installation, JobType.INCREMENTAL_SYNC)
    with vendor.fault(kind="drop"):
        failed = run_waiting(installation, job_id)
    [job] = installation.jobs()
    assert not failed.success
    assert (job.job_id, job.status, job.run_id, job.error_code) == (
        job_id, JobStatus.RETRYING, failed.run_id, "http.dropped",
    )  # fmt: skip

    later = Clock(now=lambda: datetime.now(UTC) + timedelta(minutes=1))
    with installation.open() as home:
        assert sweep(home, clock=later).waiting_again == [job_id]
    again = run_waiting(installation, job_id)

    [job] = installation.jobs()
    assert again.success
    assert (job.status, job.attempt, job.run_id) == (JobStatus.COMPLETED, 2, again.run_id)
