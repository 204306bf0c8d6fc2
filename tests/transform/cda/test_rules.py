"""The rule sets of CDA: their examples, and what becomes of every record of two documents."""

from __future__ import annotations

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
from holovitals_pipelines.model.vocabulary import Provider, SourceFormat
from holovitals_pipelines.transform.cda import read_cda
from holovitals_pipelines.transform.fields import fields_table
from holovitals_pipelines.transform.functions import Refused
from holovitals_pipelines.transform.hl7_times import hl7_date, hl7_datetime
from holovitals_pipelines.transform.plan import target_column
from holovitals_pipelines.transform.reading import RuleSetReady
from holovitals_pipelines.transform.record_back_end import compile_records, problem_numbers
from holovitals_pipelines.transform.records import Transformed, compile_rule_set
from holovitals_pipelines.transform.shipped_rule_sets import rule_set_for, shipped_rule_sets
from holovitals_pipelines.transform.tables import shipped_tables

Json = dict[str, Any]

HERE = Path(__file__).parent
DOCUMENTS = {name: (HERE / f"{name}.xml").read_bytes() for name in ("ccd", "odd")}
TYPES = (
    *("AllergyIntolerance", "Condition", "DocumentReference", "Encounter", "Immunization", "MedicationRequest"),
    *("Observation", "Patient", "Procedure"),
)
CLINICAL = ("2.16.840.1.113883.6.", "2.16.840.1.113883.12.", "2.16.840.1.113883.3.26.", "1.3.6.1.4.1.")
MAPPED = {"55561003": "active", "413322009": "resolved", "24484000": "severe"}
"""Codes of which FHIR has its own."""
HEMOGLOBIN = {
    "id": "o-1",
    "patient": {"id": "p-1"},
    "entry": {
        "code": [{"code": "718-7", "codeSystem": "2.16.840.1.113883.6.1"}],
        "statusCode": [{"code": "completed"}],
    },
}


def rule_set(kind: str) -> RuleSetReady:
    ready = rule_set_for(Provider.FHIR, kind, source_format=SourceFormat.CDA)
    assert ready is not None, kind
    return ready


@cache
def transformer(kind: str) -> Callable[[Json], Transformed]:
    return compile_rule_set(rule_set(kind))


def transformed(kind: str, record: Json) -> Transformed:
    return transformer(kind)(read_document(json.dumps(record).encode()))


def findings(result: Transformed) -> list[str]:
    return [f"{one.problem.place}:{one.problem.code}" for one in result.findings]


def plain(result: Transformed) -> Json:
    made: Json = json.loads(write_document(result.document))
    del made["meta"]
    return made


def fine(kind: str, record: Json) -> Json:
    result = transformed(kind, record)
    assert (findings(result), result.rejected) == ([], False)
    assert check_structure(write_document(result.document), kind) == ()
    return plain(result)


def observed(**entry: Any) -> Json:
    return {**HEMOGLOBIN, "entry": {**HEMOGLOBIN["entry"], **entry}}


def measured(**value: Any) -> Json:
    return fine("Observation", observed(value=[value]))


def made_of(name: str, kind: str) -> list[Json]:
    return [fine(kind, record) for record in read_cda(DOCUMENTS[name]).records[kind]]


def examples() -> Iterator[Any]:
    root = files("holovitals_pipelines.transform").joinpath("rule_sets", "cda")
    for kind in TYPES:
        for one in yaml.safe_load(root.joinpath(f"{kind}.examples.yml").read_text(encoding="utf-8")):
            yield pytest.param(kind, one, id=f"{kind}: {one['name']}")


EXAMPLES = list(examples())
RECORDS = [
    pytest.param(kind, record, id=f"{name}: {kind} {number}")
    for name, body in DOCUMENTS.items()
    for kind, records in read_cda(body).records.items()
    for number, record in enumerate(records)
]


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))
    else:
        yield path, value


def concepts(value: Any) -> Iterator[str]:
    """The codes of clinical systems in a record, wherever they stand: of translations and of nested statements too."""
    if isinstance(value, dict):
        if value.get("codeSystem", "").startswith(CLINICAL) and "code" in value:
            yield value["code"]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from concepts(inner)


