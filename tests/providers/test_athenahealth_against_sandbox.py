"""The athenahealth adapter against the simulated practice: reads, feeds and writes, and what the rules make of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import orjson
import pytest

from holovitals_pipelines.fhir.exact import read_document, write_document
from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef
from holovitals_pipelines.model.errors import NotPermittedError, PermanentError
from holovitals_pipelines.model.extract import Named, Page, ReadRequest, TypeDone
from holovitals_pipelines.model.vocabulary import ChangeMechanism, Direction, Provider
from holovitals_pipelines.model.writing import Absent, Concurrency, Present, Written
from holovitals_pipelines.providers.adapter import Adapter
from holovitals_pipelines.providers.athenahealth.adapter import TYPES
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from holovitals_pipelines.transform.records import compile_rule_set
from holovitals_pipelines.transform.shipped_rule_sets import rule_set_for
from tests.local_http import LOCAL

from .loopback import Outcome, at_desk, interrupted, read_all

pytestmark = pytest.mark.timeout(120)

NATIVE = {"Appointment": "Encounter"}
"""The simulated practice makes its appointments of the population's encounters."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with start_sandbox(patients=10, dialects=["athenahealth"]) as running:
        yield running


@pytest.fixture(autouse=True)
def as_it_began(sandbox: RunningSandbox) -> Iterator[None]:
    yield
    LOCAL.delete(f"{sandbox.admin_url}/faults")


def secret(reference: SecretRef) -> str:
    assert reference.env == "SECRET"
    return "holovitals-sandbox-secret\n"


def declared(sandbox: RunningSandbox, *, write: dict[str, Any] | None = None, **reading: Any) -> ConnectionConfig:
    return ConnectionConfig.model_validate(
        {
            "name": "clinic",
            "provider": "athenahealth",
            "base_url": sandbox.base_urls["athenahealth"],
            "auth": {"kind": "client_secret", "client_id": "holovitals-sandbox", "client_secret": {"env": "SECRET"}},
            "read": {"max_retries": 3, "retry_delay_ms": 1, **reading},
            "write": write or {},
        }
    )


def asked(sandbox: RunningSandbox, types: Any = TYPES, **more: Any) -> ReadRequest:
    return ReadRequest(resource_types=list(types), patients=lambda: sorted(sandbox.patient_ids("athenahealth")), **more)


def read(sandbox: RunningSandbox, request: ReadRequest, **reading: Any) -> Outcome:
    return read_all(declared(sandbox, **reading), request, resolve_secret=secret)


def named(result: Outcome, kind: str) -> list[Named]:
    return [name for page in result.pages if page.resource_type == kind for name in page.named or ()]


def errors(result: Outcome) -> dict[str, Any]:
    return {name: done.error for name, done in result.done.items() if done.error is not None}


@cache
def rules(kind: str, direction: Direction) -> Any:
    ready = rule_set_for(Provider.ATHENAHEALTH, kind, direction)
    assert ready is not None
    return compile_rule_set(ready)


def as_fhir(kind: str, body: bytes) -> dict[str, Any]:
    made = rules(kind, Direction.INBOUND)(read_document(body))
    assert ([one.problem.code for one in made.findings], made.rejected) == ([], False)
    document: dict[str, Any] = orjson.loads(write_document(made.document))
    return document


def outbound(kind: str, document: dict[str, Any]) -> bytes:
    made = rules(kind, Direction.OUTBOUND)(read_document(orjson.dumps(document)))
    assert not made.rejected
    return write_document(made.document)


def held(sandbox: RunningSandbox, kind: str) -> list[dict[str, Any]]:
    answer = LOCAL.get(f"{sandbox.admin_url}/athenahealth/resources/{NATIVE.get(kind, kind)}")
    found = [orjson.loads(line) for line in answer.content.splitlines()]
    if kind == "Observation":
        return [one for one in found if one["category"][0]["coding"][0]["code"] == "laboratory"]
    return found


def edit(sandbox: RunningSandbox, resource: dict[str, Any]) -> None:
    path = f"{sandbox.admin_url}/athenahealth/{resource['resourceType']}/{resource['id']}"
    assert LOCAL.put(path, json=resource).status_code in (200, 201)


def soon() -> datetime:
    """A watermark from before all that follows."""
    return datetime.now(UTC) - timedelta(minutes=2)


