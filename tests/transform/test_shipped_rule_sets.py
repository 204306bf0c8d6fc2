"""The shipped rule sets: over synthetic records of our own, and over what the vendors' interfaces really answered."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import yaml

from holovitals_pipelines.engine.analysis import Analysis
from holovitals_pipelines.engine.rule_batches import RuleBatches
from holovitals_pipelines.fhir.exact import read_document, write_document
from holovitals_pipelines.fhir.validation import check_structure
from holovitals_pipelines.model.vocabulary import Direction, Provider, SourceFormat
from holovitals_pipelines.transform.fields import fields_table
from holovitals_pipelines.transform.plan import target_column
from holovitals_pipelines.transform.reading import RuleSetReady
from holovitals_pipelines.transform.record_back_end import compile_records, problem_numbers
from holovitals_pipelines.transform.records import Transformed, compile_rule_set
from holovitals_pipelines.transform.shipped_rule_sets import rule_set_for, shipped_rule_sets
from holovitals_pipelines.transform.tables import shipped_tables

Json = dict[str, Any]

RECORDED = Path(__file__).parents[3] / "shared" / "data"
FOLDERS = {
    Provider.ATHENAHEALTH: "vendor-athenahealth-rest",
    Provider.NEXTGEN: "vendor-nextgen-rest",
    Provider.ALLSCRIPTS: "vendor-allscripts-unity",
}
PATIENT = {"patientid": "71"}
SITE = {"timezone": "US/Eastern"}
NO_GUID = "00000000-0000-0000-0000-000000000000"

INBOUND = {
    Provider.ATHENAHEALTH: {
        "AllergyIntolerance",
        "Appointment",
        "Condition",
        "DocumentReference",
        "MedicationRequest",
        "Observation",
        "Patient",
    },
    Provider.NEXTGEN: {"Appointment", "DocumentReference", "Encounter", "Patient"},
    Provider.ALLSCRIPTS: {
        "AllergyIntolerance",
        "Condition",
        "Immunization",
        "MedicationRequest",
        "Observation",
        "Patient",
        "Practitioner",
    },
}

PROJECTIONS: dict[Provider, tuple[str, ...]] = {
    Provider.ATHENAHEALTH: (
        *("lastname", "firstname", "middlename", "suffix", "dob", "sex", "homephone", "mobilephone", "workphone"),
        *("email", "address1", "address2", "city", "state", "zip", "countrycode3166", "maritalstatus"),
    ),
    Provider.NEXTGEN: (
        *("lastName", "firstName", "middleName", "prefix", "suffix", "dateOfBirth", "sex", "homePhone", "dayPhone"),
        *("cellPhone", "email", "addressLine1", "addressLine2", "city", "county", "state", "zip", "country"),
    ),
    Provider.ALLSCRIPTS: (
        *("LastName", "Firstname", "middlename", "suffix", "dateofbirth", "gender", "HomePhone", "WorkPhone"),
        *("cellphone", "Email", "Addressline1", "AddressLine2", "City", "State", "ZipCode"),
    ),
}
"""What of a patient goes to the vendor and back: these fields, where they have a value."""


@cache
def transformer(provider: Provider, kind: str, direction: Direction) -> Callable[[Json], Transformed]:
    ready = rule_set_for(provider, kind, direction)
    assert ready is not None
    return compile_rule_set(ready)


def transformed(provider: Provider, kind: str, source: Any, direction: Direction = Direction.INBOUND) -> Transformed:
    """Of a record as it comes over the wire: numbers keep their text."""
    return transformer(provider, kind, direction)(read_document(json.dumps(source).encode()))


def plain(document: Any) -> Json:
    """As JSON, without the tag that names the rule set."""
    made: Json = json.loads(write_document(document))
    made.get("meta", {}).pop("tag", None)
    return {name: value for name, value in made.items() if value != {}}


def findings(result: Transformed) -> list[tuple[str, str]]:
    return [(one.problem.place, one.problem.code) for one in result.findings]


def fine(provider: Provider, kind: str, source: Any) -> Json:
    """What a record becomes; it is accepted, and FHIR R4."""
    result = transformed(provider, kind, source)
    assert (findings(result), result.rejected) == ([], False)
    assert check_structure(write_document(result.document), kind) == ()
    return plain(result.document)


def refused(provider: Provider, kind: str, source: Any) -> list[tuple[str, str]]:
    result = transformed(provider, kind, source)
    assert result.rejected
    return findings(result)


def native_rule_sets() -> tuple[RuleSetReady, ...]:
    """All but those of CDA documents, which are no vendor's (tests/transform/cda)."""
    return tuple(ready for ready in shipped_rule_sets() if ready.rules.source_format is not SourceFormat.CDA)


