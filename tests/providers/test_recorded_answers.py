"""Every recorded answer of athenahealth, NextGen and Unity: read by the adapter's own code without loss, or told apart
as the error it is."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import orjson
import pytest

from holovitals_pipelines.fhir.exact import read_document
from holovitals_pipelines.model.connection import ReadSettings
from holovitals_pipelines.model.errors import ErrorAction, HoloVitalsError, ProtocolError, VendorError
from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.providers.allscripts import unity
from holovitals_pipelines.providers.allscripts.rows import PROVIDERS
from holovitals_pipelines.providers.answers import Answer, classify
from holovitals_pipelines.providers.athenahealth import calls
from holovitals_pipelines.providers.athenahealth.charts import CHARTS, ChartReader
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.nextgen import session
from holovitals_pipelines.providers.nextgen.records import at_site, found_in, head_of
from holovitals_pipelines.providers.refusals import Write
from holovitals_pipelines.transform.records import compile_rule_set
from holovitals_pipelines.transform.shipped_rule_sets import rule_set_for
from holovitals_pipelines.transform.unmapped import take_unmapped

SHARED = Path(__file__).parents[3] / "shared" / "data"
absent = pytest.mark.skipif(
    not (SHARED / "vendor-nextgen-rest").is_dir(), reason="the recorded answers are beside the project, not in it"
)


def answer(body: bytes | str, status: int = 200, **headers: str) -> Answer:
    content = body.encode() if isinstance(body, str) else body
    return Answer(status, httpx.Headers(headers), content, httpx.URL("http://vendor/x"))


def values(document: Any) -> Counter[str]:
    """Every value of a document with the name it stands under, however it is nested."""
    found: Counter[str] = Counter()

    def walk(name: str, held: Any) -> None:
        if isinstance(held, dict):
            for member, inner in held.items():
                walk(member, inner)
        elif isinstance(held, list):
            for inner in held:
                walk(name, inner)
        else:
            found[f"{name}={orjson.dumps(held).decode()}"] += 1

    walk("", document)
    return found


def practice() -> calls.Practice:
    return calls.Practice(VendorHttp("clinic", "http://vendor/v1/1", ReadSettings()))


# athenahealth


@cache
def athena() -> dict[str, Any]:
    held = orjson.loads((SHARED / "vendor-athenahealth-rest" / "responses.json").read_bytes())
    return {name: orjson.loads(text) if isinstance(text, str) else text for name, text in held.items()}


ATHENA_LISTS: Mapping[str, str] = {
    "ListAdminDocuments": "admins",
    "ListAppointmentCustomFields": "appointmentcustomfields",
    "ListAppointmentNotes": "notes",
    "ListAppointmentReminders": "reminders",
    "ListBookedAppointments": "appointments",
    "ListChangedAppointments": "appointments",
    "ListChangedLabResults": "labresults",
    "ListChangedPatients": "patients",
    "ListChangedPrescriptions": "prescriptions",
    "ListChangedProblems": "problems",
    "ListChangedProviders": "providers",
    "ListClaims": "claims",
    "ListDepartments": "departments",
    "ListEncounterDocuments": "encounterdocuments",
    "ListLabResults": "results",
    "ListMedications": "medications",
    "ListOpenAppointmentSlots": "appointments",
    "ListPatientInsurancePackages": "insurances",
    "ListPatients": "patients",
    "ListPatientsMatchingCustomField": "patients",
    "ListProblems": "problems",
    "ListProviders": "providers",
    "ListSubscriptionEvents": "subscriptions",
}
"""Envelopes: the member that holds the items."""
ATHENA_REFUSALS: Mapping[str, tuple[str, ErrorAction]] = {
    "FreezeAppointmentSlotError": ("write.refused", ErrorAction.FIX_DATA),
    "FreezeAppointmentSlotErrorFrozen": ("athenahealth.frozen", ErrorAction.CONFLICT),
    "UpdateBookedAppointment_StringResponse": ("athenahealth.invalid_input", ErrorAction.FIX_DATA),
}
"""Refusals inside 200: code and action."""
CHART_RECORDINGS = {
    "ListProblems": ("Condition", 0),
    "ListMedications": ("MedicationRequest", 0),
    "ListLabResults": ("Observation", 0),
    "ListEncounterDocuments": ("DocumentReference", 0),
    "ListAdminDocuments": ("DocumentReference", 1),
    "ListBookedAppointments": ("Appointment", 0),
}


def read_athena(name: str, body: bytes) -> Any:
    """What the adapter's own code makes of a good answer."""
    if (items := ATHENA_LISTS.get(name)) is not None:
        desk, asked = practice(), calls.ListOf("x", items, "x")
        envelope = desk._envelope(answer(body), asked)
        return [orjson.loads(item) for item in desk._items(envelope, asked, calls._said(envelope, "totalcount"))]
    if body.lstrip()[:1] == b"[":
        return [orjson.loads(item) for item in practice()._array(body, "GET x")]
    told = calls._told(body)
    assert told is not None
    return {member: orjson.loads(bytes(raw)) for member, raw in told.items()}