def test_the_practice_is_read_whole_and_every_record_becomes_fhir(sandbox: RunningSandbox) -> None:
    result = read(sandbox, asked(sandbox), page_size=7)
    assert errors(result) == {} and result.problems == []
    for kind in TYPES:
        names = named(result, kind)
        assert len(names) == len(held(sandbox, kind)) == len(set(names)), kind
        assert result.done[kind].snapshot and result.done[kind].watermark is not None
    for page in result.pages:
        for name, body in zip(page.named or (), page.bodies, strict=True):
            assert as_fhir(page.resource_type, body)["id"] == name.remote_id


def test_patients_come_first_and_the_rest_by_feeds_or_whole(sandbox: RunningSandbox) -> None:
    async def mechanisms(adapter: Adapter) -> dict[str, ChangeMechanism]:
        return dict(adapter.mechanisms())

    found = at_desk(declared(sandbox), mechanisms, resolve_secret=secret)
    assert next(iter(found)) == "Patient" and set(found) == set(TYPES)
    assert {name for name, how in found.items() if how is ChangeMechanism.CHANGE_FEED} == {
        "Patient",
        "Condition",
        "Observation",
        "Appointment",
    }


def test_an_incremental_read_brings_exactly_what_changed(sandbox: RunningSandbox) -> None:
    types = ["Patient", "Condition", "Observation", "Appointment"]
    read(sandbox, asked(sandbox, types))
    read(sandbox, asked(sandbox, types, since=dict.fromkeys(types, soon())))
    changed = {kind: held(sandbox, kind)[1] for kind in types}
    expected = {}
    for kind, resource in changed.items():
        edit(sandbox, {**resource, "language": "en"})
        owner = resource.get("subject", {}).get("reference", "").removeprefix("Patient/")
        expected[kind] = [resource["id"] if kind == "Patient" else f"{owner}-{resource['id']}"]
    since = datetime.now(UTC) + timedelta(hours=1)  # nothing that was taken before
    result = read(sandbox, asked(sandbox, types, since=dict.fromkeys(types, since)))
    assert errors(result) == {}
    assert {kind: [name.remote_id for name in named(result, kind)] for kind in types} == expected
    assert not any(done.snapshot for done in result.done.values())
    again = read(sandbox, asked(sandbox, types, since=dict.fromkeys(types, since)))
    assert again.bodies == []


def test_what_was_not_made_durable_is_told_again(sandbox: RunningSandbox) -> None:
    read(sandbox, asked(sandbox, ["Condition"]))
    problem = held(sandbox, "Condition")[0]
    edit(sandbox, {**problem, "language": "de"})
    later = {"Condition": datetime.now(UTC) + timedelta(hours=1)}
    request = asked(sandbox, ["Condition"], since=later)
    whole = len(read(sandbox, request).events)
    edit(sandbox, {**problem, "language": "fr"})
    # Killed with the TypeDone in its hands: nobody knows whether that became durable.
    stopped = interrupted(declared(sandbox), request, after=whole, resolve_secret=secret)
    assert isinstance(stopped.events[-1], TypeDone) and len(stopped.bodies) == 1
    told_again = read(sandbox, request)
    assert [name.remote_id for name in named(told_again, "Condition")] == [
        name.remote_id for name in named(stopped, "Condition")
    ]
    assert read(sandbox, request).bodies == []


def test_what_was_taken_after_the_last_watermark_is_looked_at_again(sandbox: RunningSandbox) -> None:
    read(sandbox, asked(sandbox, ["Condition"]))
    problem = held(sandbox, "Condition")[2]
    edit(sandbox, {**problem, "language": "it"})
    before = soon()
    later = datetime.now(UTC) + timedelta(hours=1)
    taken = read(sandbox, asked(sandbox, ["Condition"], since={"Condition": later}))
    assert len(taken.bodies) == 1
    again = read(sandbox, asked(sandbox, ["Condition"], since={"Condition": before}))
    assert {name.remote_id for name in named(taken, "Condition")} <= {
        name.remote_id for name in named(again, "Condition")
    }


def test_without_a_subscription_an_incremental_read_is_a_full_one_and_subscribes(sandbox: RunningSandbox) -> None:
    with start_sandbox(patients=4, dialects=["athenahealth"]) as fresh:
        result = read(fresh, asked(fresh, ["Patient"], since={"Patient": soon()}))
        assert len(result.bodies) == len(held(fresh, "Patient")) and result.done["Patient"].snapshot
        assert read(fresh, asked(fresh, ["Patient"], since={"Patient": soon()})).bodies == []