FOLDER = files("holovitals_pipelines.transform").joinpath("rule_sets")
EXAMPLE_FILES = sorted(
    f"{provider.name}/{file.name.removesuffix('.examples.yml')}"
    for provider in FOLDER.iterdir()
    if provider.is_dir() and provider.name != "cda"
    for file in provider.iterdir()
    if file.name.endswith(".examples.yml")
)
"""As `nextgen/Patient.outbound`: found by name, for every process of the tests asks and reading them takes seconds."""


def example_file(ready: RuleSetReady) -> str:
    outbound = ".outbound" if ready.rules.direction is Direction.OUTBOUND else ""
    return f"{ready.rules.provider}/{ready.rules.resource_type}{outbound}"


@cache
def examples_in(file: str) -> tuple[Json, ...]:
    return tuple(yaml.safe_load(FOLDER.joinpath(f"{file}.examples.yml").read_text(encoding="utf-8")))


def examples(ready: RuleSetReady) -> tuple[Json, ...]:
    file = example_file(ready)
    return examples_in(file) if file in EXAMPLE_FILES else ()


def rule_set_of(file: str) -> RuleSetReady:
    [found] = [ready for ready in native_rule_sets() if example_file(ready) == file]
    return found


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))
    else:
        yield path, value


def without(value: Any, path: tuple[str | int, ...]) -> Any:
    copy = json.loads(json.dumps(value))
    inner = copy
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return copy


def dropped(provider: Provider, kind: str, source: Json) -> list[tuple[str | int, ...]]:
    """The places of values without which the same comes out: those that the rules read and make nothing of.

    What says nothing is none: nulls, blanks, ids of zeros and flags that are not set. Nor is what the rule set calls
    volatile, nor are the patient and the site that the adapter adds.
    """
    whole = plain(transformed(provider, kind, source).document)
    wrapped = "item" in source
    ready = rule_set_for(provider, kind)
    assert ready is not None
    volatile = [place for one in ready.volatile for place in one.places(source)]
    nothing = (None, False, 0, "0", NO_GUID)
    return [
        path
        for path, value in leaves(source)
        if not (wrapped and path[0] != "item")
        and not (value in nothing or (isinstance(value, str) and not value.strip()))
        and not any(path[: len(place)] == place for place in volatile)
        and plain(transformed(provider, kind, without(source, path)).document) == whole
    ]


def projection(provider: Provider, source: Json) -> Json:
    return {name: source[name] for name in PROJECTIONS[provider] if str(source.get(name) or "").strip()}


def sent_back(provider: Provider, document: Json) -> Json:
    result = transformed(provider, "Patient", document, Direction.OUTBOUND)
    assert (findings(result), result.rejected) == ([], False)
    return plain(result.document)


def test_each_vendor_has_rule_sets_for_these_types_and_each_is_found() -> None:
    ready = native_rule_sets()
    assert {
        provider: {
            one.rules.resource_type
            for one in ready
            if one.rules.provider is provider and one.rules.direction is Direction.INBOUND
        }
        for provider in INBOUND
    } == INBOUND
    for one in ready:
        assert rule_set_for(one.rules.provider, one.rules.resource_type, one.rules.direction) is one
    assert len({one.name for one in ready}) == len({one.hash for one in ready}) == len(ready)
    assert rule_set_for(Provider.EPIC, "Patient") is None