def test_the_rule_sets_of_cda_are_found_by_their_format_and_stand_in_for_no_other() -> None:
    shipped = [one for one in shipped_rule_sets() if one.rules.source_format is SourceFormat.CDA]
    assert sorted(one.rules.resource_type for one in shipped) == sorted(TYPES)
    for one in shipped:
        kind = one.rules.resource_type
        assert one.rules.provider is Provider.FHIR
        assert rule_set(kind) is one
        assert rule_set_for(Provider.FHIR, kind) is None
        assert rule_set_for(Provider.FHIR, kind, source_format=SourceFormat.CUSTOM_JSON) is None
        assert rule_set_for(Provider.EPIC, kind, source_format=SourceFormat.CDA) is None


def test_a_vendors_native_rule_set_is_found_with_and_without_its_format() -> None:
    native = rule_set_for(Provider.ATHENAHEALTH, "Condition")
    assert native is not None
    assert rule_set_for(Provider.ATHENAHEALTH, "Condition", source_format=SourceFormat.CUSTOM_JSON) is native
    assert rule_set_for(Provider.ATHENAHEALTH, "Condition", source_format=SourceFormat.CDA) is None


def test_every_rule_set_is_strict_keeps_what_it_does_not_read_and_has_examples() -> None:
    assert {param.values[0] for param in EXAMPLES} == set(TYPES)
    for kind in TYPES:
        options = rule_set(kind).rules.options
        assert options.strict_mode and options.preserve_unmapped


@pytest.mark.parametrize(("kind", "example"), EXAMPLES)
def test_examples_become_what_they_say(kind: str, example: Json) -> None:
    result = transformed(kind, example["source"])
    assert findings(result) == example.get("errors", [])
    if "errors" in example:
        assert result.rejected
        return
    assert plain(result) == example["expect"]
    assert check_structure(write_document(result.document), kind) == ()


@pytest.mark.parametrize("kind", TYPES)
def test_batches_make_the_same_of_the_records(kind: str) -> None:
    ready = rule_set(kind)
    plan = ready.record.plan
    records = [param.values[1] for param in RECORDS if param.values[0] == kind]
    read = [ready.record.reader.read(read_document(write_document(record))) for record in records]
    numbers = [problem_numbers(plan, problems) for _, problems in read]
    table = fields_table([row for row, _ in read], ready.rules.source)
    made = RuleBatches(Analysis(duckdb.connect()), plan, shipped_tables()).run(
        table.append_column("_problems", pa.array(numbers, pa.list_(pa.int32())))
    )
    run = compile_records(plan)
    for line, (row, _), found in zip(made.to_pylist(), read, numbers, strict=True):
        single = run(row, found)
        assert [line[target_column(n)] for n in range(len(plan.targets))] == list(single.values)
        assert bool(line["_rejected"]) is single.rejected


@pytest.mark.parametrize(("kind", "record"), RECORDS)
def test_every_record_becomes_a_resource_with_its_id_and_holds_every_coded_value(kind: str, record: Json) -> None:
    made = fine(kind, record)
    assert made["id"] == record["id"]
    kept = write_document(made).decode()
    missing = [code for code in concepts(record["entry"]) if code not in kept and code not in MAPPED]
    assert missing == []


@pytest.mark.parametrize(("kind", "record"), RECORDS)
def test_no_value_of_a_record_is_dropped(kind: str, record: Json) -> None:
    whole = plain(transformed(kind, record))
    dropped = []
    for path, _ in leaves(record):
        if "within" in record and path == ("section", "code", 0, "code"):
            continue  # both that section and the encounter say that it is an encounter's diagnosis
        copy = json.loads(json.dumps(record))
        inner = copy
        for step in path[:-1]:
            inner = inner[step]
        del inner[path[-1]]
        result = transformed(kind, copy)
        if not result.rejected and plain(result) == whole:
            dropped.append(path)
    assert dropped == []


def test_an_allergy_has_its_reaction_its_severity_and_its_status() -> None:
    [allergy] = made_of("ccd", "AllergyIntolerance")
    assert allergy["clinicalStatus"]["coding"][0]["code"] == "active"
    assert allergy["criticality"] == "high"
    assert [one["code"] for one in allergy["code"]["coding"]] == ["7980", "91936005"]
    [reaction] = allergy["reaction"]
    assert (reaction["severity"], reaction["manifestation"][0]["text"]) == ("severe", "hives")
    assert "verificationStatus" not in allergy


def test_no_known_allergies_is_not_an_allergy() -> None:
    none_known, no_latex = made_of("odd", "AllergyIntolerance")
    assert none_known["code"]["coding"] == [{"code": "716186003", "system": "http://snomed.info/sct"}]
    assert no_latex["code"]["coding"][0]["code"] == "111088007"
    assert no_latex["verificationStatus"]["coding"][0]["code"] == "refuted"