def athena_names() -> list[str]:
    return sorted(athena()) if (SHARED / "vendor-athenahealth-rest").is_dir() else ["absent"]


@absent
@pytest.mark.parametrize("name", athena_names())
def test_athenahealths_answer_is_read_without_loss_or_is_the_refusal_it_is(name: str) -> None:
    recorded = athena()[name]
    body = orjson.dumps(recorded)
    error = calls._write_judge(Write.UPDATE)(answer(body), "place") if _writes(name, recorded) else None
    if name in ATHENA_REFUSALS:
        assert isinstance(error, VendorError)
        assert (error.code, error.action) == ATHENA_REFUSALS[name]
        return
    assert error is None
    assert isinstance(recorded, int) or calls._read_judge(answer(body), "place") is None
    made = values(read_athena(name, body))
    items = recorded[ATHENA_LISTS[name]] if name in ATHENA_LISTS else recorded
    assert made == (values({"count": items}) if isinstance(items, int) else values(items))


def _writes(name: str, recorded: Any) -> bool:
    """Whether the answer is one to a write: of one record, or of none."""
    is_one = not isinstance(recorded, list) or len(recorded) == 1
    return is_one and not name.startswith(("List", "Get", "Search"))


@absent
@pytest.mark.parametrize("name", sorted(CHART_RECORDINGS))
def test_athenahealths_chart_becomes_records_that_hold_all_of_it(name: str) -> None:
    kind, place = CHART_RECORDINGS[name]
    recorded = athena()[name]
    items = recorded[ATHENA_LISTS[name]]
    page = calls.Listing([orjson.dumps(item) for item in items], None, 0)
    found = ChartReader(kind, {}, 1 << 20).found(CHARTS[kind].lists[place], page, "71", None)
    assert not found.problems and len(found.bodies) == len(found.named or ())
    kept = [orjson.loads(body)["item"] for body in found.bodies]
    assert values(kept) == values(items)


# Unity

UNITY_READ = {"get_providers": "GetProviders", "get_server_info": "GetServerInfo"}


def unity_file(name: str) -> bytes:
    return (SHARED / "vendor-allscripts-unity" / name).read_bytes()


@absent
@pytest.mark.parametrize("name", sorted(UNITY_READ))
def test_unitys_rows_are_read_with_their_own_bytes_and_are_those_of_the_soap_form(name: str) -> None:
    body = unity_file(f"{name}.json")
    asked = unity.action(UNITY_READ[name])
    assert unity._read_judge(asked)(answer(body), "place") is None
    rows = unity._rows(answer(body), asked)
    assert rows is not None
    made = [orjson.loads(row) for row in rows]
    assert values(made) == values(orjson.loads(body))
    if name == "get_providers":
        found = PROVIDERS.found(unity.Rows(rows, None, len(body)), None)
        assert not found.problems and list(found.bodies) == list(rows)
    soap = ElementTree.fromstring(unity_file(f"{name}.xml"))
    texts = {(part.text or "").strip() for part in soap.iter()}
    plain = {value.strip() for member, value in made[0].items() if value.strip() and "Time" not in member}
    assert plain <= texts, "times have more digits in one form than in the other"


@absent
def test_unitys_token_is_read_and_its_retirement_needs_no_reading() -> None:
    token = unity_file("get_security_token.json")
    assert unity._token_judge(answer(token), "place") is None
    assert unity._TOKEN.fullmatch(token.strip())
    assert b"RetireSecurityTokenResponse" in unity_file("retire_security_token.json")
    assert unity_file("get_security_token.xml") and unity_file("retire_security_token.xml")


