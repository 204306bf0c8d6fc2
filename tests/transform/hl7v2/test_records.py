"""What HL7 v2 messages speak of, as records and as FHIR resources."""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
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
from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.fhir.validation import check_structure
from holovitals_pipelines.model.vocabulary import Provider, SourceFormat
from holovitals_pipelines.transform.fields import fields_table
from holovitals_pipelines.transform.hl7v2_document import read_message, split_messages
from holovitals_pipelines.transform.hl7v2_records import records_of
from holovitals_pipelines.transform.plan import target_column
from holovitals_pipelines.transform.record_back_end import compile_records, problem_numbers
from holovitals_pipelines.transform.records import Transformed, compile_rule_set
from holovitals_pipelines.transform.shipped_rule_sets import rule_set_for
from holovitals_pipelines.transform.sources import documents_of
from holovitals_pipelines.transform.tables import shipped_tables
from tests.transform.hl7v2 import messages

Json = dict[str, Any]

SHARED = Path(__file__).parents[4] / "shared" / "data" / "hl7v2-messages" / "messages.jsonl.gz"
TYPES = (
    *("AllergyIntolerance", "Condition", "DiagnosticReport", "DocumentReference", "Encounter", "Immunization"),
    *("Observation", "Patient"),
)
OWN_TIMES = {"period.reversed"}
"""What a sender says and FHIR refuses: sync jobs hold it in quarantine."""


@cache
def transformer(kind: str) -> Callable[[Json], Transformed]:
    ready = rule_set_for(Provider.MEDITECH, kind, source_format=SourceFormat.HL7_V2)
    assert ready is not None, kind
    return compile_rule_set(ready)


def records(body: bytes, kind: str) -> list[Json]:
    return documents_of(body, SourceFormat.HL7_V2, kind)


def fine(kind: str, record: Json) -> Json:
    result = transformer(kind)(record)
    assert ([f"{one.problem.place}:{one.problem.code}" for one in result.findings], result.rejected) == ([], False)
    written = write_document(result.document)
    assert check_structure(written, kind) == ()
    made: Json = json.loads(written)
    assert made["id"] == record["id"]
    del made["meta"]
    return made


def made(body: bytes, kind: str) -> list[Json]:
    return [fine(kind, one) for one in records(body, kind)]


def kept(resource: Json) -> Json:
    [rest] = [one for one in resource["extension"] if one["url"] == "urn:holovitals:unmapped"]
    read: Json = json.loads(rest["valueString"])
    return read


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    else:
        yield str(value)


def examples() -> Iterator[Any]:
    root = files("holovitals_pipelines.transform").joinpath("rule_sets", "meditech")
    for kind in TYPES:
        for one in yaml.safe_load(root.joinpath(f"{kind}.examples.yml").read_text(encoding="utf-8")):
            yield pytest.param(kind, one, id=f"{kind}: {one['name']}")


@pytest.mark.parametrize(("kind", "example"), tuple(examples()))
def test_examples_become_what_they_say(kind: str, example: Json) -> None:
    assert fine(kind, read_document(json.dumps(example["source"]).encode())) == example["expect"]


@pytest.mark.parametrize("name", messages.ALL)
def test_every_record_becomes_a_sound_resource_with_its_id_and_ids_differ(name: str) -> None:
    for kind, found in records_of(read_message(messages.ALL[name])).items():
        ids = [fine(kind, one)["id"] for one in found]
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", messages.ALL)
def test_every_segment_is_in_a_record(name: str) -> None:
    document = read_message(messages.ALL[name])
    held = [text for found in records_of(document).values() for one in found for text in texts(one)]
    joined = "\n".join(held)
    for segment in document["segments"]:
        missing = [text for text in texts(segment) if text not in joined and text != '""']
        assert missing == [], segment["segment"]


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("ADT", {"Patient": 1, "Encounter": 1, "AllergyIntolerance": 2, "Condition": 1, "Observation": 1}),
        ("ORU", {"Patient": 1, "Encounter": 1, "DiagnosticReport": 2, "Observation": 8}),
        ("VXU", {"Patient": 1, "Immunization": 3, "Observation": 1}),
        ("ORM", {"Patient": 1, "DiagnosticReport": 1}),
        ("MDM", {"Patient": 1, "Encounter": 1, "DocumentReference": 1}),
        ("PPR", {"Patient": 1, "Condition": 1}),
        ("A17", {"Patient": 2, "Encounter": 2}),
    ],
)
def test_each_structure_speaks_of_its_things(name: str, counts: dict[str, int]) -> None:
    assert {kind: len(found) for kind, found in records_of(read_message(messages.ALL[name])).items()} == counts


def test_segments_that_are_not_known_stay_with_the_patient() -> None:
    [patient] = made(messages.ADMISSION, "Patient")
    assert [one["segment"] for one in kept(patient)["others"]] == ["GT1", "IN1", "ZFH"]
    assert "kept note" in texts(kept(patient))


