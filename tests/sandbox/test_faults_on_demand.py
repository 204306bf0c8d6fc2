from __future__ import annotations

import time
from typing import Any

import httpx
import orjson
import pytest

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.sandbox.faults import FaultKind, fault_from, fault_from_header
from sandbox.loopback import Loopback, codes, entries, lines


def statuses(sandbox: Loopback, path: str, times: int) -> list[int]:
    return [sandbox.get("fhir", path).status_code for _ in range(times)]


def observation_file(sandbox: Loopback) -> str:
    url = sandbox.export("fhir", "$export?_type=Observation")[1]["output"][0]["url"]
    assert isinstance(url, str)
    return url


def test_a_burst_hits_the_next_n_requests_that_match_and_no_others(sandbox: Loopback) -> None:
    sandbox.fault(kind="status", status=502, path="Patient", times=2)
    assert statuses(sandbox, "Observation?_count=1", 2) == [200, 200]
    assert statuses(sandbox, "Patient?_count=1", 3) == [502, 502, 200]
    assert sandbox.admin("GET", "faults") == []


def test_the_third_page_of_observation_can_be_cut_in_half(sandbox: Loopback) -> None:
    sandbox.fault(kind="truncated", method="GET", path="Observation", skip=2)
    page, seen = sandbox.get("fhir", "Observation?_count=20"), []
    for _ in range(3):
        seen.append(page.content)
        link = next(each["url"] for each in page.json()["link"] if each["relation"] == "next")
        page = sandbox.http.get(link)
        if not page.content.endswith(b"}"):
            break
    assert len(seen) == 2
    with pytest.raises(ValueError):
        orjson.loads(page.content)
    whole = sandbox.http.get(link).content
    assert page.content == whole[: len(whole) // 2] and entries(orjson.loads(whole))


def test_faults_of_one_vendor_leave_the_other_alone(sandbox: Loopback) -> None:
    sandbox.fault(kind="status", dialect="epic", times=0)
    assert sandbox.get("epic", "metadata").status_code == 503
    assert sandbox.get("fhir", "metadata").status_code == 200
    assert sandbox.get("epic", "metadata").status_code == 503, "times=0 goes on"
    sandbox.admin("DELETE", "faults")
    assert sandbox.get("epic", "metadata").status_code == 200


def test_a_header_makes_one_request_fail(sandbox: Loopback) -> None:
    failed = sandbox.get("fhir", "metadata", headers={"X-Sandbox-Fault": "status; status=500"})
    assert failed.status_code == 500 and failed.json()["resourceType"] == "OperationOutcome"
    assert sandbox.get("fhir", "metadata").status_code == 200
    unknown = sandbox.get("fhir", "metadata", headers={"X-Sandbox-Fault": "gremlins"})
    assert unknown.status_code == 400 and "latency" in unknown.text


def test_latency_makes_the_answer_late_and_right(sandbox: Loopback) -> None:
    sandbox.fault(kind="latency", seconds=0.2)
    started = time.perf_counter()
    assert sandbox.get("fhir", "metadata").json()["resourceType"] == "CapabilityStatement"
    assert time.perf_counter() - started >= 0.2


@pytest.mark.parametrize("retry_after", [None, "5", "Wed, 21 Oct 2026 07:28:00 GMT", "999999999", "1792567680", "soon"])
def test_429_comes_with_whatever_retry_after_is_wanted(sandbox: Loopback, retry_after: str | None) -> None:
    sandbox.fault(kind="throttle", **({} if retry_after is None else {"retry_after": retry_after}))
    answer = sandbox.get("fhir", "Patient")
    assert answer.status_code == 429 and answer.headers.get("retry-after") == retry_after


def test_a_dropped_connection_after_the_commit_leaves_the_write_in_place(sandbox: Loopback) -> None:
    sandbox.fault(kind="drop_after_commit", method="PUT", path="Basic/{id}")
    url = f"{sandbox.url('fhir')}/Basic/b1"
    with pytest.raises(httpx.TransportError):
        sandbox.http.put(url, json={"resourceType": "Basic", "id": "b1", "code": {"text": "written"}})
    assert sandbox.http.get(url).json()["code"]["text"] == "written"
    sandbox.fault(kind="drop", method="PUT", path="Basic/{id}")
    with pytest.raises(httpx.TransportError):
        sandbox.http.put(url, json={"resourceType": "Basic", "id": "b1", "code": {"text": "lost"}})
    assert sandbox.http.get(url).json()["code"]["text"] == "written"


def test_a_connection_dropped_in_a_file_leaves_part_of_it(sandbox: Loopback) -> None:
    url = observation_file(sandbox)
    whole = sandbox.http.get(url).content
    sandbox.fault(kind="cut", path="bulk/files/{id}/Observation", fraction=0.3)
    received = b""
    with pytest.raises(httpx.RemoteProtocolError), sandbox.http.stream("GET", url) as answer:
        assert int(answer.headers["content-length"]) == len(whole)
        for piece in answer.iter_raw():
            received += piece
    assert received == whole[: int(len(whole) * 0.3)]
    rest = sandbox.http.get(url, headers={"Range": f"bytes={len(received)}-"})
    assert received + rest.content == whole, "and the rest can be fetched"


def test_a_web_page_can_come_with_200(sandbox: Loopback) -> None:
    sandbox.fault(kind="html", path="Patient")
    answer = sandbox.get("fhir", "Patient")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")


def test_bodies_can_hold_invalid_utf8(sandbox: Loopback) -> None:
    url = observation_file(sandbox)
    sandbox.fault(kind="invalid_utf8")
    bad = []
    for line in sandbox.http.get(url).content.splitlines():
        try:
            line.decode()
        except UnicodeDecodeError:
            bad.append(line)
    assert len(bad) == 1 and bad[0].startswith(b'{"resourceType"') and bad[0].endswith(b"}")
    with pytest.raises(UnicodeDecodeError):
        sandbox.get("fhir", "Patient", headers={"X-Sandbox-Fault": "invalid_utf8"}).content.decode()


def test_a_file_can_hold_a_resource_of_another_type(sandbox: Loopback) -> None:
    url = observation_file(sandbox)
    sandbox.fault(kind="wrong_type")
    assert [r["resourceType"] for r in lines(sandbox.http.get(url))][-2:] == ["Observation", "Basic"]
    page = sandbox.get("fhir", "Observation?_count=2", headers={"X-Sandbox-Fault": "wrong_type"}).json()
    assert [r["resourceType"] for r in entries(page)] == ["Observation", "Observation", "Basic"]


@pytest.mark.parametrize("changed", [False, True])
def test_an_id_can_come_twice_in_a_file(sandbox: Loopback, changed: bool) -> None:
    url = observation_file(sandbox)
    sandbox.fault(kind="duplicate_ids", changed=changed)
    found = lines(sandbox.http.get(url))
    assert found[0]["id"] == found[-1]["id"] and (found[0] == found[-1]) is not changed


def test_a_line_can_be_ten_megabytes_long(sandbox: Loopback) -> None:
    url = observation_file(sandbox)
    sandbox.fault(kind="long_line")
    last = sandbox.http.get(url).content.splitlines()[-1]
    assert len(last) > 10_000_000 and orjson.loads(last)["resourceType"] == "Observation"


def test_tokens_and_page_sessions_can_end_in_mid_scan(sandbox: Loopback) -> None:
    patient = sandbox.ids("epic")[0]
    sandbox.fault(kind="expire_sessions", dialect="epic", path="Observation", skip=1)
    first = sandbox.get("epic", f"Observation?patient={patient}&category=vital-signs&_count=5").json()
    link = next(each["url"] for each in first["link"] if each["relation"] == "next")
    assert codes(sandbox.http.get(link).json()) == ["4113"]


def test_rows_can_come_twice_across_pages(sandbox: Loopback) -> None:
    sandbox.fault(kind="repeat_rows", path="Observation", skip=1, rows=2)
    first, second = (
        [r["id"] for r in entries(page)]
        for page, _ in zip(sandbox.pages("fhir", "Observation?_count=5"), "12", strict=False)
    )
    assert second[:2] == first[-2:] and len(second) == 7


@pytest.mark.parametrize("edit", ["update", "delete"])
def test_a_row_can_change_in_mid_scan(sandbox: Loopback, edit: str) -> None:
    ids = sandbox.ids("fhir", "Observation")
    sandbox.fault(kind="edit_page", path="Observation", skip=1, edit=edit)
    pages = sandbox.pages("fhir", "Observation?_count=5")
    next(pages)
    found: dict[str, Any] = {r["id"]: r for r in entries(next(pages))}
    if edit == "delete":
        assert list(found) == ids[6:10]
    else:
        assert list(found) == ids[5:10] and found[ids[5]]["meta"]["versionId"] == "2"
        assert found[ids[5]]["extension"][0]["url"].endswith("edited")


def test_the_request_log_names_operations_and_holds_no_id(sandbox: Loopback) -> None:
    patient = sandbox.ids("epic")[0]
    sandbox.admin("DELETE", "requests")
    sandbox.get("epic", f"Condition?patient={patient}&category=problem-list-item")
    sandbox.get("epic", f"Patient/{patient}", headers={"X-Sandbox-Fault": "status"})
    log = sandbox.admin("GET", "requests?dialect=epic")
    assert [(e["method"], e["path"], e["status"], e["fault"]) for e in log] == [
        ("GET", "Condition", 200, None),
        ("GET", "Patient/{id}", 503, "status"),
    ]
    assert log[0]["query"] == [["patient", "{…}"], ["category", "problem-list-item"]]
    assert patient not in str(log) and log[0]["bytes"] > 0


def test_time_can_be_moved_and_stopped(sandbox: Loopback) -> None:
    sandbox.admin("POST", "clock", json={"at": "2030-01-01T00:00:00Z", "frozen": True})
    answer = sandbox.get("fhir", "metadata")
    assert answer.headers["date"] == "Tue, 01 Jan 2030 00:00:00 GMT"
    assert sandbox.admin("POST", "clock", json={"shift_seconds": 60})["now"] == "2030-01-01T00:01:00.000Z"


@pytest.mark.parametrize("kind", list(FaultKind))
def test_every_fault_can_be_declared_both_ways(kind: FaultKind) -> None:
    assert fault_from({"kind": kind, "path": "x", "seconds": 0.5}).option("seconds", 0) == 0.5
    assert fault_from_header(f"{kind}; seconds=0.5; path=other").path == "*"


def test_an_unknown_fault_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="drop_after_commit"):
        fault_from({"kind": "gremlins"})
