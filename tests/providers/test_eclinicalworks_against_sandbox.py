"""The eClinicalWorks adapter against the simulated practice: whole reads, two tokens, exports, write-back, faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from sandbox.loopback import Loopback, serving

from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef
from holovitals_pipelines.model.errors import (
    AuthenticationError,
    DuplicateError,
    NotPermittedError,
    OutcomeUnknownError,
    PermanentError,
)
from holovitals_pipelines.model.extract import ReadRequest
from holovitals_pipelines.model.vocabulary import ErrorSeverity
from holovitals_pipelines.model.writing import Absent, Present, Written
from holovitals_pipelines.providers.adapter import Adapter
from holovitals_pipelines.providers.eclinicalworks import ECW_TYPES
from holovitals_pipelines.providers.probe import Check, Probing, Verdict
from holovitals_pipelines.sandbox.credentials import DemoCredentials, demo_credentials
from holovitals_pipelines.sandbox.dialects.eclinicalworks import GROUP, EcwSettings

from .loopback import FastClock, Outcome, at_desk, connection, interrupted, read_all

pytestmark = pytest.mark.timeout(120)

ECW = "eclinicalworks"
TYPES = ("Location", "Patient", "Encounter", "AllergyIntolerance", "Condition", "Observation")
CRAWLED = TYPES[1:]
AS_IT_WAS = {name: getattr(EcwSettings(), name) for name in EcwSettings.__dataclass_fields__}


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> DemoCredentials:
    return demo_credentials(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def running(credentials: DemoCredentials) -> Iterator[Loopback]:
    with serving(dialects=(ECW,), smart=frozenset({ECW}), clients=credentials.clients, patients=6) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Loopback) -> Iterator[Loopback]:
    # The minute has tests of its own (test_rate_limits.py): here it would only make tests wait for each other.
    running.sites[ECW].turn({**AS_IT_WAS, "requests_per_minute": 0, "retry_after": "1", "write_back": True})
    running.admin("DELETE", "requests")
    yield running
    running.admin("DELETE", "faults")
    running.admin("POST", f"{ECW}/bulk/reset")


def practice(sandbox: Loopback, credentials: DemoCredentials, **settings: Any) -> ConnectionConfig:
    auth = {
        "kind": "smart_backend",
        "client_id": credentials.client_id,
        "keys": [{"file": str(credentials.rsa_key)}],
        **settings.pop("auth", {}),
    }
    write = {"enabled": True, "creates": True, "resource_types": ["Patient", "Encounter", "Condition"]}
    read = {"max_retries": 3, "retry_delay_ms": 1, **settings.pop("read", {})}
    given = {"provider": ECW, "auth": auth, "write": write, "read": read, **settings}
    return connection(sandbox.url(ECW), **given)


def hooks(sandbox: Loopback, clock: FastClock) -> dict[str, Any]:
    def resolve(reference: SecretRef) -> str:
        return "\n".join(sandbox.ids(ECW)) if reference.env == "PATIENTS" else Path(str(reference.file)).read_text()

    return {"clock": clock.as_clock(), "resolve_secret": resolve}


def counts(read: Outcome) -> dict[str, int]:
    return dict(Counter(orjson.loads(body)["resourceType"] for body in read.bodies))


def held(sandbox: Loopback, *types: str) -> dict[str, int]:
    return {name: count for name in types if (count := len(sandbox.ids(ECW, name)))}


def request(sandbox: Loopback, *types: str, **more: Any) -> ReadRequest:
    return ReadRequest(types, patients=lambda: sorted(sandbox.ids(ECW)), **more)


def asked(sandbox: Loopback, path: str) -> int:
    return sum(entry["path"] == path for entry in sandbox.admin("GET", "requests"))


LISTED = {"patient_ids": {"env": "PATIENTS"}}


@pytest.mark.parametrize("legacy", [False, True], ids=["application/fhir+json", "application/json+fhir"])
def test_listed_patients_are_crawled_whole(
    sandbox: Loopback, credentials: DemoCredentials, clock: FastClock, legacy: bool
) -> None:
    sandbox.sites[ECW].turn({"legacy_content_type": legacy})
    config = practice(sandbox, credentials, read={**LISTED, "page_size": 7})
    read = read_all(config, request(sandbox, *CRAWLED), **hooks(sandbox, clock))
    assert {name: (done.error, done.snapshot) for name, done in read.done.items()} == dict.fromkeys(
        CRAWLED, (None, True)
    )
    assert counts(read) == held(sandbox, *CRAWLED) and read.problems == []
    assert asked(sandbox, "oauth2/token") == 1


def test_patients_and_places_come_from_the_group_by_a_token_of_its_own(
    sandbox: Loopback, credentials: DemoCredentials, clock: FastClock
) -> None:
    config = practice(sandbox, credentials, read={"group": GROUP})
    read = read_all(config, request(sandbox, *TYPES), **hooks(sandbox, clock))
    assert {name: (done.error, done.snapshot) for name, done in read.done.items()} == dict.fromkeys(TYPES, (None, True))
    assert counts(read) == held(sandbox, *TYPES)
    assert asked(sandbox, "oauth2/token") == 2
    assert asked(sandbox, "Patient/{id}") == 0 and asked(sandbox, "Group/{id}/$export") == 1


@pytest.mark.parametrize(("app", "reading"), [("single", {**LISTED}), ("bulk", {"group": GROUP, "mode": "bulk"})])
def test_an_app_registered_for_one_kind_of_reading_is_enough_for_it(
    sandbox: Loopback, credentials: DemoCredentials, clock: FastClock, app: str, reading: dict[str, Any]
) -> None:
    sandbox.sites[ECW].turn({"app": app})
    read = read_all(practice(sandbox, credentials, read=reading), request(sandbox, *CRAWLED), **hooks(sandbox, clock))
    assert counts(read) == held(sandbox, *CRAWLED)
    assert asked(sandbox, "oauth2/token") == 1


def test_bulk_mode_exports_all_and_then_what_has_changed(
    sandbox: Loopback, credentials: DemoCredentials, clock: FastClock
) -> None:
    config = practice(sandbox, credentials, read={"group": GROUP, "mode": "bulk"})
    whole = read_all(config, request(sandbox, *TYPES), **hooks(sandbox, clock))
    assert counts(whole) == held(sandbox, *TYPES)
    since = {name: done.watermark for name, done in whole.done.items()}
    changed = sandbox.ids(ECW, "Condition")[0]
    edited(sandbox, "Condition", changed, recordedDate="2026-02-03")
    news = read_all(config, request(sandbox, *TYPES, since=since), **hooks(sandbox, clock))
    assert news.ids == [changed]
    assert {done.snapshot for done in news.done.values()} == {False}


def test_an_export_that_was_interrupted_is_taken_up_and_none_is_left_open(
    sandbox: Loopback, credentials: DemoCredentials, clock: FastClock
) -> None:
    config = practice(sandbox, credentials, read={"group": GROUP, "mode": "bulk"})
    first = interrupted(config, request(sandbox, *TYPES), after=2, **hooks(sandbox, clock))
    rest = read_all(config, request(sandbox, *TYPES, cursor=first.events[-1].cursor), **hooks(sandbox, clock))
    assert asked(sandbox, "Group/{id}/$export") == 1
    assert sum((Counter(counts(part)) for part in (first, rest)), Counter()) == held(sandbox, *TYPES)
    assert sandbox.sites[ECW].exports.running == {}


def test_an_identical_export_under_way_leaves_the_known_patients_to_be_read(
    sandbox: Loopback, credentials: DemoCredentials, clock: FastClock
) -> None:
    config = practice(sandbox, credentials, read={"group": GROUP})
    sandbox.sites[ECW].turn({"polls": 5})
    interrupted(config, request(sandbox, "Patient", "Condition"), after=1, **hooks(sandbox, clock))
    read = read_all(config, request(sandbox, "Patient", "Condition"), **hooks(sandbox, clock))
    assert counts(read) == held(sandbox, "Patient", "Condition")
    assert [(one.code, one.severity) for one in read.problems] == [("ecw.export_in_progress", ErrorSeverity.WARNING)]
    assert {name: (done.error, done.snapshot) for name, done in read.done.items()} == {
        "Patient": (None, False),
        "Condition": (None, True),
    }


def test_a_wrong_group_is_named_before_the_token(
    sandbox: Loopback, credentials: DemoCredentials, clock: FastClock
) -> None:
    config = practice(sandbox, credentials, read={"group": "nobodys", "mode": "bulk"})
    read = read_all(config, request(sandbox, "Patient"), **hooks(sandbox, clock))
    error = read.done["Patient"].error
    assert isinstance(error, AuthenticationError)
    assert error.code == "ecw.token_or_group" and "read.group" in error.remedy


@pytest.mark.parametrize(
    ("auth", "code"),
    [
        ({"scopes": "system/Patient.read system/Starship.read"}, "auth.invalid_grant"),
        ({"client_id": "nobody"}, "auth.invalid_client"),
        ({"token_url": "{origin}/eclinicalworks/./oauth/oauth2/token"}, "auth.access_denied"),
    ],
    ids=["scope", "client", "audience"],
)
def test_a_refused_token_is_an_authentication_error_and_asked_for_once(
    sandbox: Loopback, credentials: DemoCredentials, clock: FastClock, auth: dict[str, Any], code: str
) -> None:
    auth = {name: value.format(origin=sandbox.origin) for name, value in auth.items()}
    with pytest.raises(AuthenticationError) as caught:
        read_all(practice(sandbox, credentials, auth=auth, read=LISTED), request(sandbox), **hooks(sandbox, clock))
    assert caught.value.code == code
    assert asked(sandbox, "oauth2/token") == 1


def test_observations_are_narrowed_by_the_day_they_were_obtained(
    sandbox: Loopback, credentials: DemoCredentials, clock: FastClock
) -> None:
    config = practice(sandbox, credentials, read={**LISTED, "date_rescan_days": 0})
    since = {"Observation": datetime(2026, 1, 1, tzinfo=UTC), "Condition": datetime(2026, 1, 1, tzinfo=UTC)}
    read = read_all(config, request(sandbox, "Observation", "Condition", since=since), **hooks(sandbox, clock))
    there = held(sandbox, "Observation", "Condition")
    found = counts(read)
    assert 0 <= found.get("Observation", 0) < there["Observation"] and found["Condition"] == there["Condition"]
    assert (read.done["Observation"].snapshot, read.done["Condition"].snapshot) == (False, True)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "throttle"},
        {"kind": "status", "status": 503, "times": 2},
        {"kind": "drop"},
        {"kind": "truncated"},
        {"kind": "expire_sessions"},
        {"kind": "revoke_tokens"},
        {"kind": "repeat_rows"},
    ],
    ids=lambda fault: str(fault["kind"]),
)
def test_a_passing_fault_costs_no_resource(
    sandbox: Loopback, credentials: DemoCredentials, clock: FastClock, fault: dict[str, Any]
) -> None:
    sandbox.fault(path="Observation", dialect=ECW, skip=2, **fault)
    config = practice(sandbox, credentials, read={**LISTED, "page_size": 40})
    read = read_all(config, request(sandbox, "Observation"), **hooks(sandbox, clock))
    assert read.done["Observation"].error is None
    assert len(set(read.ids)) == held(sandbox, "Observation")["Observation"]


def test_a_trial_finds_every_type_readable_that_is_read_by_patient(
    sandbox: Loopback, credentials: DemoCredentials, clock: FastClock
) -> None:
    async def work(adapter: Adapter) -> dict[str | None, Verdict]:
        assert isinstance(adapter, Probing)
        findings = await adapter.probe(sandbox.ids(ECW)[0])
        return {one.resource_type: one.verdict for one in findings if one.check is Check.TYPES}

    found = at_desk(practice(sandbox, credentials, read=LISTED), work, **hooks(sandbox, clock))
    assert found == dict.fromkeys(ECW_TYPES, Verdict.WORKS)


# writing


def edited(sandbox: Loopback, kind: str, identity: str, **elements: Any) -> None:
    now = sandbox.admin("GET", f"{ECW}/{kind}/{identity}")
    sandbox.admin("PUT", f"{ECW}/{kind}/{identity}", json={**now, **elements})


NEW = {
    "resourceType": "Patient",
    "identifier": [{"system": "urn:example:ours", "value": "4711"}],
    "name": [{"family": "Example", "given": ["Ann"]}],
    "gender": "female",
    "birthDate": "1980-02-29",
}


def test_a_patient_is_made_found_changed_and_not_made_twice(
    sandbox: Loopback, credentials: DemoCredentials, clock: FastClock
) -> None:
    async def work(adapter: Adapter) -> tuple[Written, Written]:
        made = await adapter.create("Patient", orjson.dumps(NEW))
        assert made.stored is not None
        assert [one.remote_id for one in await adapter.find("Patient", [("urn:example:ours", "4711")])] == [
            made.remote_id
        ]
        with pytest.raises(DuplicateError):
            await adapter.create("Patient", orjson.dumps(NEW))
        body = orjson.dumps({**orjson.loads(made.stored), "gender": "other"})
        return made, await adapter.update("Patient", made.remote_id, body, version=None)

    made, changed = at_desk(practice(sandbox, credentials, read=LISTED), work, **hooks(sandbox, clock))
    assert made.remote_id == changed.remote_id and changed.stored is not None
    assert orjson.loads(changed.stored)["gender"] == "other"
    assert asked(sandbox, "Patient") == 3, "two creates and one search: a duplicate is not sent again"
    sandbox.admin("DELETE", f"{ECW}/Patient/{made.remote_id}")


def test_a_locked_encounter_is_refused_and_stays_as_it_is(
    sandbox: Loopback, credentials: DemoCredentials, clock: FastClock
) -> None:
    encounter = sandbox.ids(ECW, "Encounter")[0]
    sandbox.sites[ECW].turn({"locked_encounters": (encounter,)})

    async def work(adapter: Adapter) -> tuple[Present | Absent, Present | Absent]:
        before = await adapter.read_current("Encounter", encounter)
        assert isinstance(before, Present) and before.version is None
        body = orjson.dumps({**orjson.loads(before.body), "status": "cancelled"})
        with pytest.raises(NotPermittedError) as caught:
            await adapter.update("Encounter", encounter, body, version=None)
        assert (caught.value.code, caught.value.vendor_code) == ("ecw.139", "139")
        return before, await adapter.read_current("Encounter", encounter)

    before, after = at_desk(practice(sandbox, credentials, read=LISTED), work, **hooks(sandbox, clock))
    assert before == after


def test_a_passing_failure_of_the_vendor_is_repeated_once(
    sandbox: Loopback, credentials: DemoCredentials, clock: FastClock
) -> None:
    condition = sandbox.ids(ECW, "Condition")[0]
    body = orjson.dumps(sandbox.admin("GET", f"{ECW}/Condition/{condition}"))

    async def work(adapter: Adapter) -> Written:
        return await adapter.update("Condition", condition, body, version=None)

    config = practice(sandbox, credentials, read=LISTED)
    sandbox.sites[ECW].turn({"refused": {"Condition": "103 UNKNOWN_MAPPING_ERROR"}, "refused_times": 1})
    assert at_desk(config, work, **hooks(sandbox, clock)).remote_id == condition
    sandbox.sites[ECW].turn({"refused": {"Condition": "103 UNKNOWN_MAPPING_ERROR"}, "refused_times": 0})
    with pytest.raises(PermanentError) as caught:
        at_desk(config, work, **hooks(sandbox, clock))
    assert caught.value.code == "ecw.103"


def test_a_create_whose_answer_is_lost_is_not_sent_again_and_can_be_found(
    sandbox: Loopback, credentials: DemoCredentials, clock: FastClock
) -> None:
    sandbox.fault(kind="drop_after_commit", method="POST", path="Patient", dialect=ECW)
    before = set(sandbox.ids(ECW))

    async def work(adapter: Adapter) -> list[str]:
        with pytest.raises(OutcomeUnknownError):
            await adapter.create("Patient", orjson.dumps(NEW))
        return [one.remote_id for one in await adapter.find("Patient", [("urn:example:ours", "4711")])]

    found = at_desk(practice(sandbox, credentials, read=LISTED), work, **hooks(sandbox, clock))
    assert found == sorted(set(sandbox.ids(ECW)) - before) and len(found) == 1
    sandbox.admin("DELETE", f"{ECW}/Patient/{found[0]}")


def test_a_success_that_does_not_name_what_it_made_is_not_taken_for_one(
    sandbox: Loopback, credentials: DemoCredentials, clock: FastClock
) -> None:
    sandbox.sites[ECW].turn({"success_names_id": False})
    before = set(sandbox.ids(ECW))

    async def work(adapter: Adapter) -> None:
        with pytest.raises(OutcomeUnknownError):
            await adapter.create("Patient", orjson.dumps(NEW))

    at_desk(practice(sandbox, credentials, read=LISTED), work, **hooks(sandbox, clock))
    [made] = set(sandbox.ids(ECW)) - before
    sandbox.admin("DELETE", f"{ECW}/Patient/{made}")