@absent
@pytest.mark.parametrize("name", ["error.json", "soap_fault.xml"])
def test_unitys_errors_ask_for_a_new_session_in_its_own_words(name: str) -> None:
    error = unity._read_judge(unity.action("GetProviders"))(answer(unity_file(name)), "place")
    assert isinstance(error, VendorError)
    assert (error.code, error.action) == (unity.SESSION_ENDED, ErrorAction.REAUTHENTICATE)
    assert "logged out due to inactivity" in error.message and error.remedy.startswith("[re-authenticate]")


@absent
def test_every_recording_of_unity_is_in_this_table() -> None:
    known = {f"{name}.{form}" for name in UNITY_READ for form in ("json", "xml")}
    known |= {f"{name}_security_token.{form}" for name in ("get", "retire") for form in ("json", "xml")}
    files = {path.name for path in (SHARED / "vendor-allscripts-unity").iterdir()}
    assert files == known | {"error.json", "soap_fault.xml", "ORIGIN.txt"}


# NextGen


@dataclass(frozen=True)
class Recorded:
    name: str
    status: int
    body: bytes

    def __str__(self) -> str:
        return f"{self.status}-{self.name}"


def nextgen() -> Iterator[Recorded]:
    path = SHARED / "vendor-nextgen-rest" / "recorded_responses.jsonl.gz"
    if not path.exists():
        return
    for line in gzip.decompress(path.read_bytes()).splitlines():
        row = orjson.loads(line)
        yield Recorded(row["name"], int(row["statusCode"]), row["data"].encode())


NEXTGEN = list(nextgen())
NOT_JSON = {"PersonChart/Documents/documentPage.json", "PersonChart/Documents/pdf.json"}
"""Files themselves, as base64 text."""
ERRORS: Mapping[int, str] = {403: "http.403", 404: "http.404", 405: "nextgen.no_such_method"}


@absent
def test_nextgens_lists_are_read_item_by_item_with_their_own_bytes() -> None:
    client = session.NextGen.__new__(session.NextGen)
    lists = [one for one in NEXTGEN if one.status == 200 and one.body.lstrip()[:9] == b'{\r\n  "ite']
    assert len(lists) > 100
    for one in lists:
        assert session._read_judge(answer(one.body), "place") is None
        listing = client._listing(answer(one.body), "GET x")
        held = orjson.loads(one.body)
        assert values([orjson.loads(bytes(item)) for item in listing.items]) == values(held["items"]), one.name
        assert listing.next_page == held.get("nextPageLink")
        if held["items"] and isinstance(held["items"][0], dict) and held["items"][0].get("id"):
            items = [bytes(item) for item in listing.items]
            if all(isinstance(orjson.loads(item).get("id"), str) for item in items):
                found = found_in(items, "Encounter", "GET x", limit=1 << 24)
                assert list(found.bodies) == items and not found.problems, one.name


@absent
def test_nextgens_single_records_and_bare_lists_are_read_as_they_came() -> None:
    others = [one for one in NEXTGEN if one.status == 200 and one.body.lstrip()[:9] != b'{\r\n  "ite']
    assert len(others) > 50
    for one in others:
        assert session._read_judge(answer(one.body), "place") is None, one.name
        if one.name not in NOT_JSON and one.body.lstrip()[:1] == b"{":
            held = orjson.loads(one.body)
            head = head_of(one.body)
            if isinstance(held.get("id"), str):
                assert head is not None and head.id == held["id"], one.name


CONVERTED: Mapping[str, Mapping[str, str]] = {
    "Person/person.json": {
        "sex": "male",
        "dateOfBirth": "1989-12-06",
        "modifyTimestampUtc": "2023-05-03T21:20:15.923+00:00",
    },
    "PersonChart/Encounters/encounter.json": {
        "personId": "Patient/{}",
        "timestampUtc": "2023-04-25T17:17:36.887+00:00",
        "modifyTimestampUtc": "2023-04-25T17:17:36.893+00:00",
    },
    "PersonChart/Documents/document.json": {"personId": "Patient/{}"},
    "Appointments/appointment.json": {
        "appointmentDate": "2023-04-25T08:00:00-04:00",
        "beginTime": "2023-04-25T08:00:00-04:00",
        "endTime": "2023-04-25T08:10:00-04:00",
        "isKept": "fulfilled",
        "isCancelled": "fulfilled",
        "isDeleted": "fulfilled",
        "renderingProviderFirstName": "Joseph T Paine",
        "renderingProviderMiddleName": "Joseph T Paine",
        "renderingProviderLastName": "Joseph T Paine",
        "personId": "Patient/{}",
    },
}
"""Single records that become FHIR, and their values that stand there in another form, as FHIR shows them."""
FHIR_TYPES = {"Person": "Patient", "Encounters": "Encounter", "Documents": "DocumentReference",
              "Appointments": "Appointment"}  # fmt: skip