def test_every_inbound_rule_set_is_strict_keeps_what_it_does_not_read_and_has_examples() -> None:
    for ready in native_rule_sets():
        assert ready.rules.options.strict_mode
        if ready.rules.direction is Direction.INBOUND:
            assert ready.rules.options.preserve_unmapped
            assert examples(ready)


@pytest.mark.parametrize("file", EXAMPLE_FILES)
def test_examples_become_what_they_say(file: str) -> None:
    rules = rule_set_of(file).rules
    for example in examples_in(file):
        name = example["name"]
        result = transformed(rules.provider, rules.resource_type, example["source"], rules.direction)
        assert (name, findings(result), result.rejected) == (name, [], False)
        assert (name, plain(result.document)) == (name, example["expect"])
        if rules.direction is Direction.INBOUND:
            assert (name, check_structure(write_document(result.document), rules.resource_type)) == (name, ())


@pytest.mark.parametrize("file", [file for file in EXAMPLE_FILES if not file.endswith(".outbound")])
def test_nothing_of_an_example_is_dropped(file: str) -> None:
    rules = rule_set_of(file).rules
    for example in examples_in(file):
        assert (example["name"], dropped(rules.provider, rules.resource_type, example["source"])) == (
            example["name"],
            [],
        )


@pytest.mark.parametrize("provider", INBOUND)
def test_batches_make_the_same_of_the_examples(provider: Provider) -> None:
    analysis, tables = Analysis(duckdb.connect()), shipped_tables()
    for ready in native_rule_sets():
        sources = [example["source"] for example in examples(ready)]
        if ready.rules.provider is not provider or not sources:
            continue
        plan = ready.record.plan
        read = [ready.record.reader.read(read_document(json.dumps(source).encode())) for source in sources]
        numbers = [problem_numbers(plan, problems) for _, problems in read]
        table = fields_table([row for row, _ in read], ready.rules.source)
        made = RuleBatches(analysis, plan, tables).run(
            table.append_column("_problems", pa.array(numbers, pa.list_(pa.int32())))
        )
        run = compile_records(plan)
        for line, (row, _), found in zip(made.to_pylist(), read, numbers, strict=True):
            single = run(row, found)
            assert [line[target_column(n)] for n in range(len(plan.targets))] == list(single.values), ready.name
            assert bool(line["_rejected"]) is single.rejected, ready.name


def test_a_status_that_is_not_known_is_refused_not_guessed() -> None:
    row = {"patient": PATIENT, "item": {"transid": "9", "description": "Example", "status": "Erstwhile"}}
    assert refused(Provider.ALLSCRIPTS, "Condition", row) == [("status_", "not_in_map")]
    assert refused(Provider.ATHENAHEALTH, "Patient", {"patientid": "1", "sex": "X"}) == [("gender_", "not_in_map")]
    problem = {"patient": PATIENT, "item": {"problemid": 1, "codeset": "LOCAL", "code": "7"}}
    assert refused(Provider.ATHENAHEALTH, "Condition", problem) == [("code_system", "not_in_map")]


def test_a_record_without_its_patient_is_refused() -> None:
    problem = {"item": {"problemid": 1, "name": "Fatigue"}}
    assert refused(Provider.ATHENAHEALTH, "Condition", problem) == [("validate.subject.reference", "missing")]