def test_a_patient_is_known_by_facility_kind_and_number_in_every_message() -> None:
    ids = {
        one["id"] for body in (messages.ADMISSION, messages.RESULTS, messages.ORDER) for one in made(body, "Patient")
    }
    assert ids == {"FAC1-MR-M900000101"}
    [elsewhere] = made(messages.ADMISSION.replace(b"MR^FAC1", b"MR^FAC2"), "Patient")
    assert elsewhere["id"] == "FAC2-MR-M900000101"
    assert elsewhere["identifier"][0]["system"] == "urn:holovitals:meditech:FAC2:MR"


def test_ids_that_could_mean_two_patients_are_hashed() -> None:
    def patient(facility: str, number: str) -> str:
        body = messages.message(messages.header("ADT^A08"), f"PID|1||{number}^^^^MR^{facility}")
        return str(records(body, "Patient")[0]["id"])

    assert patient("A-MR", "1") != patient("A", "MR-1")
    assert len(patient("A-MR", "1")) == 64


def test_resources_name_each_other() -> None:
    [visit] = made(messages.RESULTS, "Encounter")
    report, other = made(messages.RESULTS, "DiagnosticReport")
    results = made(messages.RESULTS, "Observation")
    assert [one["reference"] for one in (*report["result"], *other["result"])] == [
        f"Observation/{one['id']}" for one in results
    ]
    assert {one["encounter"]["reference"] for one in (report, *results)} == {f"Encounter/{visit['id']}"}
    [eligible] = made(messages.VACCINATION, "Observation")
    assert eligible["partOf"][0]["reference"] == f"Immunization/{made(messages.VACCINATION, 'Immunization')[0]['id']}"


def test_results_have_the_values_that_are_said() -> None:
    white, crp, titre, lines, last_line, kind, pending, meal = made(messages.RESULTS, "Observation")
    assert white["valueQuantity"] == {"value": 10.1, "unit": "10^9/L"}
    assert crp["valueQuantity"]["comparator"] == "<"
    assert titre["valueRatio"] == {"numerator": {"value": 1}, "denominator": {"value": 128}}
    assert (lines["valueString"], last_line["valueString"]) == ("line one\nline two", "line three")
    assert kind["valueCodeableConcept"]["coding"][0]["system"] == "http://snomed.info/sct"
    assert (pending["valueString"], pending["status"]) == ("not done yet", "registered")
    assert (meal["valueDateTime"], meal["status"]) == ("2026-01-14", "corrected")


def test_a_number_keeps_its_digits() -> None:
    result = transformer("Observation")(records(messages.RESULTS, "Observation")[0])
    assert b'"value":10.10' in write_document(result.document)


def test_a_time_without_an_offset_is_a_day_beside_what_was_written() -> None:
    white = made(messages.RESULTS, "Observation")[0]
    assert white["effectiveDateTime"] == "2026-01-15"
    assert white["_effectiveDateTime"]["extension"][0]["valueString"] == "202601150916"


def test_a_corrected_result_has_the_id_of_the_first() -> None:
    corrected = messages.RESULTS.replace(b"|10.10|", b"|11.20|").replace(b"A~S|F|", b"A~S|C|")
    first, then = (made(body, "Observation")[0] for body in (messages.RESULTS, corrected))
    assert first["id"] == then["id"]
    assert (first["status"], then["status"]) == ("final", "corrected")


@pytest.mark.parametrize(
    ("event", "left", "status"),
    [
        ("A01", "", "in-progress"),
        ("A03", "", "finished"),
        ("A04", "", "planned"),
        ("A08", "", "in-progress"),
        ("A08", "202601131200", "finished"),
        ("A11", "", "cancelled"),
        ("A13", "202601131200", "in-progress"),
    ],
)
def test_a_visit_has_the_status_of_the_event(event: str, left: str, status: str) -> None:
    body = messages.message(messages.header(f"ADT^{event}"), messages.PID, messages.PV1 + left)
    [visit] = made(body, "Encounter")
    assert visit["status"] == status


def test_nulls_are_no_texts_and_differ_from_what_is_not_said() -> None:
    [patient] = made(messages.NULLS, "Patient")
    assert kept(patient)["pid"]["null"] == ["5.3", "7", "12[1].1"]
    assert '""' not in list(texts(patient))
    silent = messages.NULLS.replace(b'""', b"")
    [other] = made(silent, "Patient")
    assert "null" not in kept(other)["pid"]
    assert "birthDate" not in patient and "birthDate" not in other


def test_a_later_message_that_says_the_same_makes_the_same() -> None:
    later = messages.ADMISSION.replace(b"9000121", b"9000122").replace(b"202601150930", b"202601160930")
    for kind in ("Patient", "AllergyIntolerance", "Encounter"):
        assert made(later, kind) == made(messages.ADMISSION, kind)


