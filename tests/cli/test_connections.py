"""`holovitals connections test`: what works and what does not, in sentences, whatever is wrong at the vendor."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.cli.conftest import GuardedVendor, Run, declare
from tests.local_http import LOCAL
from tests.providers.loopback import serving

WORKS, NOTE, FAULT = "works", "note", "fault"


@pytest.fixture
def vendor(guarded: GuardedVendor) -> Iterator[GuardedVendor]:
    """The guarded vendor, as it was before each test."""
    yield guarded
    LOCAL.delete(f"{guarded.running.admin_url}/faults")
    _turn(guarded, etags=True, versioning="versioned", read_only=False)


def _turn(vendor: GuardedVendor, **knobs: Any) -> None:
    answer = LOCAL.post(f"{vendor.running.admin_url}/fhir/settings", json=knobs)
    assert answer.is_success, answer.text


def _tried(run: Run) -> tuple[int, dict[tuple[str, str | None], dict[str, Any]]]:
    """The exit code, and the findings by what they are about and the resource type."""
    ended = run("connections", "test", "clinic", "--json")
    told = json.loads(ended.stdout)
    assert all(
        finding["message"] and (finding["verdict"] == WORKS or finding["remedy"]) for finding in told["findings"]
    )
    assert told["works"] is (ended.exit_code == 0)
    return ended.exit_code, {(one["check"], one["resourceType"]): one for one in told["findings"]}


def test_a_sound_connection_works_and_says_so_type_by_type(home: Path, run: Run, vendor: GuardedVendor) -> None:
    declare(home, vendor.connection())

    code, found = _tried(run)

    assert (code, {finding["verdict"] for finding in found.values()}) == (0, {WORKS})
    for kind in ("Patient", "Observation"):
        assert found["types", kind]["code"] == "probe.readable"
        assert found["changes", kind]["code"] == "probe.last_updated"
    assert found["versions", "Patient"]["code"] == "probe.etag"


def test_what_is_read_is_little_and_none_of_it_is_told(home: Path, run: Run, vendor: GuardedVendor) -> None:
    declare(home, vendor.connection())
    LOCAL.delete(f"{vendor.running.admin_url}/requests")

    said = run("connections", "test", "clinic").stdout

    log = LOCAL.get(f"{vendor.running.admin_url}/requests?dialect=fhir").json()
    searches = [row for row in log if row["path"] in ("Patient", "Observation")]
    assert len(searches) == 4 and all(["_count", "1"] in row["query"] for row in searches)
    assert {row["method"] for row in log if row["path"] != "token"} <= {"GET", "POST"}
    assert not any(row["method"] == "POST" for row in log if row["path"] in ("Patient", "Observation"))
    assert not any(identity in said for identity in vendor.running.patient_ids("fhir"))


def test_fewer_scopes_than_asked_and_a_type_that_is_refused(home: Path, run: Run, vendor: GuardedVendor) -> None:
    declare(home, vendor.connection(scopes="system/Patient.rs"))

    code, found = _tried(run)

    assert code == 1
    assert found["types", "Patient"]["verdict"] == WORKS
    assert (found["types", "Observation"]["verdict"], found["types", "Observation"]["code"]) == (FAULT, "http.403")


def test_a_scope_that_was_not_granted_is_named(home: Path, run: Run, vendor: GuardedVendor) -> None:
    declare(home, vendor.connection(scopes="system/*.cruds launch/patient"))

    _, found = _tried(run)

    assert (found["access", None]["verdict"], found["access", None]["code"]) == (NOTE, "auth.scope_reduced")
    assert "launch/patient" in found["access", None]["message"]


def test_a_type_that_is_read_without_being_declared_is_told(home: Path, run: Run, vendor: GuardedVendor) -> None:
    declare(home, vendor.connection() | {"resource_types": ["Patient", "Basic"]})

    code, found = _tried(run)

    assert (code, found["types", "Basic"]["verdict"]) == (0, NOTE)
    assert found["types", "Patient"]["verdict"] == WORKS


def test_a_vendor_without_etags_and_without_writes(home: Path, run: Run, vendor: GuardedVendor) -> None:
    _turn(vendor, etags=False, versioning="no-version", read_only=True)
    declare(home, vendor.connection() | {"write": {"enabled": True, "resource_types": ["Patient"]}})

    code, found = _tried(run)

    assert (found["versions", "Patient"]["verdict"], found["versions", "Patient"]["code"]) == (NOTE, "probe.no_etag")
    assert (code, found["writes", "Patient"]["verdict"]) == (1, FAULT)


def test_clocks_that_disagree_are_told(home: Path, run: Run, vendor: GuardedVendor) -> None:
    clock = f"{vendor.running.admin_url}/clock"
    LOCAL.post(clock, json={"shift_seconds": 120})
    try:
        declare(home, vendor.connection())
        code, found = _tried(run)
    finally:
        LOCAL.post(clock, json={"shift_seconds": -120})

    assert (code, found["clock", None]["verdict"]) == (0, NOTE)
    assert "clock" in found["clock", None]["message"]


def test_a_key_nobody_knows_and_a_host_that_is_not_there_end_with_one_sentence(
    home: Path, run: Run, vendor: GuardedVendor
) -> None:
    declare(home, vendor.connection(client_id="somebody-else"))
    refused = run("connections", "test", "clinic")
    declare(home, vendor.connection() | {"base_url": "http://127.0.0.1:9/fhir"})
    unreachable = run("connections", "test", "clinic")

    assert (refused.exit_code, unreachable.exit_code) == (1, 1)
    assert "auth.invalid_client" in refused.stderr and "client_id" in refused.stderr
    assert "http.unreachable" in unreachable.stderr and "Traceback" not in unreachable.stderr


STATEMENT = {
    "resourceType": "CapabilityStatement",
    "fhirVersion": "4.0.1",
    "rest": [
        {
            "mode": "server",
            "resource": [
                {
                    "type": "Patient",
                    "interaction": [{"code": "read"}, {"code": "search-type"}],
                    "searchParam": [{"name": "_lastUpdated"}],
                }
            ],
        }
    ],
}


def test_a_server_that_does_not_filter_by_last_updated_and_does_not_know_a_type(home: Path, run: Run) -> None:
    held = {"resourceType": "Patient", "id": "1"}

    def answer(request: Request) -> Response:
        if request.url.path.endswith("metadata"):
            return JSONResponse(STATEMENT)
        if request.url.path.endswith("Patient/1"):
            return JSONResponse(held, headers={"ETag": 'W/"1"'})
        if request.url.path.endswith("Basic"):
            return Response(status_code=404)
        return JSONResponse({"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": held}]})

    with serving({"/{rest:path}": answer}) as server:
        types = ["Patient", "Basic"]
        declare(home, {"name": "clinic", "provider": "fhir", "base_url": f"{server.url}/fhir", "resource_types": types})
        code, found = _tried(run)
        said = run("connections", "test", "clinic").stdout

    assert (code, found["types", "Basic"]["verdict"]) == (1, FAULT)
    assert found["changes", "Patient"]["verdict"] == NOTE
    assert found["changes", "Patient"]["code"] == "probe.last_updated_ignored"
    assert "To do: report it to the vendor" in " ".join(said.split())


def _meditech(base_url: str, *ports: int, **write: Any) -> dict[str, Any]:
    listen = [{"name": f"feed{number}", "port": port} for number, port in enumerate(ports)]
    return {
        "name": "clinic", "provider": "meditech", "base_url": base_url, "hl7v2": {"listen": listen}, "write": write,
    }  # fmt: skip


def test_hl7_links_are_opened_and_nothing_is_sent(home: Path, run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as theirs, socket.create_server(("127.0.0.1", 0)) as taken:
        port, busy = theirs.getsockname()[1], taken.getsockname()[1]
        declare(home, _meditech(f"mllp://127.0.0.1:{port}", 0, busy, enabled=True))
        ended = run("connections", "test", "clinic", "--json")
        theirs.settimeout(10)
        link, _ = theirs.accept()
        with link:
            sent = link.recv(1)

    codes = [finding["code"] for finding in json.loads(ended.stdout)["findings"]]
    assert sent == b""
    assert {"hl7.link", "hl7.port", "hl7.port_taken"} <= set(codes)


def test_an_hl7_interface_that_is_not_there_cannot_be_written_to(home: Path, run: Run) -> None:
    declare(home, _meditech("mllp://127.0.0.1:9", enabled=True))
    code, found = _tried(run)

    assert (code, found["writes", None]["code"], found["changes", None]["code"]) == (
        1,
        "hl7.no_link",
        "hl7.no_listener",
    )