def test_the_row_with_which_unity_says_that_there_is_none_is_refused() -> None:
    assert refused(Provider.ALLSCRIPTS, "Practitioner", {"personid": "0", "LastName": " "}) == [
        ("validate.id", "missing")
    ]


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("US/Eastern", "2025-07-04T09:30:00-04:00"),
        ("Central Standard Time", "2025-07-04T09:30:00-05:00"),
        ("America/Denver", "2025-07-04T09:30:00-06:00"),
        ("US/Arizona", "2025-07-04T09:30:00-07:00"),
        ("America/Los_Angeles", "2025-07-04T09:30:00-07:00"),
        ("Alaskan Standard Time", "2025-07-04T09:30:00-08:00"),
        ("Pacific/Honolulu", "2025-07-04T09:30:00-10:00"),
    ],
)
def test_appointments_begin_by_the_clocks_of_their_site(zone: str, start: str) -> None:
    item = {"appointmentid": 1, "patientid": 71, "appointmentstatus": "f", "date": "07/04/2025", "starttime": "09:30"}
    booked = {"site": {"timezone": zone}, "item": item}
    assert fine(Provider.ATHENAHEALTH, "Appointment", booked)["start"] == start
    same = {"id": "a", "personId": "p", "appointmentDate": "2025-07-04T00:00:00", "beginTime": "0930"}
    assert fine(Provider.NEXTGEN, "Appointment", {"site": {"timezone": zone}, "item": same})["start"] == start


def test_an_appointment_in_a_zone_that_is_not_known_is_refused() -> None:
    item = {"appointmentid": 1, "patientid": 71, "appointmentstatus": "f", "date": "07/04/2025", "starttime": "09:30"}
    for site in ({}, {"timezone": "Europe/Zurich"}):
        assert refused(Provider.ATHENAHEALTH, "Appointment", {"site": site, "item": item}) == [
            ("validate.start", "missing")
        ]


def test_an_hour_that_clocks_show_twice_is_never_guessed() -> None:
    item = {"appointmentid": 1, "patientid": 71, "appointmentstatus": "f", "date": "11/02/2025", "starttime": "01:30"}
    found = refused(Provider.ATHENAHEALTH, "Appointment", {"site": SITE, "item": item})
    assert ("start_eastern", "ambiguous_time") in found
    changed = {**item, "starttime": "09:30", "lastmodified": "11/02/2025 01:30:00"}
    assert refused(Provider.ATHENAHEALTH, "Appointment", {"site": SITE, "item": changed}) == [
        ("last_updated", "ambiguous_time")
    ]


def test_a_patient_missed_is_not_one_who_cancelled() -> None:
    item = {"appointmentid": 1, "patientid": 71, "appointmentstatus": "x", "date": "06/02/2020", "starttime": "10:00"}
    for noshow, status in ((False, "cancelled"), (True, "noshow")):
        record = {"site": SITE, "item": {**item, "cancelreasonnoshow": noshow}}
        assert fine(Provider.ATHENAHEALTH, "Appointment", record)["status"] == status


@pytest.mark.parametrize(
    ("provider", "source"),
    [
        (
            Provider.ATHENAHEALTH,
            {
                **{"patientid": "71", "firstname": "Ann", "middlename": "B", "lastname": "Example", "suffix": "JR"},
                **{"dob": "02/29/1980", "sex": "F", "homephone": "6175550100", "mobilephone": "6175550101"},
                **{"workphone": "6175550102", "email": "ann@example.org", "address1": "1 Test St", "address2": "Apt 2"},
                **{"city": "BOSTON", "state": "MA", "zip": "02210", "countrycode3166": "US", "maritalstatus": "P"},
            },
        ),
        (
            Provider.NEXTGEN,
            {
                **{"id": "p-1", "firstName": "Ann", "middleName": "B", "lastName": "Example", "prefix": "Dr"},
                **{"suffix": "Jr", "dateOfBirth": "1980-02-29T00:00:00", "sex": "F", "homePhone": "9105550112"},
                **{"dayPhone": "9105550113", "cellPhone": "9105550114", "email": "ann@example.org"},
                **{"addressLine1": "1 Test St", "addressLine2": "Apt 2", "city": "Wilmington", "county": "New Hanover"},
                **{"state": "NC", "zip": "28409", "country": "USA"},
            },
        ),
    ],
)
def test_a_patient_comes_back_as_the_vendor_writes_it(provider: Provider, source: Json) -> None:
    assert set(projection(provider, source)) == set(PROJECTIONS[provider])
    assert sent_back(provider, fine(provider, "Patient", source)) == projection(provider, source)


