"""The service around the calls: limits, health, numbers, documentation, and what happens when something breaks."""

from __future__ import annotations

import base64
import json
import logging
import re
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from holovitals_pipelines.api.limits import Buckets
from holovitals_pipelines.api.problems import ApiError
from holovitals_pipelines.engine.worker import worker_name
from holovitals_pipelines.engine.worker_heartbeat import Heartbeat
from holovitals_pipelines.store.tables import record
from tests.api.service import FHIR, Service, is_problem, served

MARKER = "Zyxw-Marker-9173"


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Service]:
    """An API with small limits, that wants more disk than there is and a token for its numbers."""
    root = tmp_path_factory.mktemp("tight")
    shutil.copyfile(sqlite_template, root / "operational.sqlite")
    limits = {"api_requests_per_second": 0.01, "api_burst": 3, "api_max_body_bytes": 2048, "api_body_seconds": 0.5}
    with served(root, **limits, api_open_metrics=False, api_least_free_bytes=1 << 60) as service:
        yield service


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/api/records", "records"), ("/api/patients", "patients"), ("/api/sync/jobs", "jobs"),
     ("/api/sync/conflicts", "conflicts"), ("/api/audit", "audit"), ("/api/quarantine", "quarantine")],
)  # fmt: skip
def test_a_cursor_that_no_list_has_given_is_refused_whatever_is_in_it(api: Service, path: str, kind: str) -> None:
    role = "auditor" if path == "/api/audit" else "viewer"
    for place in (["\ud800"], ["\x00"], [2**70], [-(2**70)], [[]], []):
        cursor = base64.urlsafe_b64encode(json.dumps([kind, *place]).encode()).decode().rstrip("=")
        is_problem(api.call("GET", f"{path}?cursor={cursor}", role), 400, "page.cursor_invalid")