def test_a_negated_problem_is_refuted_and_an_ended_one_is_not_active() -> None:
    fracture, diabetes = made_of("odd", "Condition")
    assert fracture["clinicalStatus"]["coding"][0]["code"] == "inactive"
    assert fracture["code"]["text"] == "Old hip fracture"
    assert [one["system"] for one in fracture["code"]["coding"]] == [
        "urn:oid:1.3.6.1.4.1.99999.99",
        "http://hl7.org/fhir/sid/icd-10-cm",
    ]
    assert diabetes["verificationStatus"]["coding"][0]["code"] == "refuted"


def test_a_time_without_an_offset_is_a_day_beside_what_was_written() -> None:
    [fracture, _] = made_of("odd", "Condition")
    assert fracture["onsetDateTime"] == "2020-01-01"
    assert fracture["_onsetDateTime"]["extension"] == [
        {"url": "urn:holovitals:cda:time", "valueString": "20200101101500"}
    ]


def test_a_negated_observation_is_refused() -> None:
    result = transformed("Observation", observed(negationInd="true"))
    assert result.rejected and findings(result) == ["negated_:not_in_map"]
    assert "value" not in fine("Observation", observed(negationInd="false"))


@pytest.mark.parametrize(
    ("value", "member", "expected"),
    [
        ({"xsi_type": "PQ", "value": "7.4", "unit": "1"}, "valueQuantity", {"value": 7.4}),
        ({"xsi_type": "REAL", "value": "7.4"}, "valueQuantity", {"value": 7.4}),
        ({"xsi_type": "INT", "value": "7"}, "valueInteger", 7),
        ({"xsi_type": "BL", "value": "true"}, "valueBoolean", True),
        ({"xsi_type": "ST", "characters": "clear"}, "valueString", "clear"),
        ({"xsi_type": "TS", "value": "202407"}, "valueDateTime", "2024-07"),
        ({"xsi_type": "CO", "code": "1"}, "valueCodeableConcept", {"coding": [{"code": "1"}]}),
        ({"xsi_type": "IVL_PQ", "low": [{"value": "5"}]}, "valueQuantity", {"value": 5, "comparator": ">="}),
        (
            {"xsi_type": "IVL_PQ", "low": [{"value": "5"}], "high": [{"value": "9"}]},
            "valueRange",
            {"low": {"value": 5}, "high": {"value": 9}},
        ),
    ],
)
def test_a_result_is_of_the_type_that_it_says(value: Json, member: str, expected: Any) -> None:
    made = measured(**value)
    assert made[member] == expected
    assert [name for name in made if name.startswith("value")] == [member]


def test_a_number_keeps_its_digits() -> None:
    written = write_document(transformed("Observation", observed(value=[{"xsi_type": "PQ", "value": "7.40"}])).document)
    assert b'"valueQuantity":{"value":7.40}' in written


def test_a_value_of_an_unknown_type_is_kept_and_nothing_is_made_of_it() -> None:
    made = measured(xsi_type="RTO_PQ_PQ", numerator=[{"value": "1"}], denominator=[{"value": "128"}])
    assert not [name for name in made if name.startswith("value")]
    assert "128" in made["extension"][-1]["valueString"]


def test_a_status_that_is_not_known_is_refused() -> None:
    assert findings(transformed("Observation", observed(statusCode=[{"code": "thought-of"}]))) == ["status_:not_in_map"]


def test_an_encounter_is_named_by_its_diagnosis() -> None:
    assert made_of("ccd", "Condition")[1]["encounter"] == {
        "reference": f"Encounter/{made_of('ccd', 'Encounter')[0]['id']}"
    }


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("2024", "2024"),
        ("202407", "2024-07"),
        ("20240704", "2024-07-04"),
        ("2024070413", "2024-07-04"),
        ("2024070413-0400", "2024-07-04"),
        ("202407041305", "2024-07-04"),
        ("20240704130509.123", "2024-07-04"),
        ("202407041305-0400", "2024-07-04T13:05:00-04:00"),
        ("20240704130509+0000", "2024-07-04T13:05:09+00:00"),
        ("20240704130509.123-0400", "2024-07-04T13:05:09.123-04:00"),
    ],
)
def test_hl7_times_are_as_precise_as_fhir_allows(text: str, made: str) -> None:
    assert hl7_datetime(text) == made
    assert hl7_date(text) == made[:10]


@pytest.mark.parametrize("text", ["", "20240230", "2024-07-04", "202413", "20240704250000", "soon", "2024070425"])
def test_what_is_no_hl7_time_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        hl7_datetime(text)