@pytest.mark.parametrize("after", [1, 6])
def test_an_interrupted_read_goes_on_and_loses_nothing(sandbox: RunningSandbox, after: int) -> None:
    types = ["Patient", "Condition", "MedicationRequest"]
    config = declared(sandbox, concurrency=1)
    first = interrupted(config, asked(sandbox, types), after=after, resolve_secret=secret)
    rest = read(sandbox, asked(sandbox, types, cursor=first.events[-1].cursor))
    whole = read(sandbox, asked(sandbox, types))
    for kind in types:
        assert {n.remote_id for n in [*named(first, kind), *named(rest, kind)]} == {
            n.remote_id for n in named(whole, kind)
        }
    assert errors(rest) == {}


def test_two_patients_are_read_alone(sandbox: RunningSandbox) -> None:
    chosen = sorted(sandbox.patient_ids("athenahealth"))[:2]
    result = read(sandbox, asked(sandbox, only_patients=chosen))
    assert [name.remote_id for name in named(result, "Patient")] == chosen
    owners = {name.remote_id.partition("-")[0] for kind in TYPES for name in named(result, kind)}
    assert owners == set(chosen) and not any(done.snapshot for done in result.done.values())


def test_records_are_read_by_their_ids(sandbox: RunningSandbox) -> None:
    whole = read(sandbox, asked(sandbox, ["Condition"]))
    wanted = [name.remote_id for name in named(whole, "Condition")][3:5]
    result = read(sandbox, asked(sandbox, ["Condition"], only_ids={"Condition": [*wanted, f"{wanted[0]}99"]}))
    assert [name.remote_id for name in named(result, "Condition")] == sorted(wanted)
    assert [(one.code, one.remote_id) for one in result.problems] == [("resource.not_in_chart", f"{wanted[0]}99")]


def test_what_is_read_alone_is_what_was_landed(sandbox: RunningSandbox) -> None:
    result = read(sandbox, asked(sandbox))
    chosen = {
        page.resource_type: (name.remote_id, body)
        for page in result.pages
        for name, body in zip(page.named or (), page.bodies, strict=True)
    }
    assert set(chosen) == set(TYPES)

    async def read_each(adapter: Adapter) -> dict[str, Any]:
        return {kind: await adapter.read_current(kind, remote_id) for kind, (remote_id, _) in chosen.items()}

    for kind, current in at_desk(declared(sandbox), read_each, resolve_secret=secret).items():
        assert isinstance(current, Present)
        assert (current.remote_id, current.body) == chosen[kind]


def test_one_patient_that_fails_does_not_stop_the_others(sandbox: RunningSandbox) -> None:
    fault = {"kind": "status", "status": 500, "path": "chart/{id}/problems", "skip": 1, "times": 4}
    LOCAL.post(f"{sandbox.admin_url}/faults", json=fault)
    result = read(sandbox, asked(sandbox, ["Condition", "AllergyIntolerance"]), concurrency=1)
    error = result.done["Condition"].error
    assert error is not None and error.code == "crawl.incomplete"
    assert named(result, "Condition") and result.done["AllergyIntolerance"].error is None
    assert not result.done["Condition"].snapshot


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 503, "times": 2},
        {"kind": "throttle", "retry_after": "0"},
        {"kind": "drop"},
        {"kind": "cut"},
        {"kind": "truncated"},
    ],
    ids=lambda fault: fault["kind"],
)
def test_a_passing_fault_costs_nothing(sandbox: RunningSandbox, fault: dict[str, Any]) -> None:
    declared_fault = {**fault, "path": "chart/{id}/problems"}
    LOCAL.post(f"{sandbox.admin_url}/faults", json=declared_fault)
    result = read(sandbox, asked(sandbox, ["Condition"]))
    assert errors(result) == {} and len(named(result, "Condition")) == len(held(sandbox, "Condition"))


WRITES = {"enabled": True, "creates": True}


def test_a_patient_is_created_updated_and_read_back(sandbox: RunningSandbox) -> None:
    ann: dict[str, Any] = {
        "resourceType": "Patient",
        "name": [{"family": "Example", "given": ["Ann"]}],
        "gender": "female",
        "birthDate": "1980-02-29",
        "address": [{"line": ["1 Test Street"], "city": "BOSTON", "state": "MA", "postalCode": "02210"}],
    }

    async def both(adapter: Adapter) -> tuple[Written, Written]:
        made = await adapter.create("Patient", outbound("Patient", ann))
        moved = {**ann, "address": [{**ann["address"][0], "line": ["2 Other & Street"]}]}
        changed = await adapter.update("Patient", made.remote_id, outbound("Patient", moved), version=None)
        return made, changed

    made, changed = at_desk(declared(sandbox, write=WRITES), both, resolve_secret=secret)
    assert made.stored is not None and changed.stored is not None and made.remote_id == changed.remote_id
    first, second = as_fhir("Patient", made.stored), as_fhir("Patient", changed.stored)
    assert first["id"] == made.remote_id and first["birthDate"] == "1980-02-29"
    assert first["address"][0]["line"] == ["1 Test Street"] and second["address"][0]["line"] == ["2 Other & Street"]
    resource = LOCAL.get(f"{sandbox.admin_url}/athenahealth/Patient/{made.remote_id}").json()
    assert resource["name"][0] == {"family": "Example", "given": ["Ann"]}


