"""Our client against our simulated vendors: whole populations, SMART, and every fault the sandbox can make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from holovitals_pipelines.fhir.resource_types import PATIENT_COMPARTMENT
from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef
from holovitals_pipelines.model.extract import ReadRequest
from holovitals_pipelines.providers.epic import EPIC_TYPES
from holovitals_pipelines.sandbox.credentials import DemoCredentials, demo_credentials
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from tests.local_http import LOCAL

from .loopback import FastClock, Outcome, interrupted, read_all

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> DemoCredentials:
    return demo_credentials(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def sandbox(credentials: DemoCredentials) -> Iterator[RunningSandbox]:
    # A short window: Epic's day would let the first test only have an export.
    knobs = {"epic": {"bulk_window_hours": 0, "retry_after": "0"}, "fhir": {"retry_after": "0"}}
    with start_sandbox(patients=8, credentials=credentials, smart=["epic"], settings=knobs) as running:
        yield running


@pytest.fixture(autouse=True)
def no_faults_left(sandbox: RunningSandbox) -> Iterator[None]:
    yield
    LOCAL.delete(f"{sandbox.admin_url}/faults")


def secret(reference: SecretRef) -> str:
    assert reference.file is not None
    return Path(reference.file).read_text()


def declared(
    sandbox: RunningSandbox, dialect: str, auth: dict[str, Any] | None = None, **reading: Any
) -> ConnectionConfig:
    return ConnectionConfig.model_validate(
        {
            "name": "clinic",
            "provider": dialect,
            "base_url": sandbox.base_urls[dialect],
            "auth": auth or {"kind": "none"},
            "read": {"max_retries": 3, "retry_delay_ms": 1, **reading},
        }
    )


def smart(credentials: DemoCredentials, algorithm: str = "RS384") -> dict[str, Any]:
    key = credentials.rsa_key if algorithm == "RS384" else credentials.ec_key
    keys = [{"file": str(key)}]
    return {"kind": "smart_backend", "client_id": credentials.client_id, "keys": keys, "algorithm": algorithm}


def held(sandbox: RunningSandbox, dialect: str) -> dict[str, int]:
    counts = LOCAL.get(f"{sandbox.admin_url}/counts").json()[dialect]
    return {name: count for name, count in counts.items() if count}


def fault(sandbox: RunningSandbox, **declared: Any) -> None:
    answer = LOCAL.post(f"{sandbox.admin_url}/faults", json=declared)
    assert answer.status_code == 200, answer.text


def counts(result: Outcome) -> dict[str, int]:
    return dict(Counter(orjson.loads(body)["resourceType"] for body in result.bodies))


@pytest.mark.parametrize("mode", ["search", "bulk", "auto"])
def test_the_fhir_dialect_is_read_whole(sandbox: RunningSandbox, mode: str) -> None:
    there = held(sandbox, "fhir")
    result = read_all(declared(sandbox, "fhir", mode=mode), ReadRequest(resource_types=list(there)))
    assert {name: done.error for name, done in result.done.items()} == dict.fromkeys(result.done)
    assert counts(result) == there
    assert len({(orjson.loads(body)["resourceType"], orjson.loads(body)["id"]) for body in result.bodies}) == sum(
        there.values()
    )


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_the_epic_dialect_is_crawled_whole_behind_smart(
    sandbox: RunningSandbox, credentials: DemoCredentials, algorithm: str
) -> None:
    there = {name: count for name, count in held(sandbox, "epic").items() if name in EPIC_TYPES}
    config = declared(sandbox, "epic", smart(credentials, algorithm), group=sandbox.groups["epic"])
    request = ReadRequest(resource_types=list(there), patients=lambda: sorted(sandbox.patient_ids("epic")))
    result = read_all(config, request, resolve_secret=secret)
    assert {name: done.error for name, done in result.done.items()} == dict.fromkeys(result.done)
    assert counts(result) == there
    assert set(there) <= set(PATIENT_COMPARTMENT)


def test_the_epic_dialect_is_exported_by_group(sandbox: RunningSandbox, credentials: DemoCredentials) -> None:
    types = ["Patient", "Condition", "Observation"]
    config = declared(sandbox, "epic", smart(credentials), group=sandbox.groups["epic"], mode="bulk")
    result = read_all(config, ReadRequest(resource_types=types), resolve_secret=secret)
    there = held(sandbox, "epic")
    assert counts(result) == {name: there[name] for name in types}
    # Epic leads the Conditions with an OperationOutcome about subtypes the client may not see (vendors.md §3.5).
    assert {problem.resource_type for problem in result.problems} == {"Condition"}
    assert not result.done["Condition"].snapshot
    assert result.done["Observation"].snapshot


PAGED = "Observation"
FILE = "bulk/files/{id}/Observation"


@pytest.mark.parametrize(
    "fault_kind",
    [
        {"kind": "latency", "options": {"seconds": 0.05}},
        {"kind": "status", "options": {"status": 503}, "times": 3},
        {"kind": "throttle", "options": {"retry_after": "1"}},
        {"kind": "throttle"},
        {"kind": "drop"},
        {"kind": "drop_after_commit"},
        {"kind": "cut"},
        {"kind": "truncated"},
        {"kind": "duplicate_ids"},
        {"kind": "repeat_rows"},
        {"kind": "expire_sessions"},
        {"kind": "revoke_tokens"},
    ],
    ids=lambda fault: fault["kind"],
)
@pytest.mark.parametrize("skip", [0, 2])
def test_a_passing_fault_costs_no_resource(
    sandbox: RunningSandbox, clock: FastClock, fault_kind: dict[str, Any], skip: int
) -> None:
    fault(sandbox, path=PAGED, dialect="fhir", skip=skip, **fault_kind)
    config = declared(sandbox, "fhir", mode="search", page_size=50)
    result = read_all(config, ReadRequest(resource_types=["Observation"]), clock=clock.as_clock())
    assert result.done["Observation"].error is None
    assert len(set(result.ids)) == held(sandbox, "fhir")["Observation"]


@pytest.mark.parametrize(
    ("kind", "code"), [("html", "http.html"), ("invalid_utf8", None), ("wrong_type", None), ("long_line", None)]
)
def test_a_damaged_page_harms_only_itself(
    sandbox: RunningSandbox, clock: FastClock, kind: str, code: str | None
) -> None:
    fault(sandbox, path=PAGED, dialect="fhir", skip=1, kind=kind)
    config = declared(sandbox, "fhir", mode="search", page_size=50)
    result = read_all(config, ReadRequest(resource_types=["Observation", "Patient"]), clock=clock.as_clock())
    error = result.done["Observation"].error
    assert (error.code if error else None) == code
    assert result.done["Patient"].error is None
    assert {problem.code for problem in result.problems} == {
        "wrong_type": {"resource.wrong_type"},
        "long_line": {"resource.too_large"},
    }.get(kind, set())


@pytest.mark.parametrize("kind", ["cut", "drop", "latency", "duplicate_ids"])
def test_a_passing_fault_in_a_file_costs_no_line(sandbox: RunningSandbox, clock: FastClock, kind: str) -> None:
    fault(sandbox, path=FILE, dialect="fhir", kind=kind)
    config = declared(sandbox, "fhir", mode="bulk")
    result = read_all(config, ReadRequest(resource_types=["Observation"]), clock=clock.as_clock())
    assert result.done["Observation"].error is None
    assert len(set(result.ids)) == held(sandbox, "fhir")["Observation"]


@pytest.mark.parametrize(
    ("kind", "code", "problems"),
    [
        ("truncated", "bulk.file_truncated", set()),
        ("html", "bulk.not_ndjson", set()),
        ("wrong_type", None, {"resource.wrong_type"}),
        ("long_line", None, {"resource.too_large"}),
    ],
)
def test_a_damaged_file_is_told_and_the_rest_is_unharmed(
    sandbox: RunningSandbox, clock: FastClock, kind: str, code: str | None, problems: set[str]
) -> None:
    fault(sandbox, path=FILE, dialect="fhir", kind=kind)
    config = declared(sandbox, "fhir", mode="bulk")
    request = ReadRequest(resource_types=["Patient", "Observation", "Condition"])
    result = read_all(config, request, clock=clock.as_clock())
    error = result.done["Observation"].error
    assert (error.code if error else None) == code
    assert {problem.code for problem in result.problems} == problems
    there = held(sandbox, "fhir")
    assert counts(result)["Patient"] == there["Patient"]
    assert counts(result)["Condition"] == there["Condition"]


def test_epics_own_faults_are_survived_in_the_middle_of_a_crawl(
    sandbox: RunningSandbox, credentials: DemoCredentials, clock: FastClock
) -> None:
    for kind in ("expire_sessions", "revoke_tokens", "drop", "cut", "throttle"):
        fault(sandbox, path=PAGED, dialect="epic", skip=3, kind=kind)
    config = declared(sandbox, "epic", smart(credentials), page_size=20)
    request = ReadRequest(resource_types=["Observation"], patients=lambda: sorted(sandbox.patient_ids("epic")))
    result = read_all(config, request, clock=clock.as_clock(), resolve_secret=secret)
    assert result.done["Observation"].error is None
    assert len(set(result.ids)) == held(sandbox, "epic")["Observation"]


@pytest.mark.parametrize("mode", ["search", "bulk"])
def test_a_read_stopped_anywhere_and_resumed_brings_everything(sandbox: RunningSandbox, mode: str) -> None:
    config = declared(sandbox, "fhir", mode=mode, page_size=100)
    types = ["Patient", "Encounter", "Observation"]
    there = held(sandbox, "fhir")
    whole = len(read_all(config, ReadRequest(resource_types=types)).events)
    for stop in range(1, whole):
        before = interrupted(config, ReadRequest(resource_types=types), after=stop)
        after = read_all(config, ReadRequest(resource_types=types, cursor=before.events[-1].cursor))
        found = {orjson.loads(body)["id"] for body in [*before.bodies, *after.bodies]}
        assert len(found) == sum(there[name] for name in types), f"stopped after {stop} of {whole}"
        assert {*before.done, *after.done} == set(types)
        assert not any(done.error for done in after.done.values())
