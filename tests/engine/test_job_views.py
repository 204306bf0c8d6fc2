"""Jobs as they are shown: whole, by page, and added up."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from holovitals_pipelines.engine.cron import next_time
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.job_queue import cancel, claim_next, run_claimed, submit
from holovitals_pipelines.engine.job_statistics import job_statistics
from holovitals_pipelines.engine.job_views import JobFilter, list_job_views, view_job
from holovitals_pipelines.model.errors import JobError, NotPermittedError, StoreError
from holovitals_pipelines.model.job import JobOptions, SyncRequest
from holovitals_pipelines.model.vocabulary import JobStatus, JobType, Lane
from holovitals_pipelines.store import jobs, leases
from tests.engine.conftest import Vendor, observation, patient
from tests.engine.queue_bench import FailingSource, Time

FIELDS = {
    "id", "type", "direction", "priority", "status", "ehrProvider", "ehrConnectionId", "patientId", "patientIds",
    "resourceTypes", "resourceIds", "filters", "options", "attempt", "runId", "lane", "requestedBy", "createdAt",
    "queuedAt", "startedAt", "finishedAt", "cancelling", "nextAt", "error", "result", "progress", "errors",
    "errorCount", "conflicts", "conflictCount", "history",
}  # fmt: skip


def put(home: Home, time: Time, number: int = 0, **more: object) -> str:
    request = SyncRequest("clinic", options=JobOptions(max_retries=number), **more)  # type: ignore[arg-type]
    return submit(home, request, requested_by="ann", lane=Lane.WORKER, clock=time.clock).job_id


def test_a_job_shows_what_it_did_in_the_spelling_of_the_api(opened: Home, vendor: Vendor) -> None:
    time = Time(datetime.now(UTC))
    vendor.holds("Patient", [patient(1), patient(2), b'{"resourceType":"Patient","id":"p3","birthDate":"soon"}'])
    vendor.holds("Observation", [observation(1)])
    refused = NotPermittedError("not for this client", code="http.403", status=403)
    source = FailingSource(vendor.folder, failures={"Observation": [refused]})
    job_id = put(opened, time)
    claim_next(opened, "w", clock=time.clock)
    run_claimed(opened, job_id, "w", adapter_for=lambda _: source, clock=time.clock)

    shown = view_job(opened, job_id).as_json()

    assert set(shown) == FIELDS
    assert json.loads(json.dumps(shown)) == shown
    assert (shown["status"], shown["error"]["code"], shown["errorCount"]) == ("FAILED", "job.types_failed", 2)
    result = shown["result"]
    assert (result["recordsProcessed"], result["recordsSucceeded"], result["recordsFailed"]) == (4, 3, 1)
    assert result["recordsSkipped"] == 0 and result["summary"]["patientsProcessed"] == 3
    assert {one["resourceType"]: (one["stage"], one["state"]) for one in shown["progress"]} == {
        "Patient": ("reconcile", "done"),
        "Observation": ("extract", "failed"),
    }
    assert {error["code"] for error in shown["errors"]} >= {"http.403"}
    assert [event["status"] for event in shown["history"] if event["status"]] == [
        "PENDING", "QUEUED", "PROCESSING", "FAILED",
    ]  # fmt: skip


def test_names_are_shown_only_where_they_are_wanted(opened: Home) -> None:
    job_id = put(opened, Time(), type=JobType.PATIENT_SYNC, patients=("zzyzx-4711",))
    view = view_job(opened, job_id)
    assert view.as_json()["patientId"] == "zzyzx-4711"
    assert "zzyzx" not in json.dumps(view.as_json(named=False))


def test_an_unknown_job_is_said_so(opened: Home) -> None:
    with pytest.raises(JobError) as raised:
        view_job(opened, "nope")
    assert raised.value.code == "job.unknown"


def test_pages_show_every_job_once_whatever_is_added_meanwhile(opened: Home) -> None:
    time = Time()
    made = []
    for number in range(7):
        made.append(put(opened, time, number))
        time.passes(seconds=1)
    seen, cursor = [], None
    while True:
        page = list_job_views(opened, JobFilter(), cursor, limit=3)
        seen += [view.job.job_id for view in page.items]
        assert all(view.details is None for view in page.items)
        put(opened, time, 10 + len(seen))
        time.passes(seconds=1)
        if page.next is None:
            break
        cursor = page.next
    assert seen == made[::-1]
    with pytest.raises(StoreError) as raised:
        list_job_views(opened, JobFilter(), "bm9uc2Vuc2U")
    assert raised.value.code == "page.cursor_invalid"


def test_filters_choose_by_when_and_by_what(opened: Home) -> None:
    time = Time()
    early = put(opened, time, 1)
    time.passes(hours=1)
    late = put(opened, time, 2, type=JobType.FULL_SYNC)
    cancel(opened, late, "ann", clock=time.clock)

    def found(**wanted: object) -> list[str]:
        return [view.job.job_id for view in list_job_views(opened, JobFilter(**wanted)).items]  # type: ignore[arg-type]

    assert found(since=time.now) == [late] and found(until=time.now) == [early]
    assert found(types=(JobType.FULL_SYNC,)) == [late] and found(statuses=(JobStatus.PENDING,)) == [early]
    assert found(connection="clinic", requested_by="ann") == [late, early]


# what it adds up to


def end(home: Home, time: Time, number: int, status: JobStatus, seconds: float) -> None:
    job_id = put(home, time, number)
    with home.database.write() as transaction:
        leases.begin_work(transaction, job_id, "w", timedelta(minutes=1), time.now)
        jobs.move(transaction, job_id, status, time.now + timedelta(seconds=seconds))


def test_statistics_count_each_job_on_the_day_it_ended(opened: Home) -> None:
    time = Time(datetime(2026, 3, 1, 23, 59, 50, tzinfo=UTC))
    end(opened, time, 1, JobStatus.COMPLETED, 4)
    end(opened, time, 2, JobStatus.COMPLETED, 20)
    time.passes(days=1)
    end(opened, time, 3, JobStatus.FAILED, 6)
    end(opened, time, 4, JobStatus.CANCELLED, 2)
    put(opened, time, 5)

    found = job_statistics(opened, clock=time.clock)

    assert (found["totalJobs"], found["completedJobs"], found["failedJobs"]) == (4, 2, 1)
    assert (found["successRate"], found["totalDuration"], found["averageDuration"]) == (0.6667, 32.0, 8.0)
    assert (found["activeJobs"], found["queuedJobs"]) == (0, 1)
    assert [(one["day"], one["totalJobs"]) for one in found["byDay"]] == [("2026-03-01", 1), ("2026-03-02", 3)]
    [clinic] = found["byConnection"]
    assert clinic["lastSyncTime"] == found["lastSyncTime"] == "2026-03-02T00:00:10+00:00"
    assert clinic["nextScheduledSync"] == "2026-03-03T00:00:00+00:00", "every quarter of an hour"
    only = job_statistics(opened, since=datetime(2026, 3, 2, 12, tzinfo=UTC), until=None, clock=time.clock)
    assert only["totalJobs"] == 2 and only["successRate"] == 0.0
    assert job_statistics(opened, connection="ward")["totalJobs"] == 0


def test_statistics_add_up_what_jobs_brought(opened: Home, vendor: Vendor) -> None:
    time = Time(datetime.now(UTC))
    vendor.holds("Patient", [patient(1), patient(2)])
    job_id = put(opened, time)
    claim_next(opened, "w", clock=time.clock)
    run_claimed(opened, job_id, "w", adapter_for=vendor.source, clock=time.clock)
    found = job_statistics(opened)
    assert (found["recordsProcessed"], found["recordsSucceeded"], found["recordsFailed"]) == (2, 2, 0)
    assert found["bytesTransferred"] == view_job(opened, job_id).total.bytes > 0


@pytest.mark.parametrize(
    ("cron", "next_one"),
    [
        ("*/15 * * * *", "2026-02-27 10:15"),
        ("0 * * * *", "2026-02-27 11:00"),
        ("30 2 * * *", "2026-02-28 02:30"),
        ("0 10 * * *", "2026-02-28 10:00"),
        ("5,10 10-12/2 * * *", "2026-02-27 10:05"),
        ("0 0 1 * *", "2026-03-01 00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 6 * * mon-wed", "2026-03-02 06:00"),
        ("0 6 * * 7", "2026-03-01 06:00"),
        ("0 0 13 * 5", "2026-03-06 00:00"),
        ("0 0 1 jan *", "2027-01-01 00:00"),
        ("@daily", "2026-02-28 00:00"),
        ("0 0 31 2 *", None),
        ("* * * *", None),
        ("61 * * * *", None),
        ("soon", None),
    ],
)
def test_the_next_time_of_a_schedule_is_cron_s(cron: str, next_one: str | None) -> None:
    friday = datetime(2026, 2, 27, 10, 0, tzinfo=UTC)
    found = next_time(cron, friday)
    assert (f"{found:%Y-%m-%d %H:%M}" if found else None) == next_one