def test_a_merged_record_number_is_an_old_one_of_the_patient_that_stays() -> None:
    [patient] = made(messages.MERGE, "Patient")
    assert patient["id"] == "FAC1-MR-M900000101"
    assert [one["value"] for one in patient["identifier"] if one.get("use") == "old"] == ["M900000055"]


def test_vaccinations_have_their_status_and_the_number_9999_names_none() -> None:
    given, historical, refused = made(messages.VACCINATION, "Immunization")
    assert [one["status"] for one in (given, historical, refused)] == ["completed", "completed", "not-done"]
    assert (given["lotNumber"], given["expirationDate"], given["primarySource"]) == ("L123", "2026-12-31", True)
    again = messages.VACCINATION.replace(b"20200110", b"20200210")
    assert made(again, "Immunization")[1]["id"] != historical["id"]
    assert made(again, "Immunization")[0]["id"] == given["id"]


def test_a_document_has_the_text_of_its_segments() -> None:
    [document] = made(messages.DOCUMENT, "DocumentReference")
    text = base64.b64decode(document["content"][0]["attachment"]["data"]).decode()
    assert text == "First line\nSecond line\nThird line"
    assert records(messages.DOCUMENT, "Observation") == []


def test_an_allergy_has_one_id_for_a_patient_and_a_code() -> None:
    again = messages.ADMISSION.replace(b"AL1|1|DA", b"AL1|9|DA").replace(b"|SV|", b"|MI|")
    before, after = (made(body, "AllergyIntolerance")[0] for body in (messages.ADMISSION, again))
    assert before["id"] == after["id"]
    assert (before["criticality"], after["criticality"]) == ("high", "low")


def test_messages_of_a_file_are_read_one_after_the_other() -> None:
    assert len(records(messages.ADMISSION + messages.RESULTS, "Observation")) == 9


@pytest.mark.parametrize("pid", ["", "PID|1||||NOBODY^ANN"])
def test_a_message_that_names_no_patient_is_refused(pid: str) -> None:
    with pytest.raises(MalformedResource) as refusal:
        records(messages.message(messages.header("ADT^A08"), *([pid] if pid else [])), "Patient")
    assert refusal.value.code == "hl7.no_patient"
    assert "NOBODY" not in str(refusal.value)


def test_an_unreadable_day_is_refused_and_not_guessed() -> None:
    body = messages.message(messages.header("ADT^A08"), "PID|1||1^^^^MR||TEST||19730230")
    result = transformer("Patient")(records(body, "Patient")[0])
    assert result.rejected
    assert [f"{one.problem.place}:{one.problem.code}" for one in result.findings] == ["born_:unreadable"]


@pytest.mark.skipif(not SHARED.exists(), reason="the recorded messages are not on this machine")
def test_recorded_messages_become_resources_or_are_refused_with_a_reason() -> None:
    outcomes: Counter[str] = Counter()
    for line in gzip.decompress(SHARED.read_bytes()).splitlines():
        for message in split_messages(base64.b64decode(json.loads(line)["bytes_b64"])):
            try:
                found = records_of(read_message(message))
            except MalformedResource as refusal:
                outcomes[str(refusal.code)] += 1
                continue
            for kind, records_ in found.items():
                few = records_[:5]  # some have hundreds of results of one form
                outcomes.update(outcome(kind, one) for one in few)
    assert set(outcomes) == {"sound", "unreadable", "period.reversed", "hl7.no_patient"}
    assert outcomes["sound"] > 400


def outcome(kind: str, record: Json) -> str:
    result = transformer(kind)(record)
    if result.rejected:
        [code] = {one.problem.code for one in result.findings}
        return code
    assert result.document["id"] == record["id"]
    wrong = check_structure(write_document(result.document), kind)
    assert {one.rule for one in wrong} <= OWN_TIMES
    return wrong[0].rule if wrong else "sound"


@pytest.mark.parametrize("kind", TYPES)
def test_batches_make_the_same_of_the_records(kind: str) -> None:
    ready = rule_set_for(Provider.MEDITECH, kind, source_format=SourceFormat.HL7_V2)
    assert ready is not None
    plan = ready.record.plan
    read = [ready.record.reader.read(one) for body in messages.ALL.values() for one in records(body, kind)]
    numbers = [problem_numbers(plan, problems) for _, problems in read]
    table = fields_table([row for row, _ in read], ready.rules.source)
    made_of_all = RuleBatches(Analysis(duckdb.connect()), plan, shipped_tables()).run(
        table.append_column("_problems", pa.array(numbers, pa.list_(pa.int32())))
    )
    run = compile_records(plan)
    for line, (row, _), found in zip(made_of_all.to_pylist(), read, numbers, strict=True):
        single = run(row, found)
        assert [line[target_column(n)] for n in range(len(plan.targets))] == list(single.values)
        assert bool(line["_rejected"]) is single.rejected
