"""The Oracle Health adapter against the simulated tenant: whole reads, changes, interruptions, exports, writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sandbox.loopback import Loopback, serving

from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef
from holovitals_pipelines.model.errors import (
    AuthenticationError,
    GoneError,
    NotPermittedError,
    OutcomeUnknownError,
    PermanentError,
    VersionConflictError,
)
from holovitals_pipelines.model.extract import ReadRequest
from holovitals_pipelines.model.writing import Absent, Concurrency, Present, UnitWrite, Written
from holovitals_pipelines.providers.adapter import Adapter
from holovitals_pipelines.providers.cerner_reads import SHARED_TYPES
from holovitals_pipelines.providers.probe import Probing, Verdict
from holovitals_pipelines.providers.write_overview import write_overview
from holovitals_pipelines.sandbox.credentials import DemoCredentials, demo_credentials

from .loopback import FastClock, Outcome, at_desk, connection, interrupted, read_all

pytestmark = pytest.mark.timeout(120)

CLINICAL = (
    "Patient", "Encounter", "AllergyIntolerance", "Condition", "MedicationRequest", "Immunization", "Procedure",
    "Observation", "DiagnosticReport", "DocumentReference",
)  # fmt: skip
ACCOUNT = {
    "kind": "client_secret",
    "client_id": "holovitals-system-account",
    "client_secret": {"env": "SECRET"},
}
ALL = {"enabled": True, "creates": True, "deletes": True}
AS_IT_WAS = {"repeat_rows": 0, "poison": (), "unsupported": (), "polls": 1, "most_scopes": 0}


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> DemoCredentials:
    return demo_credentials(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def sandbox(credentials: DemoCredentials) -> Iterator[Loopback]:
    with serving(dialects=("cerner",), patients=6, smart=frozenset({"cerner"}), clients=credentials.clients) as running:
        yield running


@pytest.fixture(autouse=True)
def as_it_was(sandbox: Loopback) -> Iterator[None]:
    yield
    sandbox.admin("DELETE", "faults")
    sandbox.admin("POST", "cerner/bulk/reset")
    sandbox.admin("DELETE", "requests")
    sandbox.sites["cerner"].turn(AS_IT_WAS)


@pytest.fixture
def hooks(sandbox: Loopback, clock: FastClock) -> dict[str, Any]:
    def resolve(reference: SecretRef) -> str:
        if reference.file is not None and reference.file != "patients":
            return Path(reference.file).read_text()
        return "holovitals-system-secret\n" if reference.env == "SECRET" else "\n".join(sandbox.ids("cerner"))

    return {"clock": clock.as_clock(), "resolve_secret": resolve}


def tenant(sandbox: Loopback, **settings: Any) -> ConnectionConfig:
    read = {"patient_ids": {"file": "patients"}, "max_retries": 2, "retry_delay_ms": 1, **settings.pop("read", {})}
    given = {"provider": "cerner", "auth": ACCOUNT, "resource_types": list(CLINICAL), **settings}
    return connection(sandbox.url("cerner"), read=read, **given)


def held(sandbox: Loopback) -> dict[str, set[str]]:
    return {name: set(sandbox.ids("cerner", name)) for name in CLINICAL}


def read_ids(outcome: Outcome) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in outcome.done}
    for page in outcome.pages:
        found[page.resource_type] += [json.loads(body)["id"] for body in page.bodies]
    return found


def edit(sandbox: Loopback, kind: str, identity: str, **elements: Any) -> None:
    before = sandbox.admin("GET", f"cerner/{kind}/{identity}")
    sandbox.admin("PUT", f"cerner/{kind}/{identity}", json={**before, **elements})


def asked(sandbox: Loopback, method: str) -> list[tuple[str, int]]:
    log = sandbox.admin("GET", "requests?dialect=cerner")
    return [(row["path"], row["status"]) for row in log if row["method"] == method]


def whole(sandbox: Loopback, **more: Any) -> ReadRequest:
    return ReadRequest(CLINICAL, patients=lambda: sandbox.ids("cerner"), **more)


# reading


def test_a_whole_read_brings_every_resource_once(sandbox: Loopback, hooks: dict[str, Any]) -> None:
    outcome = read_all(tenant(sandbox), whole(sandbox), **hooks)
    assert {name: (done.error, done.snapshot) for name, done in outcome.done.items()} == dict.fromkeys(
        CLINICAL, (None, True)
    )
    assert {name: sorted(ids) for name, ids in read_ids(outcome).items()} == {
        name: sorted(ids) for name, ids in held(sandbox).items()
    }
    assert outcome.problems == []
    assert all(done.watermark is not None for done in outcome.done.values())


def test_rows_that_come_again_on_the_next_page_are_handed_on_once(sandbox: Loopback, hooks: dict[str, Any]) -> None:
    sandbox.sites["cerner"].turn({"repeat_rows": 3})
    outcome = read_all(tenant(sandbox, read={"page_size": 5}), whole(sandbox), **hooks)
    ids = read_ids(outcome)
    served = sum(row["bytes"] for row in sandbox.admin("GET", "requests") if row["path"] == "Observation")
    assert served > sum(
        len(body) for page in outcome.pages if page.resource_type == "Observation" for body in page.bodies
    )
    assert {name: (len(found), set(found)) for name, found in ids.items()} == {
        name: (len(there), there) for name, there in held(sandbox).items()
    }


def test_a_row_that_changed_between_two_pages_is_handed_on_last_as_it_is_now(
    sandbox: Loopback, hooks: dict[str, Any]
) -> None:
    one = next(p for p in sandbox.ids("cerner") if len(sandbox.sites["cerner"].records.in_chart("Observation", p)) > 8)
    sandbox.fault(kind="edit_page", path="Observation", dialect="cerner", skip=1)
    sandbox.sites["cerner"].turn({"repeat_rows": 4})
    request = ReadRequest(("Observation",), only_patients=[one])
    outcome = read_all(tenant(sandbox, read={"page_size": 4}), request, **hooks)
    rows = [json.loads(body) for body in outcome.bodies]
    latest = {row["id"]: row["meta"]["versionId"] for row in rows}
    records = sandbox.sites["cerner"].records
    there = {
        records.identity(n): json.loads(records.body(n) or b"")["meta"]["versionId"]
        for n in records.in_chart("Observation", one)
    }
    assert latest == there
    assert len(rows) <= len(there) + 1


def test_an_incremental_read_asks_by_last_update_and_brings_exactly_what_changed(
    sandbox: Loopback, hooks: dict[str, Any]
) -> None:
    first = read_all(tenant(sandbox), whole(sandbox), **hooks)
    before = {
        name: dict(
            zip(
                read_ids(first)[name],
                [b for p in first.pages if p.resource_type == name for b in p.bodies],
                strict=True,
            )
        )
        for name in CLINICAL
    }
    sandbox.admin("POST", "clock", json={"shift_seconds": 30})
    since = dict.fromkeys(CLINICAL, sandbox.clock.now())
    patient, condition = sandbox.ids("cerner")[0], sandbox.ids("cerner", "Condition")[0]
    request_row = sandbox.ids("cerner", "MedicationRequest")[0]
    edit(sandbox, "Patient", patient, gender="other")
    edit(sandbox, "Condition", condition, recordedDate="2020-01-01")
    edit(sandbox, "MedicationRequest", request_row, status="stopped")

    second = read_all(tenant(sandbox), whole(sandbox, since=since), **hooks)

    ids = read_ids(second)
    assert {name: found for name, found in ids.items() if found and name != "Patient"} == {
        "Condition": [condition],
        "MedicationRequest": [request_row],
    }
    changed = [
        json.loads(body)["id"]
        for page in second.pages
        if page.resource_type == "Patient"
        for body in page.bodies
        if body not in before["Patient"].values()
    ]
    assert changed == [patient]
    assert [name for name, done in second.done.items() if done.snapshot] == ["Patient"]


@pytest.mark.parametrize("after", [1, 4, 9])
def test_an_interrupted_read_that_is_resumed_loses_nothing(
    sandbox: Loopback, hooks: dict[str, Any], monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr("holovitals_pipelines.providers.crawl._PAGE_IDS", 1)
    first = interrupted(tenant(sandbox), whole(sandbox), after=after, **hooks)
    second = read_all(tenant(sandbox), whole(sandbox, cursor=first.events[-1].cursor), **hooks)
    both = {name: set[str]() for name in CLINICAL}
    for outcome in (first, second):
        for page in outcome.pages:
            both[page.resource_type] |= {json.loads(body)["id"] for body in page.bodies}
    assert both == held(sandbox)
    assert len(second.events) < len(CLINICAL) * 4


def test_a_token_that_dies_in_the_middle_is_replaced(sandbox: Loopback, hooks: dict[str, Any]) -> None:
    sandbox.fault(kind="revoke_tokens", path="Condition", dialect="cerner", skip=1)
    outcome = read_all(tenant(sandbox), whole(sandbox), **hooks)
    assert {done.error for done in outcome.done.values()} == {None}
    tokens = [path for path, _ in asked(sandbox, "POST") if path.endswith("token")]
    assert len(tokens) == 2


@pytest.mark.parametrize(("algorithm", "key"), [("RS384", "rsa_key"), ("ES384", "ec_key")])
def test_signed_assertions_are_taken_in_either_algorithm(
    sandbox: Loopback, hooks: dict[str, Any], credentials: DemoCredentials, algorithm: str, key: str
) -> None:
    auth = {
        "kind": "smart_backend", "client_id": credentials.client_id, "algorithm": algorithm,
        "keys": [{"file": str(getattr(credentials, key))}],
    }  # fmt: skip
    config = tenant(sandbox, auth=auth, resource_types=["Patient", "Encounter"])
    outcome = read_all(config, ReadRequest(("Patient", "Encounter")), **hooks)
    assert {done.error for done in outcome.done.values()} == {None}
    assert set(read_ids(outcome)["Encounter"]) == held(sandbox)["Encounter"]


def test_a_wrong_secret_is_an_authentication_error_that_does_not_show_it(
    sandbox: Loopback, hooks: dict[str, Any]
) -> None:
    with pytest.raises(AuthenticationError) as caught:
        read_all(tenant(sandbox), whole(sandbox), **{**hooks, "resolve_secret": lambda _: "not-the-secret"})
    assert caught.value.code == "auth.invalid_client"
    assert "not-the-secret" not in str(caught.value)


def test_more_scopes_than_the_site_allows_are_answered_with_what_to_do(
    sandbox: Loopback, hooks: dict[str, Any]
) -> None:
    sandbox.sites["cerner"].turn({"most_scopes": 3})
    sandbox.sites["cerner"].tokens.policy = sandbox.sites["cerner"].dialect.tokens(  # type: ignore[union-attr, misc]
        sandbox.sites["cerner"].settings
    )
    try:
        with pytest.raises(AuthenticationError) as caught:
            read_all(tenant(sandbox), whole(sandbox), **hooks)
        assert "auth.scopes" in caught.value.remedy
        few = tenant(sandbox, auth={**ACCOUNT, "scopes": "system/Patient.read"}, resource_types=["Patient"])
        assert read_all(few, ReadRequest(("Patient",)), **hooks).done["Patient"].error is None
    finally:
        sandbox.sites["cerner"].turn(AS_IT_WAS)
        sandbox.sites["cerner"].tokens.policy = sandbox.sites["cerner"].dialect.tokens(  # type: ignore[union-attr, misc]
            sandbox.sites["cerner"].settings
        )


def test_a_record_the_vendor_cannot_show_is_a_problem_and_the_others_are_read(
    sandbox: Loopback, hooks: dict[str, Any]
) -> None:
    records = sandbox.sites["cerner"].records
    poison = sandbox.ids("cerner", "Condition")[0]
    owner = next(
        p for p in sandbox.ids("cerner") if records.number("Condition", poison) in records.in_chart("Condition", p)
    )
    sandbox.sites["cerner"].turn({"poison": [f"Condition/{poison}", f"Patient/{owner}"]})

    outcome = read_all(tenant(sandbox), whole(sandbox), **hooks)

    assert {done.error for done in outcome.done.values()} == {None}
    assert [(p.code, p.resource_type, p.remote_id) for p in outcome.problems] == [
        ("cerner.required_missing", "Patient", owner),
        ("cerner.required_missing", "Condition", owner),
    ]
    assert not outcome.done["Condition"].snapshot
    assert outcome.done["Encounter"].snapshot
    others = {
        records.identity(n) for p in sandbox.ids("cerner") if p != owner for n in records.in_chart("Condition", p)
    }
    assert set(read_ids(outcome)["Condition"]) == others
    assert asked(sandbox, "GET").count(("Patient/{id}", 500)) == 3, "once and two repeats"


def test_another_tenant_is_refused_by_name_of_the_setting(sandbox: Loopback, hooks: dict[str, Any]) -> None:
    config = tenant(sandbox).model_copy(update={"base_url": sandbox.url("cerner")[:-1] + "0"})
    with pytest.raises(NotPermittedError) as caught:
        read_all(config, whole(sandbox), **hooks)
    assert (caught.value.code, "tenant in base_url" in caught.value.remedy) == ("cerner.tenant", True)


def test_a_merged_patient_comes_as_inactive_with_a_link_to_the_survivor(hooks: dict[str, Any]) -> None:
    with serving(dialects=("cerner",), patients=6) as own:
        retired, survivor = own.ids("cerner")[:2]
        own.admin("POST", "cerner/merge", json={"retired": retired, "survivor": survivor})
        config = tenant(own, resource_types=["Patient"])
        outcome = read_all(config, ReadRequest(("Patient",), only_patients=[retired]), **hooks)
    [row] = [json.loads(body) for body in outcome.bodies]
    assert row["active"] is False
    assert row["link"] == [{"other": {"reference": f"Patient/{survivor}"}, "type": "replaced-by"}]


# exports


def test_a_group_export_brings_everything_through_a_store_that_refuses_tokens(
    sandbox: Loopback, hooks: dict[str, Any], clock: FastClock
) -> None:
    config = tenant(
        sandbox,
        resource_types=[*SHARED_TYPES, *CLINICAL],
        read={"mode": "bulk", "group": sandbox.sites["cerner"].dialect.group},
    )
    outcome = read_all(config, ReadRequest((*SHARED_TYPES, *CLINICAL)), **hooks)
    assert {done.error for done in outcome.done.values()} == {None}
    assert {name: sorted(ids) for name, ids in read_ids(outcome).items()} == {
        name: sorted(sandbox.ids("cerner", name)) for name in outcome.done
    }
    assert all(done.snapshot for done in outcome.done.values())
    assert 300.0 in clock.slept and 600.0 not in clock.slept, "ten minutes were asked, five are waited"
    log = sandbox.admin("GET", "requests?dialect=cerner")
    stores = [row for row in log if row["path"].startswith("storage/")]
    assert stores and not any(row["had_authorization"] for row in stores)
    assert [status for path, status in asked(sandbox, "DELETE") if path == "bulk-export/jobs/{id}"] == [202]


def test_a_later_export_asks_for_what_is_new(sandbox: Loopback, hooks: dict[str, Any]) -> None:
    group = {"mode": "bulk", "group": sandbox.sites["cerner"].dialect.group}
    config = tenant(sandbox, resource_types=["Patient", "Condition"], read=group)
    sandbox.admin("POST", "clock", json={"shift_seconds": 30})
    since = dict.fromkeys(("Patient", "Condition"), sandbox.clock.now())
    edit(sandbox, "Condition", (one := sandbox.ids("cerner", "Condition")[1]), recordedDate="2019-01-01")
    outcome = read_all(config, ReadRequest(("Patient", "Condition"), since=since), **hooks)
    assert read_ids(outcome) == {"Patient": [], "Condition": [one]}
    assert not any(done.snapshot for done in outcome.done.values())


def test_without_a_list_the_group_says_who_there_is(sandbox: Loopback, hooks: dict[str, Any]) -> None:
    read = {"patient_ids": None, "group": sandbox.sites["cerner"].dialect.group}
    config = tenant(sandbox, resource_types=["Organization", "Patient", "Encounter"], read=read)
    request = ReadRequest(("Organization", "Patient", "Encounter"), patients=lambda: sandbox.ids("cerner"))
    outcome = read_all(config, request, **hooks)
    assert {name: set(ids) for name, ids in read_ids(outcome).items()} == {
        name: set(sandbox.ids("cerner", name)) for name in ("Organization", "Patient", "Encounter")
    }
    assert outcome.done["Patient"].snapshot


def test_a_group_that_is_being_exported_leaves_those_already_known(sandbox: Loopback, hooks: dict[str, Any]) -> None:
    sandbox.fault(kind="throttle", path="Group/{id}/$export", dialect="cerner", times=0)
    read = {"patient_ids": None, "group": sandbox.sites["cerner"].dialect.group}
    known = sandbox.ids("cerner")[:2]
    request = ReadRequest(("Patient",), patients=lambda: known)
    outcome = read_all(tenant(sandbox, resource_types=["Patient"], read=read), request, **hooks)
    assert (read_ids(outcome)["Patient"], outcome.done["Patient"].error) == (known, None)
    assert not outcome.done["Patient"].snapshot
    assert [problem.code for problem in outcome.problems] == ["cerner.group_busy"]


# writing


def desk(sandbox: Loopback, hooks: dict[str, Any], work: Any, *types: str, **settings: Any) -> Any:
    config = tenant(sandbox, **{"write": ALL, "resource_types": list(types or CLINICAL), **settings})
    return at_desk(config, work, **hooks)


async def there(adapter: Adapter, kind: str, identity: str) -> Present:
    found = await adapter.read_current(kind, identity)
    assert isinstance(found, Present)
    return found


def with_(present: Present, **elements: Any) -> bytes:
    return json.dumps({**json.loads(present.body), **elements}).encode()


def writes(sandbox: Loopback) -> list[tuple[str, str, int]]:
    log = sandbox.admin("GET", "requests?dialect=cerner")
    return [
        (row["method"], row["path"], row["status"])
        for row in log
        if row["method"] != "GET" and not row["path"].endswith("token")
    ]


def test_what_can_be_written_is_what_the_vendor_offers(sandbox: Loopback, hooks: dict[str, Any]) -> None:
    async def work(adapter: Adapter) -> Any:
        return {name: adapter.write_capability(name) for name in (*CLINICAL, "Coverage", "Practitioner")}

    found = desk(sandbox, hooks, work, *CLINICAL, "Coverage", "Practitioner")
    offered = {name: (can.create, can.update, can.delete) for name, can in found.items()}
    assert offered == {
        "Patient": (True, True, False),
        "Encounter": (True, True, False),
        "AllergyIntolerance": (True, True, False),
        "Condition": (True, True, False),
        "MedicationRequest": (True, True, False),
        "Immunization": (True, True, False),
        "Procedure": (True, False, False),
        "Observation": (True, True, False),
        "DiagnosticReport": (True, False, False),
        "DocumentReference": (True, True, False),
        "Coverage": (True, True, True),
        "Practitioner": (True, False, False),
    }
    assert {can.concurrency for can in found.values()} == {Concurrency.ETAG}
    patient = found["Patient"]
    assert [patient.of(name) for name in ("name", "birthDate", "photo")] == [
        UnitWrite.WRITABLE,
        UnitWrite.WRITABLE,
        UnitWrite.READ_ONLY,
    ]
    assert found["AllergyIntolerance"].of("code") is UnitWrite.IMMUTABLE


def test_what_can_be_written_is_told_in_words(sandbox: Loopback, hooks: dict[str, Any]) -> None:
    async def work(adapter: Adapter) -> Any:
        return [row.sentence for row in write_overview(adapter, ["MedicationRequest", "Procedure"])]

    request, procedure = desk(sandbox, hooks, work)
    assert request.startswith("create, update: the server refuses a write over a version we did not see")
    assert request.endswith("(status writable, all else read only)")
    assert procedure.startswith("create: ")


def test_a_connection_that_is_tried_out_finds_no_fault(sandbox: Loopback, hooks: dict[str, Any]) -> None:
    async def work(adapter: Adapter) -> Any:
        assert isinstance(adapter, Probing)
        return await adapter.probe(sandbox.ids("cerner")[0])

    read = {"group": sandbox.sites["cerner"].dialect.group}
    findings = desk(sandbox, hooks, work, *SHARED_TYPES, *CLINICAL, "Appointment", read=read)
    assert [finding.code for finding in findings if finding.verdict is Verdict.FAULT] == []
    assert {finding.code for finding in findings} >= {"probe.readable", "probe.last_updated", "probe.etag"}


def test_a_patient_is_changed_by_a_patch_that_tests_ids_first(sandbox: Loopback, hooks: dict[str, Any]) -> None:
    patient = sandbox.ids("cerner")[0]
    before = sandbox.admin("GET", f"cerner/Patient/{patient}")
    phone = {"system": "phone", "value": "555-0199", "use": "work"}

    async def work(adapter: Adapter) -> Written:
        now = await there(adapter, "Patient", patient)
        held = json.loads(now.body)
        held["name"][0]["family"] = "Newname"
        held["telecom"] = [phone]
        body = json.dumps({**held, "birthDate": "1951-02-03"}).encode()
        return await adapter.update("Patient", patient, body, version=now.version)

    written = desk(sandbox, hooks, work)
    after = sandbox.admin("GET", f"cerner/Patient/{patient}")
    assert (after["name"][0]["family"], after["birthDate"]) == ("Newname", "1951-02-03")
    [added] = after["telecom"]
    assert {name: value for name, value in added.items() if name != "id"} == phone
    assert added["id"] != before["telecom"][0]["id"]
    kept = ("extension", "identifier", "address", "communication", "gender")
    assert {name: after.get(name) for name in kept} == {name: before.get(name) for name in kept}
    assert (written.version, written.stored) == (after["meta"]["versionId"], None)
    assert writes(sandbox) == [("PATCH", "Patient/{id}", 200)]


def test_a_patch_keeps_every_digit_of_what_it_does_not_touch(sandbox: Loopback, hooks: dict[str, Any]) -> None:
    one = sandbox.ids("cerner", "MedicationRequest")[1]

    async def work(adapter: Adapter) -> Written:
        now = await there(adapter, "MedicationRequest", one)
        body = now.body.replace(b'"status":"active"', b'"status":"stopped"')
        body = body.replace(b'"status":"completed"', b'"status":"stopped"')
        return await adapter.update("MedicationRequest", one, body, version=now.version)

    desk(sandbox, hooks, work)
    records = sandbox.sites["cerner"].records
    number = records.number("MedicationRequest", one)
    assert number is not None
    body = records.body(number) or b""
    assert b'"status":"stopped"' in body
    assert b'"value":1.00' in body


def test_what_a_patch_cannot_change_is_refused_before_anything_is_sent(
    sandbox: Loopback, hooks: dict[str, Any]
) -> None:
    patient = sandbox.ids("cerner")[0]

    async def work(adapter: Adapter) -> None:
        now = await there(adapter, "Patient", patient)
        names = [*json.loads(now.body)["name"], {"family": "Second"}]
        await adapter.update("Patient", patient, with_(now, name=names), version=now.version)

    with pytest.raises(NotPermittedError) as caught:
        desk(sandbox, hooks, work)
    assert caught.value.code == "write.patch_not_offered"
    assert "/name/-" in caught.value.message and "Second" not in str(caught.value)
    assert writes(sandbox) == []


def test_saying_what_the_vendor_already_holds_sends_nothing(sandbox: Loopback, hooks: dict[str, Any]) -> None:
    patient = sandbox.ids("cerner")[1]

    async def work(adapter: Adapter) -> tuple[Present, Written]:
        now = await there(adapter, "Patient", patient)
        return now, await adapter.update("Patient", patient, now.body, version=now.version)

    now, written = desk(sandbox, hooks, work)
    assert (written.version, written.stored) == (now.version, now.body)
    assert writes(sandbox) == []


@pytest.mark.parametrize(("kind", "method"), [("Patient", "PATCH"), ("Condition", "PUT")])
def test_an_edit_in_between_is_a_version_conflict_and_is_not_written_over(
    sandbox: Loopback, hooks: dict[str, Any], kind: str, method: str
) -> None:
    one = sandbox.ids("cerner", kind)[2]
    change = {"Patient": {"gender": "unknown"}, "Condition": {"recordedDate": "2018-01-01"}}[kind]
    theirs = sandbox.admin("GET", f"cerner/{kind}/{one}")

    async def late(adapter: Adapter) -> None:
        now = await there(adapter, kind, one)
        sandbox.admin("PUT", f"cerner/{kind}/{one}", json={**theirs, "language": "de"})
        await adapter.update(kind, one, with_(now, **change), version=now.version)

    async def raced(adapter: Adapter) -> None:
        now = await there(adapter, kind, one)
        sandbox.fault(kind="edit_before_write", method=method, path=f"{kind}/{{id}}", dialect="cerner")
        await adapter.update(kind, one, with_(now, **change), version=now.version)

    for work in (late, raced):
        with pytest.raises(VersionConflictError):
            desk(sandbox, hooks, work)
    held_now = sandbox.admin("GET", f"cerner/{kind}/{one}")
    assert {name: held_now.get(name) for name in change} == {name: theirs.get(name) for name in change}
    assert (method, f"{kind}/{{id}}", 409) in writes(sandbox)


def test_a_write_that_names_no_version_is_made_on_the_current_one(sandbox: Loopback, hooks: dict[str, Any]) -> None:
    one = sandbox.ids("cerner", "Condition")[3]

    async def work(adapter: Adapter) -> Written:
        now = await there(adapter, "Condition", one)
        return await adapter.update("Condition", one, with_(now, recordedDate="2017-01-01"), version=None)

    desk(sandbox, hooks, work)
    assert writes(sandbox) == [("PUT", "Condition/{id}", 200)], "a missing If-Match would have been 412"
    assert sandbox.admin("GET", f"cerner/Condition/{one}")["recordedDate"] == "2017-01-01"


def test_an_update_takes_away_what_it_leaves_out(sandbox: Loopback, hooks: dict[str, Any]) -> None:
    one = sandbox.ids("cerner", "Condition")[4]

    async def work(adapter: Adapter) -> Written:
        now = await there(adapter, "Condition", one)
        body = {name: value for name, value in json.loads(now.body).items() if name != "recordedDate"}
        return await adapter.update("Condition", one, json.dumps(body).encode(), version=now.version)

    desk(sandbox, hooks, work)
    assert "recordedDate" not in sandbox.admin("GET", f"cerner/Condition/{one}")


def test_content_the_vendor_refuses_is_a_permanent_error_with_its_issue_type(
    sandbox: Loopback, hooks: dict[str, Any]
) -> None:
    one = sandbox.ids("cerner", "Condition")[5]

    async def work(adapter: Adapter) -> None:
        now = await there(adapter, "Condition", one)
        extension = [{"url": "urn:x", "valueBoolean": True}]
        await adapter.update("Condition", one, with_(now, modifierExtension=extension), version=now.version)

    with pytest.raises(PermanentError) as caught:
        desk(sandbox, hooks, work)
    assert (caught.value.status, "extension" in caught.value.message) == (422, True)
    assert [status for *_, status in writes(sandbox)] == [422], "sent once"


def test_a_create_is_known_by_its_location_and_its_etag(sandbox: Loopback, hooks: dict[str, Any]) -> None:
    patient = sandbox.ids("cerner")[0]
    condition = {
        "resourceType": "Condition",
        "subject": {"reference": f"Patient/{patient}"},
        "category": [{"coding": [{"code": "problem-list-item"}]}],
        "code": {"text": "x"},
    }

    async def work(adapter: Adapter) -> tuple[Written, Any]:
        written = await adapter.create("Condition", json.dumps(condition).encode())
        return written, await adapter.read_current("Condition", written.remote_id)

    written, now = desk(sandbox, hooks, work)
    assert (written.version, written.stored) == ("0", None)
    assert isinstance(now, Present) and now.version == "0"
    assert json.loads(now.body)["code"] == {"text": "x"}


def test_a_duplicate_allergy_becomes_the_one_that_is_there(sandbox: Loopback, hooks: dict[str, Any]) -> None:
    allergy = {
        "resourceType": "AllergyIntolerance",
        "patient": {"reference": f"Patient/{sandbox.ids('cerner')[0]}"},
        "code": {"coding": [{"code": "7980"}]},
    }

    async def work(adapter: Adapter) -> tuple[Written, Written]:
        first = await adapter.create("AllergyIntolerance", json.dumps(allergy).encode())
        again = {**allergy, "criticality": "high"}
        return first, await adapter.create("AllergyIntolerance", json.dumps(again).encode())

    before = len(sandbox.ids("cerner", "AllergyIntolerance"))
    first, second = desk(sandbox, hooks, work)
    assert (second.remote_id, first.version, second.version) == (first.remote_id, "0", "1")
    assert len(sandbox.ids("cerner", "AllergyIntolerance")) == before + 1


def test_a_coverage_is_deleted_with_its_version_and_nothing_else_is(sandbox: Loopback, hooks: dict[str, Any]) -> None:
    patient = {"reference": f"Patient/{sandbox.ids('cerner')[0]}"}
    coverage = {"resourceType": "Coverage", "status": "active", "beneficiary": patient, "payor": [patient]}

    async def work(adapter: Adapter) -> Any:
        written = await adapter.create("Coverage", json.dumps(coverage).encode())
        with pytest.raises(VersionConflictError):
            await adapter.delete("Coverage", written.remote_id, version="7")
        await adapter.delete("Coverage", written.remote_id, version=written.version)
        with pytest.raises(GoneError):
            await adapter.delete("Coverage", written.remote_id, version=written.version)
        return await adapter.read_current("Coverage", written.remote_id)

    assert isinstance(desk(sandbox, hooks, work, "Coverage"), Absent)
    assert writes(sandbox) == [("POST", "Coverage", 201), ("DELETE", "Coverage/{id}", 204)]


@pytest.mark.parametrize("fault", ["drop_after_commit", "status_after_commit"])
def test_a_patch_whose_answer_is_lost_is_not_sent_again(sandbox: Loopback, hooks: dict[str, Any], fault: str) -> None:
    patient = sandbox.ids("cerner")[1]
    sandbox.fault(kind=fault, method="PATCH", dialect="cerner")

    async def work(adapter: Adapter) -> None:
        now = await there(adapter, "Patient", patient)
        await adapter.update("Patient", patient, with_(now, birthDate=f"19{len(fault)}-01-01"), version=now.version)

    with pytest.raises(OutcomeUnknownError):
        desk(sandbox, hooks, work)
    assert len(writes(sandbox)) == 1
    assert sandbox.admin("GET", f"cerner/Patient/{patient}")["birthDate"] == f"19{len(fault)}-01-01"


def test_patients_are_found_by_identifier_and_clinical_records_are_not(
    sandbox: Loopback, hooks: dict[str, Any]
) -> None:
    patient = sandbox.ids("cerner")[0]
    number = sandbox.admin("GET", f"cerner/Patient/{patient}")["identifier"][0]

    async def work(adapter: Adapter) -> Any:
        with pytest.raises(NotPermittedError, match="by identifier"):
            await adapter.find("Condition", [("urn:x", "1")])
        return await adapter.find("Patient", [(number["system"], number["value"])])

    assert [found.remote_id for found in desk(sandbox, hooks, work)] == [patient]
