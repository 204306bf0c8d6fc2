"""Jobs over HTTP: created, joined, listed, cancelled and retried, all through the queue and under the token's name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from holovitals_pipelines.model.errors import TransientError
from holovitals_pipelines.model.vocabulary import JobStatus
from holovitals_pipelines.store import jobs
from tests.api.service import Service, is_problem

JOBS = "/api/sync/jobs"
AS_WRITTEN = (
    '{"type":"PATIENT_SYNC","direction":"INBOUND","priority":2,"ehrProvider":"epic",'
    '"ehrConnectionId":"conn-123","patientId":"patient-456"}'
)


def create(api: Service, *, key: str | None = None, **asked: Any) -> Any:
    body = {"type": "INCREMENTAL_SYNC", "ehrConnectionId": "clinic", **asked}
    headers = {"Idempotency-Key": key} if key else {}
    return api.call("POST", JOBS, "operator", json=body, headers=headers)


def ended(api: Service, job_id: str) -> None:
    """The job has been at work, and has failed."""
    now = datetime.now(UTC)
    with api.home.database.write() as transaction:
        jobs.move(transaction, job_id, JobStatus.PROCESSING, now)
        error = TransientError("the vendor did not answer", code="http.timeout", remedy="try again")
        jobs.move(transaction, job_id, JobStatus.FAILED, now, error=error)


def test_the_vocabularys_request_works_as_written(api: Service) -> None:
    made = api.call("POST", JOBS, "operator", content=AS_WRITTEN, headers={"Content-Type": "application/json"})
    assert made.status_code == 201, made.text
    job = made.json()
    assert made.headers["location"] == f"{JOBS}/{job['id']}" and job["joined"] is False
    assert (job["type"], job["direction"], job["priority"]) == ("PATIENT_SYNC", "INBOUND", 2)
    assert (job["status"], job["ehrProvider"], job["ehrConnectionId"]) == ("PENDING", "epic", "conn_123")
    assert (job["patientId"], job["requestedBy"]) == ("patient-456", "a-operator")
    assert job["options"]["maxRetries"] == 3 and job["options"]["retryDelay"] == 2000
    assert api.get(made.headers["location"])["history"][0]["kind"] == "created"


def test_an_identical_job_that_waits_is_joined(api: Service) -> None:
    asked = {"type": "RESOURCE_SYNC", "resourceType": "Observation", "resourceIds": ["o1", "o2"]}
    first, again = create(api, **asked), create(api, **asked)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"] and again.json()["joined"] is True


def test_a_repeated_call_with_its_key_is_the_first_calls_job(api: Service) -> None:
    first = create(api, key="k1", type="FULL_SYNC", priority=4)
    again = create(api, key="k1", type="FULL_SYNC", priority=4)
    assert again.status_code == 200 and again.json()["id"] == first.json()["id"]
    is_problem(create(api, key="k1", type="INCREMENTAL_SYNC"), 409, "job.idempotency_conflict")
    other = api.call(
        "POST",
        JOBS,
        "everything",
        json={"type": "PATIENT_SYNC", "ehrConnectionId": "clinic", "patientId": "p9"},
        headers={"Idempotency-Key": "k1"},
    )
    assert other.status_code == 201, "another token's keys are its own"


@pytest.mark.parametrize(
    ("asked", "code", "field"),
    [
        ({"type": "SECRET"}, "api.invalid", "body.type"),
        ({"priority": 9}, "api.invalid", "body.priority"),
        ({"options": {"batchSize": 0}}, "api.invalid", "body.options.batchSize"),
        ({"SECRET SECRET": 1}, "api.invalid", "body.(unnamed)"),
        ({"filters": {"since": "SECRET"}}, "api.invalid", "body.filters.since"),
        ({"type": "PATIENT_SYNC"}, "job.unfit_request", None),
        ({"patientId": "SECRET"}, "job.unfit_request", None),
        ({"ehrProvider": "epic"}, "job.request_invalid", None),
        ({"resourceIds": ["SECRET"]}, "job.request_invalid", None),
        ({"ehrConnectionId": "nowhere"}, "settings.connection_unknown", None),
    ],
)
def test_a_request_that_means_nothing_says_which_field_and_repeats_no_value(
    api: Service, asked: dict[str, Any], code: str, field: str | None
) -> None:
    answer = create(api, **asked)
    told = is_problem(answer, 422, code)
    assert "SECRET" not in answer.text
    if field is not None:
        assert [one["field"] for one in told["errors"]] == [field]


def test_a_body_that_is_no_json_is_told_from_one_that_does_not_fit(api: Service) -> None:
    for body in (b"{", b"\xff\xfe", b""):
        answer = api.call("POST", JOBS, "operator", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422) and answer.headers["content-type"] == "application/problem+json"


def test_one_that_waits_is_cancelled_and_one_that_has_ended_is_not(api: Service) -> None:
    job_id = create(api, type="PATIENT_SYNC", patientId="cancelled").json()["id"]
    gone = api.call("DELETE", f"{JOBS}/{job_id}", "operator")
    assert gone.status_code == 200 and gone.json()["status"] == "CANCELLED", gone.text
    again = api.call("DELETE", f"{JOBS}/{job_id}", "operator")
    assert again.status_code == 409 and again.json()["remedy"], again.text
    is_problem(api.call("DELETE", f"{JOBS}/nothing", "operator"), 404, "job.unknown")


def test_only_a_failed_job_is_tried_again(api: Service) -> None:
    job_id = create(api, type="PATIENT_SYNC", patientId="failed").json()["id"]
    is_problem(api.call("POST", f"{JOBS}/{job_id}/retry", "operator"), 409, "job.not_failed")
    ended(api, job_id)
    assert api.get(f"{JOBS}/{job_id}")["error"]["code"] == "http.timeout"
    again = api.call("POST", f"{JOBS}/{job_id}/retry", "operator")
    assert again.status_code == 200 and again.json()["attempt"] == 2, again.text
    assert again.json()["status"] in ("PENDING", "RETRYING", "QUEUED")


def test_lists_are_narrowed_and_name_no_patient(api: Service) -> None:
    create(api, type="PATIENT_SYNC", patientId="NAMED-PATIENT", direction="OUTBOUND")
    answer = api.call("GET", f"{JOBS}?type=PATIENT_SYNC&direction=OUTBOUND&ehrConnectionId=clinic")
    assert len(answer.json()["items"]) == 1 and "NAMED-PATIENT" not in answer.text
    assert api.get(f"{JOBS}?status=COMPLETED")["items"] == []
    assert api.get(f"{JOBS}?until=2001-01-01T00:00:00Z")["items"] == []
    assert all(one["ehrConnectionId"] == "conn_123" for one in api.get(f"{JOBS}?ehrConnectionId=conn-123")["items"])


def test_pages_of_jobs_are_stable_while_others_are_created(api: Service) -> None:
    made = [create(api, type="PATIENT_SYNC", patientId=f"stable{n}").json()["id"] for n in range(4)]
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2, "type": "PATIENT_SYNC"}
    while True:
        page = api.get(JOBS, params=query)
        seen += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
        create(api, type="PATIENT_SYNC", patientId=f"late{len(seen)}")
    assert len(seen) == len(set(seen)) and set(made) <= set(seen)


def test_statistics_are_by_connection_and_day(api: Service) -> None:
    told = api.get("/api/sync/statistics?ehrConnectionId=clinic")
    assert told["queuedJobs"] >= 1 and [one["connection"] for one in told["byConnection"]] == ["clinic"]
    assert told["nextScheduledSync"] is not None and {"successRate", "lastSyncTime", "byDay"} <= told.keys()
    assert api.get("/api/sync/statistics?until=2001-01-01T00:00:00Z")["totalJobs"] == 0