def test_a_patient_comes_back_as_parameters_of_save_patient() -> None:
    row = {
        **{"Firstname": "Ann", "middlename": "B", "LastName": "Example", "suffix": "Jr", "gender": "F"},
        **{"dateofbirth": "02/29/1980", "HomePhone": "802-555-0100", "WorkPhone": "802-555-0101"},
        **{"cellphone": "802-555-0102", "Email": "ann@example.org", "Addressline1": "1 Test St"},
        **{"AddressLine2": "Apt 2", "City": "Somewhere", "State": "VT", "ZipCode": "05401"},
    }
    document = fine(Provider.ALLSCRIPTS, "Patient", {"patient": PATIENT, "item": row})
    assert set(projection(Provider.ALLSCRIPTS, row)) == set(PROJECTIONS[Provider.ALLSCRIPTS])
    assert sent_back(Provider.ALLSCRIPTS, document) == {
        "Action": "SavePatient",
        "PatientID": "71",
        "Parameter1": projection(Provider.ALLSCRIPTS, row),
    }


def test_an_edited_marital_status_is_sent_not_the_vendors_old_code() -> None:
    source = {
        "patientid": "1",
        "firstname": "A",
        "lastname": "B",
        "dob": "01/02/2000",
        "sex": "M",
        "maritalstatus": "P",
    }
    document = fine(Provider.ATHENAHEALTH, "Patient", source)
    edited = {"system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "code": "M"}
    document["maritalStatus"]["coding"].append(edited)
    assert sent_back(Provider.ATHENAHEALTH, document)["maritalstatus"] == "M"


def test_a_patient_whose_birth_is_known_to_the_month_is_not_sent() -> None:
    name = [{"family": "Example", "given": ["Ann"]}]
    patient = {"resourceType": "Patient", "name": name, "gender": "female", "birthDate": "1980-02"}
    for provider in INBOUND:
        assert transformed(provider, "Patient", patient, Direction.OUTBOUND).rejected


# Over recorded answers.


def recorded(provider: Provider) -> Path:
    folder = RECORDED / FOLDERS[provider]
    if not folder.is_dir():
        pytest.skip(f"needs ../shared/data/{FOLDERS[provider]} beside the project; the examples show the same rules")
    return folder


@pytest.fixture(scope="module")
def athena() -> Callable[[str], Any]:
    answers = json.loads((recorded(Provider.ATHENAHEALTH) / "responses.json").read_text(encoding="utf-8"))
    return lambda name: json.loads(answers[name])


@pytest.fixture(scope="module")
def nextgen() -> dict[str, Any]:
    with gzip.open(recorded(Provider.NEXTGEN) / "recorded_responses.jsonl.gz", "rt", encoding="utf-8") as lines:
        exchanges = [json.loads(line) for line in lines]
    wanted = ("Person/", "PersonChart/Encounters/encounter", "PersonChart/Documents/document", "Appointments/")
    return {
        one["name"]: json.loads(one["data"])
        for one in exchanges
        if one["statusCode"] == 200 and one["name"].startswith(wanted)
        and not one["name"].endswith("documentPage.json")
    }  # fmt: skip


def held(provider: Provider, kind: str, source: Json) -> Json:
    """As `fine`, and nothing of it is dropped."""
    made = fine(provider, kind, source)
    assert dropped(provider, kind, source) == []
    return made


def test_athenas_recorded_patients_become_fhir_and_come_back(athena: Callable[[str], Any]) -> None:
    patients = [
        *athena("GetPatient"),
        *athena("ListPatients")["patients"],
        *athena("ListChangedPatients")["patients"],
        *athena("ListPatientsMatchingCustomField")["patients"],
    ]
    assert len(patients) >= 5
    for patient in patients:
        made = held(Provider.ATHENAHEALTH, "Patient", patient)
        assert made["identifier"][0]["value"] == str(patient["patientid"])
        assert sent_back(Provider.ATHENAHEALTH, made) == projection(Provider.ATHENAHEALTH, patient)


def test_athenas_recorded_charts_become_fhir(athena: Callable[[str], Any]) -> None:
    flat = [entry for entries in athena("ListMedications")["medications"] for entry in entries]
    records = {
        "Condition": [*athena("ListProblems")["problems"], *athena("ListChangedProblems")["problems"]],
        "MedicationRequest": [*flat, *athena("ListChangedPrescriptions")["prescriptions"]],
        "Observation": athena("ListLabResults")["results"],
        "DocumentReference": [
            *athena("ListEncounterDocuments")["encounterdocuments"],
            *athena("ListAdminDocuments")["admins"],
        ],
    }
    for kind, items in records.items():
        assert items
        for item in items:
            made = held(Provider.ATHENAHEALTH, kind, {"patient": PATIENT, "item": item})
            assert made["subject"]["reference"] == f"Patient/{item.get('patientid') or 71}"


def test_athenas_recorded_appointments_become_fhir_and_open_slots_do_not(athena: Callable[[str], Any]) -> None:
    booked = [
        *athena("ListBookedAppointments")["appointments"],
        *athena("ListChangedAppointments")["appointments"],
        *athena("BookAppointment"),
    ]
    statuses = {held(Provider.ATHENAHEALTH, "Appointment", {"site": SITE, "item": one})["status"] for one in booked}
    assert statuses == {"booked", "cancelled"}
    for slot in athena("GetAppointment"):
        assert ("status_", "not_in_map") in refused(Provider.ATHENAHEALTH, "Appointment", {"site": SITE, "item": slot})


def test_athenas_recorded_changes_of_results_lack_what_was_measured(athena: Callable[[str], Any]) -> None:
    for item in athena("ListChangedLabResults")["labresults"]:
        assert ("text_", "required") in refused(
            Provider.ATHENAHEALTH, "Observation", {"patient": PATIENT, "item": item}
        )


def test_nextgens_recorded_person_becomes_fhir_and_comes_back(nextgen: dict[str, Any]) -> None:
    person = nextgen["Person/person.json"]
    made = held(Provider.NEXTGEN, "Patient", person)
    assert made["id"] == person["id"]
    assert sent_back(Provider.NEXTGEN, made) == projection(Provider.NEXTGEN, person)


def test_nextgens_recorded_encounters_documents_and_appointment_become_fhir(nextgen: dict[str, Any]) -> None:
    encounters = nextgen["PersonChart/Encounters/encounters.json"]["items"]
    documents = nextgen["PersonChart/Documents/documents.json"]["items"]
    assert encounters and documents
    for one in (*encounters, nextgen["PersonChart/Encounters/encounter.json"]):
        assert held(Provider.NEXTGEN, "Encounter", one)["id"] == one["id"]
    for one in (*documents, nextgen["PersonChart/Documents/document.json"]):
        assert held(Provider.NEXTGEN, "DocumentReference", one)["id"] == one["id"]
    appointment = nextgen["Appointments/appointment.json"]
    made = held(Provider.NEXTGEN, "Appointment", {"site": SITE, "item": appointment})
    assert (made["start"], made["end"]) == ("2023-04-25T08:00:00-04:00", "2023-04-25T08:10:00-04:00")


def test_unitys_recorded_providers_become_fhir() -> None:
    text = (recorded(Provider.ALLSCRIPTS) / "get_providers.json").read_text(encoding="utf-8")
    rows = json.loads(text)[0]["getprovidersinfo"]
    assert rows
    for row in rows:
        made = held(Provider.ALLSCRIPTS, "Practitioner", row)
        assert made["id"] == row["personid"]
        assert all(one["value"] == one["value"].strip() for one in made["identifier"])