def test_a_sender_that_stops_half_way_is_not_waited_for(tight: Service) -> None:
    host, port = tight.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        head = f"POST /api/sync/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tight.tokens['everything']}\r\n"
        connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{{".encode())
        answer = b""
        while more := connection.recv(65_536):  # until the server closes it
            answer += more
    assert answer.startswith(b"HTTP/1.1 408 ") and b"api.body_too_slow" in answer


def test_a_token_that_calls_too_often_is_told_when_to_come_back_and_others_are_not(tight: Service) -> None:
    answers = [tight.call("GET", "/api/sync/jobs", "resolver") for _ in range(4)]
    assert [one.status_code for one in answers] == [200, 200, 200, 429]
    is_problem(answers[-1], 429, "api.busy")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 100
    assert tight.call("GET", "/api/sync/jobs", "approver").status_code == 200
    guesses = [tight.http.get("/api/sync/jobs", headers={"Authorization": "Bearer hv_no"}) for _ in range(4)]
    assert [one.status_code for one in guesses] == [401, 401, 401, 429], "guessing is slowed down"


def test_a_bucket_fills_again_with_time() -> None:
    now = [0.0]
    buckets = Buckets(rate=2, burst=2, clock=lambda: now[0])
    for _ in range(2):
        buckets.take("token:a")
    with pytest.raises(ApiError) as refused:
        buckets.take("token:a")
    assert refused.value.headers == {"Retry-After": "1"}
    now[0] = 0.5
    buckets.take("token:a")
    with pytest.raises(ApiError):
        buckets.take("token:a")


def test_a_body_that_is_too_large_is_refused_declared_or_not(tight: Service) -> None:
    body = b'{"resourceType":"Patient","name":[{"family":"' + b"x" * 4000 + b'"}]}'
    headers = {"Content-Type": FHIR}
    is_problem(
        tight.call("POST", "/api/records/Patient", "operator", content=body, headers=headers),
        413,
        "api.body_too_large",
    )
    pieces = (body[at : at + 500] for at in range(0, len(body), 500))
    is_problem(
        tight.call("POST", "/api/records/Patient", "operator", content=pieces, headers=headers),
        413,
        "api.body_too_large",
    )
    assert tight.home.database and tight.get("/api/records", "everything")["items"] == []


def test_health_needs_no_token_and_readiness_says_what_is_wrong(api: Service, tight: Service) -> None:
    assert api.get("/healthz", None)["status"] == "ok"
    ready = api.get("/readyz", None)
    assert ready["ready"] and {"database", "disk", "connections"} <= {one["name"] for one in ready["checks"]}
    answer = tight.call("GET", "/readyz", None)
    assert answer.status_code == 503 and answer.json()["ready"] is False
    [disk] = [one for one in answer.json()["checks"] if not one["ok"]]
    assert disk["name"] == "disk" and disk["remedy"]


def test_numbers_are_counted_by_route_and_status_and_hold_no_id(api: Service, tight: Service) -> None:
    record_id = api.patient("measured")
    api.call("GET", f"/api/records/Patient/{record_id}?connection={MARKER}")
    api.grave("for-metrics")
    api.call("POST", "/api/sync/jobs", "operator", json={"type": "FULL_SYNC", "ehrConnectionId": "clinic"})
    api.call("GET", f"/nothing/{MARKER}", None)
    answer = api.call("GET", "/metrics", None)
    families = {one.name: one for one in text_string_to_metric_families(answer.text)}
    calls = {tuple(s.labels.values()): s.value for s in families["holovitals_http_requests"].samples}
    assert calls["GET", "/api/records/{type}/{id}", "404"] >= 1 and calls["GET", "(no such call)", "404"] >= 1
    assert families["holovitals_http_request_duration_seconds"].samples

    def told(name: str) -> dict[str, float]:
        return {next(iter(s.labels.values())): s.value for s in families[f"holovitals_{name}"].samples}

    assert told("jobs")["PENDING"] >= 1 and set(told("jobs")) >= {"FAILED", "RETRYING"}
    assert told("queue_jobs")["clinic"] >= 1 and told("queue_oldest_seconds")["clinic"] >= 0
    assert told("conflicts_open")["HIGH"] >= 1 and told("webhook_events")["RECEIVED"] == 0
    assert {"holovitals_outbox_writes", "holovitals_quarantine_held"} <= set(families)
    assert MARKER not in answer.text and record_id not in answer.text
    is_problem(tight.call("GET", "/metrics", None), 401, "api.token_missing")


def test_what_nobody_expected_is_told_by_its_type_and_never_by_its_text(
    api: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """A body that the store cannot have written: its text is in the exception, and nowhere else."""
    record_id = api.patient("broken", address=[{"city": MARKER}])
    with api.home.database.write() as transaction:
        transaction.execute(record.update().where(record.c.record_id == record_id).values(state=MARKER))
    with caplog.at_level(logging.INFO):
        answer = api.call("GET", "/api/records?type=Patient&limit=1000")
    with api.home.database.write() as transaction:
        transaction.execute(record.update().where(record.c.record_id == record_id).values(state="active"))
    told = is_problem(answer, 500, "engine.unexpected")
    assert MARKER not in answer.text and MARKER not in caplog.text
    assert told["instance"].removeprefix("urn:uuid:") in caplog.text and "in list_records" in caplog.text


def test_health_data_is_not_answered_when_its_access_cannot_be_told(tight: Service) -> None:
    record_id = tight.patient("untold", address=[{"city": MARKER}])
    blocked = tight.home.settings.root / "access"
    shutil.rmtree(blocked, ignore_errors=True)
    blocked.write_text("", encoding="utf-8")
    answer = tight.call("GET", f"/api/records/Patient/{record_id}", "approver")
    blocked.unlink()
    is_problem(answer, 500, "engine.unexpected")
    assert MARKER not in answer.text


def test_the_log_of_calls_has_routes_and_no_path_or_query(api: Service, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="holovitals.api"):
        answer = api.call("GET", f"/api/records/Patient/{MARKER}?connection={MARKER}")
    assert MARKER not in answer.text and MARKER not in caplog.text
    assert "GET /api/records/{type}/{id} 404" in caplog.text and answer.headers["x-request-id"] in caplog.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/api/records/Patient/{MARKER}"),
        ("GET", f"/api/records/{MARKER}/{MARKER}/history"),
        ("GET", f"/api/records?type={MARKER}&state={MARKER}&limit={MARKER}"),
        ("GET", f"/api/sync/jobs?status={MARKER}&since={MARKER}"),
        ("GET", f"/api/patients/{MARKER}"),
        ("GET", f"/api/audit/{MARKER}"),
        ("GET", f"/api/quarantine/{MARKER}"),
        ("POST", "/api/sync/conflicts"),
        ("POST", "/api/sync/jobs"),
        ("POST", "/api/connections"),
        ("POST", "/api/records/Patient"),
        ("GET", f"/{MARKER}"),
    ],
)
def test_no_problem_repeats_what_was_sent(api: Service, method: str, path: str) -> None:
    bodies = [
        {MARKER: MARKER},
        {"type": MARKER, "patientId": MARKER, "resourceType": MARKER, "strategy": MARKER, "name": MARKER},
        {"name": "valid", "declared": {"provider": MARKER, MARKER: MARKER, "auth": {"kind": MARKER}}},
        {"resourceType": "Patient", "birthDate": MARKER, MARKER: 1},
        [MARKER],
    ]
    for body in bodies if method == "POST" else [None]:
        headers = {"Content-Type": FHIR if "records" in path else "application/json"}
        content = None if body is None else json.dumps(body)
        answer = api.call(method, path, "everything", content=content, headers=headers)
        assert 400 <= answer.status_code < 500 or "items" in answer.json(), answer.text
        assert MARKER not in answer.text, answer.text


def test_the_documentation_comes_from_here_alone_and_describes_every_call(api: Service) -> None:
    page = api.call("GET", "/docs", None)
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert linked and not [one for one in linked if "://" in one or one.startswith("//")]
    for one in linked:
        assert api.call("GET", f"/{one}", None).status_code == 200, one
    assert "://" not in api.call("GET", "/docs/docs.js", None).text
    assert api.call("GET", "/docs/..%2fapp.py", None).status_code == 404
    told = api.get("/openapi.json", None)
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            assert operation["description"] and operation["summary"] and operation["tags"], (method, path)
            for status, answer in operation["responses"].items():
                if status >= "400" and path.startswith("/api/"):
                    assert "application/problem+json" in answer["content"], (method, path, status)
    assert "Problem" in told["components"]["schemas"] and "HTTPValidationError" not in json.dumps(told["paths"])


def test_an_unknown_call_and_a_wrong_method_are_problems_too(api: Service) -> None:
    is_problem(api.call("GET", "/api/nothing"), 404, "api.not_found")
    wrong = api.call("PATCH", "/api/sync/jobs", "operator")
    is_problem(wrong, 405, "api.method_not_allowed")
    assert "GET" in wrong.headers["allow"]


def test_forty_callers_at_once_are_all_answered_while_they_change_things(api: Service) -> None:
    records = [api.patient(f"crowd{number}") for number in range(40)]

    def change(record_id: str) -> int:
        path = f"/api/records/Patient/{record_id}"
        body = api.call("GET", path).content.replace(b"1950-01-01", b"1950-01-09")
        headers = {"Content-Type": FHIR, "If-Match": '"1"'}
        return api.call("PUT", path, "operator", content=body, headers=headers).status_code

    with ThreadPoolExecutor(40) as crowd:
        assert set(crowd.map(change, records)) == {200}


def test_a_worker_that_died_is_told_and_one_that_ended_is_not(api: Service) -> None:
    heartbeat = Heartbeat(api.home.settings, worker_name())
    heartbeat.beat()
    assert next(one for one in api.get("/readyz", None)["checks"] if one["name"] == "worker")["ok"] is True
    heartbeat.stop()
    dead = Heartbeat(api.home.settings, worker_name().rpartition("/")[0] + "/1")
    dead.beat()
    answer = api.call("GET", "/readyz", None)
    dead.stop()
    [worker] = [one for one in answer.json()["checks"] if one["name"] == "worker"]
    assert answer.status_code == 503 and worker["ok"] is False and worker["remedy"]
    assert "worker" not in [one["name"] for one in api.get("/readyz", None)["checks"]]