@absent
@pytest.mark.parametrize("name", sorted(CONVERTED))
def test_each_value_of_nextgens_single_records_is_in_the_fhir_resource_or_in_its_kept_rest(name: str) -> None:
    [recorded] = [one for one in NEXTGEN if one.name == name and one.status == 200]
    kind = FHIR_TYPES[name.split("/")[-2]]
    body = at_site(recorded.body, "America/New_York") if kind == "Appointment" else recorded.body
    ready = rule_set_for(Provider.NEXTGEN, kind)
    assert ready is not None
    document = read_document(body)
    made = compile_rule_set(ready)(document)
    assert not made.rejected and made.document is not None
    resource, rest = take_unmapped(made.document)
    shown, kept = {text for _, text in told(resource)}, set(told(rest))
    no_content = {one for path in ready.volatile for place in path.places(document) for one in told(document, *place)}
    missing = [
        (path, text)
        for path, text in told(document)
        if path[0] != "site"
        and not {(path, text)} & (kept | no_content)
        and text.strip() not in shown
        and CONVERTED[name].get(path[-1], text).format(text) not in shown
    ]
    assert missing == []
    assert set(CONVERTED[name]) <= {path[-1] for path, _ in told(document)}, "the table names what is there"


def told(document: Any, *place: str | int) -> list[tuple[tuple[str, ...], str]]:
    """Each value that says something, as text, behind the names it stands under; of the part at a place, if one."""
    found: list[tuple[tuple[str, ...], str]] = []

    def walk(names: tuple[str, ...], held: Any) -> None:
        if isinstance(held, dict):
            for member, inner in held.items():
                walk((*names, member), inner)
        elif isinstance(held, list):
            for inner in held:
                walk(names, inner)
        elif held is not None and str(held).strip():
            found.append((names, str(held)))

    for step in place:
        document = document[step]
    walk(tuple(step for step in place if isinstance(step, str)), document)
    return found


@absent
def test_nextgens_refusals_are_told_apart_by_their_words_and_then_by_their_status() -> None:
    refused = [one for one in NEXTGEN if one.status >= 400]
    assert len(refused) == 103
    codes: Counter[str] = Counter()
    for one in refused:
        said = answer(one.body, one.status)
        error: HoloVitalsError | None = session._read_judge(said, "place") or classify(said, place="place")
        assert isinstance(error, VendorError), one.name
        assert error.code != "http.400", f"{one.name}: a 400 says why"
        assert error.remedy.startswith(f"[{error.action}]")
        codes[error.code] += 1
    assert codes == {
        "nextgen.not_a_guid": 44,
        "http.404": 43,
        "nextgen.no_such_address": 4,
        "http.403": 3,
        "nextgen.no_such_method": 2,
        "nextgen.missing_argument": 2,
        "nextgen.search_too_short": 1,
        "nextgen.no_eligibility": 1,
        "nextgen.no_dosage_range": 1,
        "nextgen.encounter_locked": 1,
        "nextgen.provider_not_enabled": 1,
    }


# without the recordings


def test_a_small_answer_of_each_vendor_is_told_apart_the_same_way() -> None:
    refused = calls._write_judge(Write.UPDATE)(answer('"Invalid PROVIDERID input"'), "place")
    assert isinstance(refused, VendorError) and refused.code == "athenahealth.invalid_input"
    assert calls._write_judge(Write.UPDATE)(answer("1"), "place") is None, "so many were changed"
    none = calls._write_judge(Write.UPDATE)(answer("0"), "place")
    assert isinstance(none, VendorError) and none.code == "write.refused"
    guid = session._read_judge(answer('{"message": "The value \'x-1\' is not valid for Guid."}', 400), "place")
    assert guid is not None and "x-1" not in str(guid) and "is not valid for Guid" in guid.message
    page = session._read_judge(answer("<html>login</html>", 200), "place")
    assert isinstance(page, ProtocolError)
    error = b'[{"Error": "Magic Error - Action: GetPatient - The patient Smith is locked by another user."}]'
    told = unity._read_judge(unity.action("GetPatient"))(answer(error), "place")
    assert told is not None and "Smith" not in str(told)
    assert 'the vendor says "The patient … is locked by another user."' in told.message
