"""The Unity adapter against the simulated site: whole, by changes, interrupted, through the rules, and written back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson
import pytest
from sandbox.loopback import Loopback
from sandbox.loopback import serving as sandbox_of

from holovitals_pipelines.fhir.exact import read_document, write_document
from holovitals_pipelines.fhir.validation import check_structure
from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef
from holovitals_pipelines.model.errors import NotPermittedError, OutcomeUnknownError
from holovitals_pipelines.model.extract import ReadRequest
from holovitals_pipelines.model.vocabulary import Direction, Provider
from holovitals_pipelines.model.writing import Document, Present
from holovitals_pipelines.transform.records import Transformed, compile_rule_set
from holovitals_pipelines.transform.shipped_rule_sets import rule_set_for

from .loopback import Outcome, at_desk, connection, interrupted, read_all

TYPES = (
    *("Patient", "Practitioner", "AllergyIntolerance", "Condition", "MedicationRequest", "Immunization"),
    "Observation",
)
SECRETS = {"SERVICE_USER": "Sandbox-Service", "SERVICE_PASSWORD": "sandbox", "EHR_PASSWORD": "password01"}
MAGIC = "Unity/UnityService.svc/json/MagicJson"


def secret(reference: SecretRef) -> str:
    return SECRETS[reference.env or ""]


@pytest.fixture
def site() -> Iterator[Loopback]:
    with sandbox_of(dialects=("allscripts",), patients=5) as running:
        yield running


def declared(site: Loopback, **settings: Any) -> ConnectionConfig:
    auth = {
        "kind": "unity",
        "application": "HoloVitals",
        "service_user": {"env": "SERVICE_USER"},
        "service_password": {"env": "SERVICE_PASSWORD"},
        "ehr_user": "jmedici",
        "ehr_password": {"env": "EHR_PASSWORD"},
    }
    write = {"enabled": True, "creates": True}
    quick = {"max_retries": 2, "retry_delay_ms": 1}
    url = site.url("allscripts")
    return connection(url, **{"provider": "allscripts", "auth": auth, "write": write, "read": quick, **settings})


@cache
def rules(kind: str, direction: Direction) -> Callable[[Document], Transformed]:
    ready = rule_set_for(Provider.ALLSCRIPTS, kind, direction)
    assert ready is not None
    return compile_rule_set(ready)


def made_of(kind: str, body: bytes, direction: Direction = Direction.INBOUND) -> bytes:
    """What the rules make of a record, accepted and without a finding."""
    made = rules(kind, direction)(read_document(body))
    assert (made.findings, made.rejected) == ((), False), (kind, made.findings)
    return write_document(made.document)


def records(result: Outcome) -> dict[tuple[str, str], bytes]:
    """Every record by type and the id the adapter names; no id twice with another content."""
    found: dict[tuple[str, str], bytes] = {}
    for page in result.pages:
        for named, body in zip(page.named or (), page.bodies, strict=True):
            assert found.setdefault((page.resource_type, named.remote_id), body) == body
    return found


def whole(site: Loopback, **more: Any) -> Outcome:
    result = read_all(declared(site), request(site, **more), resolve_secret=secret)
    assert {name: done.error for name, done in result.done.items()} == dict.fromkeys(TYPES)
    return result


def request(site: Loopback, **more: Any) -> ReadRequest:
    return ReadRequest(TYPES, patients=lambda: sorted(site.ids("allscripts")), **more)


def shown(site: Loopback) -> set[tuple[str, str]]:
    """Type and id of everything the site holds and Unity shows."""
    held = set()
    for kind in TYPES:
        text = site.http.get(f"{site.origin}/_sandbox/allscripts/resources/{kind}").text
        for resource in map(orjson.loads, text.splitlines()):
            patient = resource.get("subject", resource.get("patient", {})).get("reference", "").removeprefix("Patient/")
            codes = [
                coding["code"]
                for one in resource.get("category", ())
                if isinstance(one, dict)
                for coding in one["coding"]
            ]
            if kind != "Observation" or set(codes) & {"vital-signs", "laboratory"}:
                held.add((kind, f"{patient}.{resource['id']}" if patient else resource["id"]))
    return held


def edit(site: Loopback, kind: str, identity: str, **changes: Any) -> None:
    resource = site.admin("GET", f"allscripts/{kind}/{identity}")
    site.admin("PUT", f"allscripts/{kind}/{identity}", json={**resource, **changes})


def test_everything_shown_is_read_once_and_becomes_fhir_under_the_name_the_adapter_gave(site: Loopback) -> None:
    result = whole(site)
    found = records(result)
    assert set(found) == shown(site) and len(found) == len(result.bodies) and result.problems == []
    for (kind, remote_id), body in found.items():
        document = made_of(kind, body)
        assert orjson.loads(document)["id"] == remote_id
        assert check_structure(document, kind) == ()
    assert {name: done.snapshot for name, done in result.done.items()} == {
        **dict.fromkeys(TYPES, True),
        "Patient": False,
    }


def test_one_record_at_a_time_is_the_same_document_as_in_bulk(site: Loopback) -> None:
    found = records(whole(site))
    chosen = dict(found.keys())

    async def look(desk: Any) -> dict[str, bytes]:
        return {kind: (await desk.read_current(kind, remote_id)).body for kind, remote_id in chosen.items()}

    assert at_desk(declared(site), look, resolve_secret=secret) == {
        kind: found[kind, remote_id] for kind, remote_id in chosen.items()
    }


def test_a_read_of_changes_brings_the_charts_that_changed_and_no_other(site: Loopback) -> None:
    site.clock.shift(3600)
    first = whole(site)
    before = records(first)
    site.clock.shift(3600)
    changed, deleted_from, *_ = sorted({remote_id.split(".")[0] for kind, remote_id in before if kind == "Condition"})
    problem = next(
        remote_id for kind, remote_id in before if kind == "Condition" and remote_id.startswith(f"{changed}.")
    )
    edit(site, "Condition", problem.split(".")[1], code={"text": "Something else"})
    gone = next(
        remote_id for kind, remote_id in before if kind == "Immunization" and remote_id.startswith(f"{deleted_from}.")
    )
    site.admin("DELETE", f"allscripts/Immunization/{gone.split('.')[1]}")
    since = {name: done.watermark for name, done in first.done.items()}
    second = records(whole(site, since=since))
    charts = {key for key in before if key[0] == "Practitioner" or key[1].split(".")[0] in (changed, deleted_from)}
    assert set(second) == charts - {("Immunization", gone)}
    assert {key for key, body in second.items() if body != before[key]} == {("Condition", problem)}
    site.clock.shift(60)
    since = {name: site.clock.now() for name in TYPES}
    assert {kind for kind, _ in records(whole(site, since=since))} == {"Practitioner"}


def test_a_change_in_the_hour_that_comes_twice_is_found_from_its_first_pass_on(site: Loopback) -> None:
    patient = site.ids("allscripts")[0]
    site.clock.set_to(datetime(2026, 11, 1, 6, 15, tzinfo=UTC), frozen=True)  # the second 01:15 in New York
    edit(site, "Patient", patient, gender="unknown")
    for minute, named in ((30, {patient}), (0, {patient})):
        since = datetime(2026, 11, 1, 5, minute, tzinfo=UTC)  # the first 01:30, and the first 01:00
        found = records(whole(site, since=dict.fromkeys(TYPES, since)))
        assert {remote_id for kind, remote_id in found if kind == "Patient"} == named
    site.clock.shift(3600)
    later = records(whole(site, since=dict.fromkeys(TYPES, datetime(2026, 11, 1, 6, 30, tzinfo=UTC))))
    assert {kind for kind, _ in later} == {"Practitioner"}


@pytest.mark.parametrize("after", range(1, 13, 3))
def test_a_read_that_is_interrupted_and_resumed_loses_nothing(site: Loopback, after: int) -> None:
    first = interrupted(declared(site), request(site), after=after, resolve_secret=secret)
    rest = read_all(declared(site), request(site, cursor=first.events[-1].cursor), resolve_secret=secret)
    assert set(records(first)) | set(records(rest)) == shown(site)
    finished = {name for name, done in first.done.items() if done.error is None}
    assert finished.isdisjoint(rest.done) and finished | set(rest.done) == set(TYPES)


def test_damaged_slow_and_refusing_servers_are_overcome(site: Loopback) -> None:
    for place, kind in enumerate(("status", "throttle", "drop", "truncated", "cut")):
        site.fault(kind=kind, dialect="allscripts", path=f"{MAGIC}/*", skip=3 + 5 * place)
    assert set(records(whole(site))) == shown(site)


def test_a_chart_that_unity_refuses_is_a_problem_of_that_patient_alone(site: Loopback) -> None:
    refused, *others = sorted(site.ids("allscripts"))
    site.admin("POST", "allscripts/settings", json={"refused_patients": [refused]})
    result = read_all(declared(site), request(site), resolve_secret=secret)
    assert {problem.remote_id for problem in result.problems} == {refused}
    failed = {name for name, done in result.done.items() if done.error is not None}
    assert failed == set(TYPES) - {"Practitioner"}
    assert {remote_id for kind, remote_id in records(result) if kind == "Patient"} == set(others)


def test_a_session_that_was_idle_too_long_is_renewed_between_two_reads(site: Loopback) -> None:
    async def twice(desk: Any) -> list[Any]:
        patient = site.ids("allscripts")[0]
        first = await desk.read_current("Patient", patient)
        site.clock.shift(21 * 60)
        return [first, await desk.read_current("Patient", patient)]

    first, second = at_desk(declared(site), twice, resolve_secret=secret)
    assert first == second and isinstance(first, Present)


def test_sessions_that_end_in_the_middle_of_a_read_cost_nothing(site: Loopback) -> None:
    async def read(adapter: Any) -> Outcome:
        result = Outcome()
        async for event in adapter.read(request(site)):
            result.events.append(event)
            site.clock.shift(21 * 60)
        return result

    result = at_desk(declared(site), read, resolve_secret=secret)
    assert {done.error for done in result.done.values()} == {None}
    assert set(records(result)) == shown(site)
    tokens = [row for row in site.admin("GET", "requests") if row["path"].endswith("GetToken")]
    assert len(tokens) > 2


def test_a_patient_written_back_as_it_is_stays_as_it_is(site: Loopback) -> None:
    patients = {remote_id: body for (kind, remote_id), body in records(whole(site)).items() if kind == "Patient"}

    async def write(desk: Any) -> dict[str, bytes]:
        return {
            remote_id: (
                await desk.update("Patient", remote_id, out("Patient", made_of("Patient", body)), version=None)
            ).stored
            for remote_id, body in patients.items()
        }

    assert at_desk(declared(site), write, resolve_secret=secret) == patients


def out(kind: str, document: bytes) -> bytes:
    return made_of(kind, document, Direction.OUTBOUND)


def changed(document: bytes, **changes: Any) -> bytes:
    return orjson.dumps({**orjson.loads(document), **changes})


def code(system: str, value: str) -> Mapping[str, Any]:
    return {"coding": [{"system": f"http://terminology.hl7.org/CodeSystem/{system}", "code": value}]}


def test_what_is_made_and_changed_here_is_read_there(site: Loopback) -> None:
    person = {
        "resourceType": "Patient",
        "name": [{"family": "Example", "given": ["Ann", "B"]}],
        "birthDate": "1980-02-29",
        "gender": "female",
        "telecom": [{"system": "phone", "use": "mobile", "value": "802-555-0100"}],
    }

    async def work(desk: Any) -> None:
        made = await desk.create("Patient", out("Patient", orjson.dumps(person)))
        patient = made_of("Patient", made.stored)
        assert {name: orjson.loads(patient)[name] for name in ("name", "birthDate", "gender", "telecom")} == {
            name: person[name] for name in ("name", "birthDate", "gender", "telecom")
        }
        moved = changed(patient, address=[{"line": ["1 Test Street"], "city": "Somewhere", "state": "VT"}])
        written = await desk.update("Patient", made.remote_id, out("Patient", moved), version=None)
        assert orjson.loads(made_of("Patient", written.stored))["address"][0]["city"] == "Somewhere"

        whose = {"reference": f"Patient/{made.remote_id}"}
        problem = {"resourceType": "Condition", "code": {"text": "Fatigue"}, "subject": whose}
        first = await desk.create("Condition", out("Condition", orjson.dumps(problem)))
        document = changed(made_of("Condition", first.stored), clinicalStatus=code("condition-clinical", "resolved"))
        second = await desk.update("Condition", first.remote_id, out("Condition", document), version=None)
        assert second.remote_id == first.remote_id
        assert orjson.loads(made_of("Condition", second.stored))["clinicalStatus"]["coding"][0]["code"] == "resolved"

        allergy = {"resourceType": "AllergyIntolerance", "code": {"text": "Latex"}, "patient": whose}
        third = await desk.create("AllergyIntolerance", out("AllergyIntolerance", orjson.dumps(allergy)))
        assert orjson.loads(made_of("AllergyIntolerance", third.stored))["patient"]["reference"] == whose["reference"]
        inactive = code("allergyintolerance-clinical", "inactive")
        document = changed(made_of("AllergyIntolerance", third.stored), clinicalStatus=inactive)
        third = await desk.update(
            "AllergyIntolerance", third.remote_id, out("AllergyIntolerance", document), version=None
        )
        shown_status = orjson.loads(made_of("AllergyIntolerance", third.stored))["clinicalStatus"]["coding"][0]["code"]
        assert shown_status == "inactive"
        for kind, last in (("Patient", written), ("Condition", second), ("AllergyIntolerance", third)):
            assert (await desk.read_current(kind, last.remote_id)).body == last.stored
        number = orjson.loads(patient)["identifier"][1]
        (found,) = await desk.find("Patient", [(number["system"], number["value"])])
        assert found.remote_id == made.remote_id

    at_desk(declared(site), work, resolve_secret=secret)


@pytest.mark.parametrize("kind", ["drop_after_commit", "status_after_commit"])
def test_a_lost_answer_is_an_unknown_outcome_and_never_a_second_allergy(site: Loopback, kind: str) -> None:
    before = site.admin("GET", "counts")["allscripts"]["AllergyIntolerance"]
    whose = {"reference": f"Patient/{site.ids('allscripts')[0]}"}
    allergy = orjson.dumps({"resourceType": "AllergyIntolerance", "code": {"text": "Latex"}, "patient": whose})

    async def write(desk: Any) -> None:
        site.fault(kind=kind, dialect="allscripts", path=f"{MAGIC}/SaveAllergy")
        with pytest.raises(OutcomeUnknownError):
            await desk.create("AllergyIntolerance", out("AllergyIntolerance", allergy))
        with pytest.raises(NotPermittedError):
            await desk.find("AllergyIntolerance", [("urn:own", "1")])

    at_desk(declared(site), write, resolve_secret=secret)
    assert site.admin("GET", "counts")["allscripts"]["AllergyIntolerance"] == before + 1
