"""The NextGen adapter against the simulated practice: whole reads, changes, interruptions, writes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
from sandbox.loopback import Loopback, serving

from holovitals_pipelines.fhir.exact import read_document, write_document
from holovitals_pipelines.fhir.validation import check_structure
from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef
from holovitals_pipelines.model.errors import DuplicateError, OutcomeUnknownError
from holovitals_pipelines.model.extract import ReadRequest
from holovitals_pipelines.model.vocabulary import Direction, Provider
from holovitals_pipelines.model.writing import Absent, Present, Written
from holovitals_pipelines.providers.adapter import Adapter
from holovitals_pipelines.transform.records import Transformed, compile_rule_set
from holovitals_pipelines.transform.shipped_rule_sets import rule_set_for

from .loopback import FastClock, Outcome, at_desk, connection, interrupted, read_all

pytestmark = pytest.mark.timeout(120)

ALL = ("Patient", "Encounter", "Appointment", "DocumentReference")
PRACTICE = {"enterprise_id": "00002", "practice_id": "0006", "timezone": "America/New_York"}
AUTH = {
    "kind": "client_secret",
    "client_id": "sandbox-client",
    "client_secret": {"env": "SECRET"},
    "sent_as": "form",
    "site_id": "sandbox-site",
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Loopback]:
    with serving(dialects=("nextgen",), patients=6) as running:
        yield running


@pytest.fixture(autouse=True)
def no_faults_left(sandbox: Loopback) -> Iterator[None]:
    yield
    sandbox.admin("DELETE", "faults")
    knobs = {"page_rows": 25, "cyclic_pages": False, "empty_success": False, "refused_persons": ()}
    sandbox.sites["nextgen"].turn(knobs)


def practice(sandbox: Loopback, **settings: Any) -> ConnectionConfig:
    write = {"enabled": True, "creates": True}
    given = {"provider": "nextgen", "auth": AUTH, "vendor": PRACTICE, "write": write, **settings}
    return connection(sandbox.url("nextgen"), **given)


def listed(sandbox: Loopback, folder: Path, **settings: Any) -> tuple[ConnectionConfig, dict[str, str]]:
    """A connection with a list of patients, and what its secrets stand for."""
    patients = {"patient_ids": {"file": str(folder / "patients")}}
    return practice(sandbox, read=patients, **settings), {"patients": "\n".join(sandbox.ids("nextgen"))}


def hooks(clock: FastClock, ids: dict[str, str] | None = None) -> dict[str, Any]:
    def resolve(reference: SecretRef) -> str:
        return "sandbox\n" if reference.env == "SECRET" else (ids or {})["patients"]

    return {"clock": clock.as_clock(), "resolve_secret": resolve}


def known(outcome: Outcome) -> list[str]:
    return sorted(named.remote_id for page in outcome.pages if page.resource_type == "Patient" for named in page.named)


def by_type(outcome: Outcome) -> dict[str, dict[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {name: {} for name in outcome.done}
    for page in outcome.pages:
        assert page.named is not None or not page.bodies
        for named, body in zip(page.named or (), page.bodies, strict=True):
            found[page.resource_type][named.remote_id] = body
    return found


@cache
def rules(kind: str, direction: Direction = Direction.INBOUND) -> Any:
    ready = rule_set_for(Provider.NEXTGEN, kind, direction)
    assert ready is not None
    return compile_rule_set(ready)


def fhir(kind: str, body: bytes) -> dict[str, Any]:
    made: Transformed = rules(kind)(read_document(body))
    assert not made.findings
    assert not made.rejected
    assert check_structure(write_document(made.document), kind) == ()
    return made.document


def native(patient: dict[str, Any]) -> bytes:
    made: Transformed = rules("Patient", Direction.OUTBOUND)(patient)
    assert not made.rejected
    return write_document(made.document)


def edit(sandbox: Loopback, kind: str, identity: str, **elements: Any) -> None:
    held = sandbox.admin("GET", f"nextgen/{kind}/{identity}")
    sandbox.admin("PUT", f"nextgen/{kind}/{identity}", json={**held, **elements})


@pytest.fixture
def whole(sandbox: Loopback, clock: FastClock, tmp_path: Path) -> Outcome:
    config, ids = listed(sandbox, tmp_path)
    request = ReadRequest(ALL, patients=lambda: sandbox.ids("nextgen"))
    return read_all(config, request, **hooks(clock, ids))


def test_a_whole_read_brings_everything_and_every_record_becomes_fhir(sandbox: Loopback, whole: Outcome) -> None:
    assert {name: (done.error, done.snapshot) for name, done in whole.done.items()} == dict.fromkeys(ALL, (None, True))
    assert all(done.watermark is not None for done in whole.done.values())
    assert whole.problems == []
    read = by_type(whole)
    for kind in ("Patient", "Encounter", "DocumentReference"):
        assert sorted(read[kind]) == sorted(sandbox.ids("nextgen", kind))
    assert len(read["Appointment"]) > 5
    for kind, bodies in read.items():
        for remote_id, body in bodies.items():
            assert fhir(kind, body)["id"] == remote_id


def test_without_a_list_the_appointments_tell_who_is_there(sandbox: Loopback, clock: FastClock) -> None:
    outcome = read_all(practice(sandbox), ReadRequest(("Patient", "Appointment")), **hooks(clock))
    read = by_type(outcome)
    assert (
        set(read["Patient"])
        == {orjson.loads(body)["item"]["personId"] for body in read["Appointment"].values()}
        <= set(sandbox.ids("nextgen"))
    )
    assert (outcome.done["Patient"].snapshot, outcome.done["Appointment"].snapshot) == (False, True)


def test_both_ways_to_appointments_bring_the_same_records(sandbox: Loopback, clock: FastClock, whole: Outcome) -> None:
    by_day = read_all(practice(sandbox), ReadRequest(("Appointment",)), **hooks(clock))
    assert by_type(by_day)["Appointment"] == by_type(whole)["Appointment"]


def test_small_pages_bring_the_same(sandbox: Loopback, clock: FastClock, whole: Outcome, tmp_path: Path) -> None:
    sandbox.sites["nextgen"].turn({"page_rows": 2})
    config, ids = listed(sandbox, tmp_path)
    request = ReadRequest(ALL, patients=lambda: sandbox.ids("nextgen"))
    assert by_type(read_all(config, request, **hooks(clock, ids))) == by_type(whole)


def test_a_read_after_edits_brings_the_edits_and_nothing_else_that_differs(
    sandbox: Loopback, clock: FastClock, whole: Outcome, tmp_path: Path
) -> None:
    before = by_type(whole)
    person, encounter = sandbox.ids("nextgen")[0], sorted(before["Encounter"])[0]
    edit(sandbox, "Patient", person, birthDate="1971-02-03")
    edit(sandbox, "Encounter", encounter, status="in-progress")
    config, ids = listed(sandbox, tmp_path)
    since = {name: done.watermark for name, done in whole.done.items()}
    request = ReadRequest(ALL, since=since, patients=lambda: sandbox.ids("nextgen"))
    after = by_type(read_all(config, request, **hooks(clock, ids)))
    changed = {(kind, one) for kind in ALL for one in after[kind] if after[kind][one] != before[kind].get(one)}
    appointments = {one for kind, one in changed if kind == "Appointment"}
    own = {one for one in appointments if orjson.loads(after["Appointment"][one])["item"]["encounterId"] == encounter}
    of_person = {one for one in appointments if orjson.loads(after["Appointment"][one])["item"]["personId"] == person}
    assert {one for one in changed if one[0] != "Appointment"} == {("Patient", person), ("Encounter", encounter)}
    assert appointments == own | of_person, "an appointment shows its person's date of birth"


def test_an_incremental_read_by_days_asks_for_recent_appointments_only(sandbox: Loopback, clock: FastClock) -> None:
    now = datetime.now(UTC)
    encounter = sandbox.ids("nextgen", "Encounter")[0]
    held = sandbox.admin("GET", f"nextgen/Encounter/{encounter}")
    soon = (now + timedelta(days=3)).replace(hour=16, minute=0, second=0, microsecond=0)
    period = {"start": soon.isoformat(), "end": (soon + timedelta(minutes=20)).isoformat()}
    new = {**held, "id": "0c0ffee0-0000-4000-a000-000000000001", "class": {"code": "AMB"}, "status": "planned"}
    sandbox.admin("PUT", f"nextgen/Encounter/{new['id']}", json={**new, "period": period})
    request = ReadRequest(("Appointment",), since={"Appointment": now})
    read = read_all(practice(sandbox), request, **hooks(clock))
    shown = [orjson.loads(body)["item"] for body in by_type(read)["Appointment"].values()]
    assert new["id"] in [item["encounterId"] for item in shown]
    first_day = (now - timedelta(days=32)).date().isoformat()
    assert all(item["appointmentDate"] >= first_day for item in shown)
    assert read.done["Appointment"].snapshot is False
    sandbox.admin("DELETE", f"nextgen/Encounter/{new['id']}")


@pytest.mark.parametrize("after", [1, 3, 6])
def test_an_interrupted_read_that_is_resumed_loses_nothing(
    sandbox: Loopback, clock: FastClock, whole: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr("holovitals_pipelines.providers.crawl._PAGE_IDS", 2)
    config, ids = listed(sandbox, tmp_path)
    request = ReadRequest(ALL, patients=lambda: sandbox.ids("nextgen"))
    first = interrupted(config, request, after=after, **hooks(clock, ids))
    cursor = first.events[-1].cursor
    resumed = ReadRequest(ALL, patients=lambda: sandbox.ids("nextgen"), cursor=cursor)
    second = read_all(config, resumed, **hooks(clock, ids))
    found: dict[str, dict[str, bytes]] = {}
    for page in (*first.pages, *second.pages):
        records = zip((named.remote_id for named in page.named or ()), page.bodies, strict=True)
        found.setdefault(page.resource_type, {}).update(records)
    assert found == by_type(whole)
    assert all(done.error is None for done in second.done.values())


def test_one_patient_or_one_record_is_read_alone(sandbox: Loopback, clock: FastClock, whole: Outcome) -> None:
    everything = by_type(whole)
    person = next(orjson.loads(body)["item"]["personId"] for body in everything["Appointment"].values())
    alone = by_type(read_all(practice(sandbox), ReadRequest(ALL, only_patients=[person]), **hooks(clock)))
    assert list(alone["Patient"]) == [person]
    for kind in ("Encounter", "DocumentReference"):
        assert alone[kind] == {
            one: body for one, body in everything[kind].items() if orjson.loads(body)["personId"] == person
        }
    booked = sorted(alone["Appointment"])[:1]
    single = read_all(
        practice(sandbox), ReadRequest(("Appointment",), only_ids={"Appointment": booked}), **hooks(clock)
    )
    assert by_type(single)["Appointment"] == {booked[0]: everything["Appointment"][booked[0]]}


def test_a_person_who_may_not_be_seen_is_a_problem_and_the_others_come(
    sandbox: Loopback, clock: FastClock, tmp_path: Path
) -> None:
    hidden = sandbox.ids("nextgen")[3]
    sandbox.sites["nextgen"].turn({"refused_persons": (hidden,)})
    config, ids = listed(sandbox, tmp_path)
    read = read_all(config, ReadRequest(("Patient",)), **hooks(clock, ids))
    assert [(problem.code, problem.remote_id) for problem in read.problems] == [("http.403", hidden)]
    assert known(read) == sorted(set(sandbox.ids("nextgen")) - {hidden})
    done = read.done["Patient"]
    assert done.error is not None
    assert (done.error.code, done.snapshot) == ("crawl.incomplete", False)


def test_a_session_that_ends_during_a_read_is_made_anew(sandbox: Loopback, clock: FastClock) -> None:
    person = sandbox.ids("nextgen")[0]

    async def work(adapter: Adapter) -> bytes:
        await adapter.read_current("Patient", person)
        sandbox.admin("POST", "clock", json={"shift_seconds": 11 * 3600})
        current = await adapter.read_current("Patient", person)
        assert isinstance(current, Present)
        return current.body

    sandbox.admin("DELETE", "requests")
    assert orjson.loads(at_desk(practice(sandbox), work, **hooks(clock)))["id"] == person
    asked = [entry["path"] for entry in sandbox.admin("GET", "requests")]
    assert asked.count("users/me/login-defaults") == 2
    sandbox.admin("POST", "clock", json={"shift_seconds": -11 * 3600})


def test_what_is_read_alone_is_what_a_crawl_lands(sandbox: Loopback, clock: FastClock, whole: Outcome) -> None:
    everything = by_type(whole)

    async def work(adapter: Adapter) -> None:
        for kind in ("Patient", "Appointment"):
            remote_id, body = next(iter(everything[kind].items()))
            assert await adapter.read_current(kind, remote_id) == Present(
                remote_id, body, None, last_updated(kind, body)
            )
        assert isinstance(await adapter.read_current("Patient", "0c0ffee0-0000-4000-a000-000000000000"), Absent)

    at_desk(practice(sandbox), work, **hooks(clock))


def last_updated(kind: str, body: bytes) -> datetime | None:
    shown = orjson.loads(body).get("modifyTimestampUtc") if kind == "Patient" else None
    return None if shown is None else datetime.fromisoformat(shown).replace(tzinfo=UTC)


NEW = {
    "resourceType": "Patient",
    "name": [{"family": "Example", "given": ["Ann", "Bea"]}],
    "gender": "female",
    "birthDate": "1980-02-29",
    "telecom": [{"system": "phone", "use": "home", "value": "9105550112"}],
    "address": [{"line": ["1 Test St"], "city": "Wilmington", "state": "NC", "postalCode": "28409"}],
}


@pytest.mark.parametrize("empty", [False, True], ids=["with a body", "with an empty success"])
def test_a_person_is_made_changed_and_read_back(sandbox: Loopback, clock: FastClock, empty: bool) -> None:
    sandbox.sites["nextgen"].turn({"empty_success": empty})
    new = {**NEW, "birthDate": "1980-02-28" if empty else "1980-02-29"}

    async def work(adapter: Adapter) -> tuple[Written, Written]:
        made = await adapter.create("Patient", native(new))
        assert made.stored is not None
        held = fhir("Patient", made.stored)
        held["name"][0]["family"] = "Sample"
        held["telecom"] = [{"system": "phone", "use": "mobile", "value": "9105550114"}]
        changed = await adapter.update("Patient", made.remote_id, native(held), version=None)
        with pytest.raises(DuplicateError):
            await adapter.create("Patient", native(held))
        return made, changed

    made, changed = at_desk(practice(sandbox), work, **hooks(clock))
    assert made.remote_id == changed.remote_id
    assert changed.stored is not None
    read = orjson.loads(changed.stored)
    assert (read["lastName"], read["middleName"], read["city"]) == ("Sample", "Bea", "Wilmington")
    assert (read["cellPhone"], read["homePhone"]) == ("9105550114", None)
    assert fhir("Patient", changed.stored)["telecom"] == [{"use": "mobile", "value": "9105550114", "system": "phone"}]
    sandbox.admin("DELETE", f"nextgen/Patient/{made.remote_id}")


def test_an_appointment_is_cancelled_and_shows_it(sandbox: Loopback, clock: FastClock, whole: Outcome) -> None:
    remote_id, body = sorted(by_type(whole)["Appointment"].items())[0]
    held = fhir("Appointment", body)

    async def work(adapter: Adapter) -> Written:
        made = rules("Appointment", Direction.OUTBOUND)({**held, "status": "cancelled"})
        assert not made.rejected
        return await adapter.update("Appointment", remote_id, write_document(made.document), version=None)

    written = at_desk(practice(sandbox), work, **hooks(clock))
    assert written.stored is not None
    assert (held["status"], fhir("Appointment", written.stored)["status"]) == ("fulfilled", "cancelled")


def test_writing_a_person_as_it_was_read_changes_nothing(sandbox: Loopback, clock: FastClock, whole: Outcome) -> None:
    async def work(adapter: Adapter) -> None:
        for remote_id, body in by_type(whole)["Patient"].items():
            written = await adapter.update("Patient", remote_id, native(fhir("Patient", body)), version=None)
            assert written.stored is not None
            assert without_times(written.stored) == without_times(body)

    at_desk(practice(sandbox), work, **hooks(clock))


def without_times(person: bytes) -> dict[str, Any]:
    return {name: value for name, value in orjson.loads(person).items() if not name.startswith("modify")}


@pytest.mark.parametrize("kind", ["drop_after_commit", "status_after_commit"])
def test_a_create_whose_answer_is_lost_is_not_sent_again(sandbox: Loopback, clock: FastClock, kind: str) -> None:
    new = native({**NEW, "name": [{"family": kind, "given": ["Ann"]}]})
    before = sandbox.ids("nextgen")
    sandbox.fault(kind=kind, method="POST", path="persons")

    async def work(adapter: Adapter) -> None:
        with pytest.raises(OutcomeUnknownError):
            await adapter.create("Patient", new)
        assert len(sandbox.ids("nextgen")) == len(before) + 1
        with pytest.raises(DuplicateError):
            await adapter.create("Patient", new)

    at_desk(practice(sandbox), work, **hooks(clock))
    for made in set(sandbox.ids("nextgen")) - set(before):
        sandbox.admin("DELETE", f"nextgen/Patient/{made}")
