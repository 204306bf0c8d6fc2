"""What the API and the command line ask for becomes a request, or is refused with the field's name."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.job_queue import claim_next, run_claimed, submit
from holovitals_pipelines.engine.job_requests import OPTIONS, options_as_json, options_of, request_of
from holovitals_pipelines.engine.job_views import view_job
from holovitals_pipelines.engine.local_records import edit_record, record_of
from holovitals_pipelines.engine.quality import judge_newest_batch
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.job import JobOptions, SyncRequest, request_from
from holovitals_pipelines.model.vocabulary import Direction, JobType, Priority, Provider
from holovitals_pipelines.settings import Settings, save_connections
from tests.engine.conftest import Vendor, patient
from tests.engine.ndjson_source import NdjsonSource

BODY: dict[str, Any] = {"type": "INCREMENTAL_SYNC", "ehrProvider": "epic", "ehrConnectionId": "conn-123"}


@pytest.fixture
def settings(home: Path, database_url: str) -> Settings:
    save_connections(
        home / "connections.yaml",
        [ConnectionConfig(name="conn_123", provider=Provider.EPIC, base_url="http://127.0.0.1:9")],
    )
    return Settings(home=home, database_url=database_url)


def test_the_example_of_the_vocabulary_works_as_written(opened: Home) -> None:
    body = json.loads(
        '{"type":"PATIENT_SYNC","direction":"INBOUND","priority":2,"ehrProvider":"epic","ehrConnectionId":"conn-123",'
        '"patientId":"patient-456"}'
    )
    assert request_of(opened, body) == SyncRequest(
        "conn_123", JobType.PATIENT_SYNC, patients=("patient-456",), direction=Direction.INBOUND, priority=Priority.HIGH
    )


def test_types_ids_filters_and_options_find_their_places(opened: Home) -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    window = {"resourceTypes": ["Condition", "Patient"], "since": "2026-01-01T01:00:00+01:00"}
    options = {
        "batchSize": 20, "maxRetries": 1, "retryDelay": 10, "timeout": 99, "validateData": False,
        "resolveConflicts": False, "notifyOnComplete": True,
    }  # fmt: skip
    asked = request_of(opened, BODY | {"filters": window, "options": options})
    assert (asked.resource_types, asked.window) == (("Condition", "Patient"), (since, None))
    assert asked.options == JobOptions(20, 1, 10, 99, False, False, True)
    assert request_from(json.loads(json.dumps(asked.describe()))) == asked

    single = {"type": "RESOURCE_SYNC", "resourceType": "Observation", "resourceIds": ["o1", "o2", "o1"]}
    assert request_of(opened, BODY | single).ids == (("Observation", "o1"), ("Observation", "o2"))
    one_type = request_of(opened, BODY | {"type": "RESOURCE_SYNC", "resourceType": "Observation"})
    assert (one_type.resource_types, one_type.ids) == (("Observation",), ())


def test_options_have_the_defaults_of_the_vocabulary_and_read_back(opened: Home) -> None:
    assert options_as_json(request_of(opened, BODY).options) == {
        "batchSize": None, "maxRetries": 3, "retryDelay": 2000, "timeout": None, "validateData": True,
        "resolveConflicts": True, "notifyOnComplete": False,
    }  # fmt: skip
    assert options_of(options_as_json(JobOptions(batch_size=7))) == JobOptions(batch_size=7)
    assert len(OPTIONS) == len(JobOptions.__dataclass_fields__)


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"type": "EVERYTHING"}, "type"),
        ({"type": None}, "type"),
        ({"direction": "SIDEWAYS"}, "direction"),
        ({"priority": 9}, "priority"),
        ({"priority": True}, "priority"),
        ({"ehrProvider": "cerner"}, "ehrProvider"),
        ({"ehrConnectionId": 7}, "ehrConnectionId"),
        ({"patientId": ""}, "patientId"),
        ({"resourceIds": ["o1"]}, "resourceIds"),
        ({"resourceIds": "o1", "resourceType": "Observation"}, "resourceIds"),
        ({"filters": []}, None),
        ({"filters": "all"}, "filters"),
        ({"filters": {"zzyzx": 1}}, "filters"),
        ({"filters": {"until": "2026-01-01T00:00:00Z"}}, "filters.until"),
        ({"filters": {"since": "2026-01-01"}}, "filters.since"),
        ({"filters": {"since": 20260101}}, "filters.since"),
        ({"options": {"zzyzx": 1}}, "options"),
        ({"options": {"batchSize": "many"}}, "options.batchSize"),
        ({"options": {"validateData": 1}}, "options.validateData"),
        ({"options": {"maxRetries": None}}, "options.maxRetries"),
        ({"zzyzx": 1}, "request"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(opened: Home, wrong: dict[str, Any], place: str | None) -> None:
    if place is None:
        assert request_of(opened, BODY | wrong) == request_of(opened, BODY), "nothing was asked for"
        return
    with pytest.raises(ConfigurationError) as raised:
        request_of(opened, BODY | wrong)
    assert (raised.value.code, raised.value.place) == ("job.request_invalid", place)
    assert raised.value.remedy and "zzyzx" not in str(raised.value)


@pytest.mark.parametrize(
    "unfit",
    [
        {"type": "PATIENT_SYNC"},
        {"patientId": "p1"},
        {"type": "PATIENT_SYNC", "patientId": "p1", "filters": {"since": "2026-01-01T00:00:00Z"}},
        {"filters": {"since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}},
        {"options": {"batchSize": 0}},
        {"options": {"timeout": 0}},
    ],
)
def test_what_does_not_go_together_is_refused(opened: Home, unfit: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        request_of(opened, BODY | unfit)
    assert raised.value.code == "job.unfit_request"


# what the options do


def done(home: Home, vendor: Vendor, options: JobOptions) -> tuple[str, list[ConnectionConfig]]:
    seen: list[ConnectionConfig] = []

    def source(connection: ConnectionConfig) -> NdjsonSource:
        seen.append(connection)
        return vendor.source()

    request = SyncRequest("conn_123", JobType.INCREMENTAL_SYNC, options=options)
    job_id = submit(home, request, requested_by="x").job_id
    claim_next(home, "w")
    run_claimed(home, job_id, "w", adapter_for=source)
    return job_id, seen


def test_the_batch_size_is_the_page_size_of_this_job_only(opened: Home, vendor: Vendor) -> None:
    vendor.holds("Patient", [patient(1)])
    _, seen = done(opened, vendor, JobOptions(batch_size=17))
    assert {connection.read.page_size for connection in seen} == {17}
    _, seen = done(opened, vendor, JobOptions())
    assert {connection.read.page_size for connection in seen} == {200}


def test_without_validation_the_quality_checks_are_left_out_and_wrong_data_still_is_held(
    opened: Home, vendor: Vendor
) -> None:
    vendor.holds("Patient", [patient(1), b'{"resourceType":"Patient","id":"p2","birthDate":"soon"}'])
    done(opened, vendor, JobOptions(validate_data=False))
    assert judge_newest_batch(opened, "conn_123", "Patient") == []
    with opened.database.read() as transaction:
        from holovitals_pipelines.store.tables import quarantine

        assert len(transaction.execute(quarantine.select()).all()) == 1


@pytest.mark.parametrize(("decides", "outcome"), [(True, (1, 0)), (False, (0, 1))])
def test_a_job_that_resolves_no_conflicts_holds_what_a_policy_would_decide(
    opened: Home, vendor: Vendor, decides: bool, outcome: tuple[int, int]
) -> None:
    vendor.holds("Patient", [patient(1, language="en")])
    done(opened, vendor, JobOptions())
    record = record_of(opened, "conn_123", "Patient", "p1")
    edited = json.dumps(patient(1, language="de")).encode()
    edit_record(opened.database, record.record_id, edited, seen_version=record.version, actor="ann")
    vendor.holds("Patient", [patient(1, language="fr")])

    job_id, _ = done(opened, vendor, JobOptions(resolve_conflicts=decides))

    total = view_job(opened, job_id).total
    assert (total.conflicts, total.resolved, total.held) == (1, *outcome)


def test_a_window_without_an_end_is_the_same_request_whenever_it_is_asked_for(opened: Home, vendor: Vendor) -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    body = BODY | {"filters": {"since": since.isoformat()}}
    first = submit(opened, request_of(opened, body), requested_by="x", idempotency_key="k")
    again = submit(opened, request_of(opened, body), requested_by="x", idempotency_key="k")
    assert again.job_id == first.job_id
    assert view_job(opened, first.job_id).as_json()["filters"] == {"since": since.isoformat(), "until": None}

    vendor.holds("Patient", [patient(1)])
    source = vendor.source()
    claim_next(opened, "w")
    run_claimed(opened, first.job_id, "w", adapter_for=lambda _: source)
    assert [(request.since, request.until) for request in source.requests] == [({"Patient": since}, None)]