def test_a_problem_is_created_in_its_patients_chart_and_told_by_the_feed(sandbox: RunningSandbox) -> None:
    read(sandbox, asked(sandbox, ["Condition"]))
    patient = sandbox.patient_ids("athenahealth")[0]
    problem = {
        "resourceType": "Condition",
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "84229001"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "onsetDateTime": "2020-07-01",
    }

    async def create(adapter: Adapter) -> Written:
        return await adapter.create("Condition", outbound("Condition", problem))

    made = at_desk(declared(sandbox, write=WRITES), create, resolve_secret=secret)
    assert made.stored is not None
    document = as_fhir("Condition", made.stored)
    assert document["id"] == made.remote_id
    assert document["subject"]["reference"] == f"Patient/{patient}" and document["onsetDateTime"] == "2020-07-01"
    later = {"Condition": datetime.now(UTC) + timedelta(hours=1)}
    told = read(sandbox, asked(sandbox, ["Condition"], since=later))
    assert made.remote_id in [name.remote_id for name in named(told, "Condition")]


def test_the_offer_is_what_the_api_takes_and_absence_is_told(sandbox: RunningSandbox) -> None:
    async def offer(adapter: Adapter) -> Any:
        patient, problem = adapter.write_capability("Patient"), adapter.write_capability("Condition")
        number = sandbox.patient_ids("athenahealth")[0]
        there = await adapter.find("Patient", [("urn:holovitals:athenahealth:patient", number), ("urn:other", "1")])
        assert [one.remote_id for one in there] == [number]
        absent = [await adapter.read_current("Patient", "999999999"), await adapter.read_current("Condition", "1-2")]
        return patient, problem, adapter.write_capability("Observation").writes, absent

    patient, problem, results, absent = at_desk(declared(sandbox, write=WRITES), offer, resolve_secret=secret)
    assert (patient.create, patient.update, patient.delete) == (True, True, False)
    assert (problem.create, problem.update, problem.concurrency) == (True, False, Concurrency.NONE)
    assert not results and all(isinstance(one, Absent) for one in absent)


def test_finding_nothing_by_identifier_proves_nothing(sandbox: RunningSandbox) -> None:
    for kind, system in (
        ("Patient", "urn:other"),
        ("Patient", "urn:holovitals:athenahealth:patient"),
        ("Condition", ""),
    ):
        with pytest.raises(NotPermittedError):
            at_desk(
                declared(sandbox),
                lambda adapter, kind=kind, system=system: adapter.find(kind, [(system, "999999999")]),
                resolve_secret=secret,
            )


def test_a_refusal_inside_200_is_an_error_in_words_that_name_nobody(sandbox: RunningSandbox) -> None:
    settings = f"{sandbox.admin_url}/athenahealth/settings"
    LOCAL.post(settings, json={"refuse_writes": True})
    try:
        with pytest.raises(PermanentError) as refused:
            at_desk(
                declared(sandbox, write=WRITES),
                lambda adapter: adapter.update(
                    "Patient", sandbox.patient_ids("athenahealth")[0], b'{"lastname":"Example"}', version=None
                ),
                resolve_secret=secret,
            )
    finally:
        LOCAL.post(settings, json={"refuse_writes": False})
    assert refused.value.code == "write.refused" and "[fix data]" in refused.value.remedy
    assert 'the vendor says "The record is locked by another user."' in refused.value.message


def test_every_record_is_named_once(sandbox: RunningSandbox) -> None:
    result = read(sandbox, asked(sandbox, ["MedicationRequest"]))
    pages = [event for event in result.events if isinstance(event, Page)]
    assert all(len(page.named or ()) == len(page.bodies) for page in pages)
    assert Counter(name.remote_id for page in pages for name in page.named or ()).most_common(1)[0][1] == 1
