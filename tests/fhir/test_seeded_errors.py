"""The nineteen errors every FHIR validator should be shown, and which tier finds which.

The same nineteen were once put to fhir.resources (12), fhirkit-rs (13), pyfhircheck (13) and jsonschema-rs (12).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from holovitals_pipelines.fhir.validation import Issue, check_structure, explain, is_refused
from holovitals_pipelines.fhir.validation.models import check_models
from holovitals_pipelines.fhir.validation.structure import _compiled_check, _translate

SECRET = "Zebulon"

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p1",
    "meta": {"versionId": "1", "lastUpdated": "2021-02-28T10:00:00.123+01:00"},
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'},
    "identifier": [{"system": "urn:oid:1.2.36", "value": "2020-02-30", "period": {"start": "2019", "end": "2020-05"}}],
    "active": True,
    "name": [{"use": "official", "family": SECRET, "given": ["Ann", "Eve"], "_given": [None, {"id": "g2"}]}],
    "gender": "female",
    "birthDate": "1972-02-29",
    "_birthDate": {"extension": [{"url": "http://t", "valueDateTime": "1972-02-29T10:00:00Z"}]},
    "deceasedBoolean": False,
    "communication": [{"language": {"text": "French"}}],
}
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "o-1.A",
    "status": "final",
    "category": [{"coding": [{"system": "http://c", "code": "vital-signs"}]}],
    "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]},
    "subject": {"reference": "Patient/p1"},
    "encounter": {"reference": "http://h/fhir/Encounter/e1/_history/2"},
    "effectivePeriod": {"start": "2020-01-01T10:00:00+02:00", "end": "2020-01-01T08:30:00Z"},
    "issued": "2020-02-28T10:00:00.000Z",
    "valueQuantity": {"value": 120.50, "unit": "mmHg"},
    "component": [{"code": {"text": "a"}, "valueInteger": 3}],
}
ENCOUNTER: dict[str, Any] = {
    "resourceType": "Encounter",
    "id": "e1",
    "status": "finished",
    "class": {"code": "AMB"},
    "subject": {"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"},
    "period": {"start": "2020-01-31", "end": "2020-01-31T23:00:00-11:00"},
    "participant": [{"period": {"start": "2020-01-31T23:00:00Z"}}],
}
CONTROLS = {"Patient": PATIENT, "Observation": OBSERVATION, "Encounter": ENCOUNTER}


@dataclass(frozen=True)
class Seed:
    name: str
    resource_type: str
    spoil: Callable[[dict[str, Any]], Any]
    fast: str
    """The rule by which the fast tier finds it."""
    path: str
    models: bool
    """Whether fhir.resources alone finds it."""
    compiled: bool
    """Whether fhirkit-rs alone finds it; the others are our own rules'."""


SEEDS = [
    Seed("required status missing", "Observation", lambda r: r.pop("status"),
         "structure.required_missing", "Observation.status", True, True),
    Seed("required code missing", "Observation", lambda r: r.pop("code"),
         "structure.required_missing", "Observation.code", True, True),
    Seed("unknown element", "Observation", lambda r: r.update(flavour=SECRET),
         "structure.unknown_element", "Observation.flavour", True, True),
    Seed("string where an object belongs", "Observation", lambda r: r.update(subject=SECRET),
         "structure.wrong_kind", "Observation.subject", True, True),
    Seed("object where a list belongs", "Patient", lambda r: r.update(name={"family": SECRET}),
         "structure.wrong_kind", "Patient.name", True, True),
    Seed("status outside its value set", "Observation", lambda r: r.update(status=SECRET),
         "code.unknown", "Observation.status", False, False),
    Seed("gender outside its value set", "Patient", lambda r: r.update(gender=SECRET),
         "code.unknown", "Patient.gender", False, False),
    Seed("impossible date", "Patient", lambda r: r.update(birthDate="2020-02-30"),
         "date.impossible", "Patient.birthDate", True, False),
    Seed("date in US format", "Patient", lambda r: r.update(birthDate="01/31/1980"),
         "format.invalid", "Patient.birthDate", True, True),
    Seed("dateTime without time zone", "Observation", lambda r: r.update(issued="2020-01-01T10:00:00"),
         "format.invalid", "Observation.issued", True, True),
    Seed("two value[x] at once", "Observation", lambda r: r.update(valueString=SECRET),
         "structure.several_choices", "Observation.value[x]", True, True),
    Seed("number given as string", "Observation", lambda r: r["valueQuantity"].update(value="120.5"),
         "structure.wrong_kind", "Observation.valueQuantity.value", False, True),
    Seed("id with illegal characters", "Observation", lambda r: r.update(id=f"{SECRET}/x y"),
         "id.illegal", "Observation.id", True, False),
    Seed("empty string", "Patient", lambda r: r["name"][0].update(family=""),
         "structure.empty", "Patient.name[0].family", True, True),
    Seed("null value", "Observation", lambda r: r.update(issued=None),
         "structure.null", "Observation.issued", False, True),
    Seed("empty list", "Observation", lambda r: r.update(category=[]),
         "structure.empty", "Observation.category", False, True),
    Seed("reference of the wrong type", "Observation", lambda r: r["subject"].update(reference=f"Medication/{SECRET}"),
         "reference.wrong_type", "Observation.subject", False, False),
    Seed("component without code", "Observation", lambda r: r["component"][0].pop("code"),
         "structure.required_missing", "Observation.component[0].code", True, True),
    Seed("period.end before start", "Encounter", lambda r: r["period"].update(start="2020-02-01", end="2020-01-31"),
         "period.reversed", "Encounter.period", False, False),
]  # fmt: skip
BY_NAME = {seed.name: seed for seed in SEEDS}
ALLOWED_TO_FLOW = {"unknown element"}


def spoiled(seed: Seed) -> bytes:
    resource = json.loads(json.dumps(CONTROLS[seed.resource_type]))
    seed.spoil(resource)
    return json.dumps(resource).encode()


@pytest.mark.parametrize("resource_type", CONTROLS)
@pytest.mark.parametrize("tier", [check_structure, check_models, explain])
def test_a_valid_resource_has_no_issue(resource_type: str, tier: Callable[[bytes, str], tuple[Issue, ...]]) -> None:
    assert tier(json.dumps(CONTROLS[resource_type]).encode(), resource_type) == ()


@pytest.mark.parametrize("name", BY_NAME)
def test_the_fast_tier_finds_it_and_names_place_and_rule(name: str) -> None:
    seed = BY_NAME[name]
    issues = check_structure(spoiled(seed), seed.resource_type)
    assert [(issue.rule, issue.path) for issue in issues] == [(seed.fast, seed.path)]
    assert is_refused(issues) is (name not in ALLOWED_TO_FLOW)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_models_agree_or_are_known_to_miss_it(name: str) -> None:
    """The differential check: where fhir.resources sees the error at all, it sees it at the same place."""
    seed = BY_NAME[name]
    issues = check_models(spoiled(seed), seed.resource_type)
    assert bool(issues) is seed.models
    if issues and seed.fast != "structure.several_choices":  # the models name only the object that has the choice
        assert [issue.path for issue in issues] == [seed.path]


@pytest.mark.parametrize("name", BY_NAME)
def test_what_the_compiled_checker_finds_alone(name: str) -> None:
    seed = BY_NAME[name]
    assert bool(_translate(_compiled_check(spoiled(seed)))) is seed.compiled


def test_the_score() -> None:
    assert len(SEEDS) == 19
    assert sum(bool(check_structure(spoiled(seed), seed.resource_type)) for seed in SEEDS) == 19
    assert sum(seed.models for seed in SEEDS) == 12
    assert sum(seed.compiled for seed in SEEDS) == 13


@pytest.mark.parametrize("name", BY_NAME)
def test_no_tier_repeats_a_value(name: str) -> None:
    seed = BY_NAME[name]
    body = spoiled(seed)
    for issue in (*check_structure(body, seed.resource_type), *explain(body, seed.resource_type)):
        words = f"{issue.path} {issue.message} {issue.remedy}"
        for value in (SECRET, "2020-02-30", "01/31/1980", "10:00:00", "120.5", "2020-01-31"):
            assert value not in words
        assert issue.message and issue.remedy


@pytest.mark.parametrize("name", BY_NAME)
def test_explaining_tells_at_least_what_the_fast_tier_told(name: str) -> None:
    seed = BY_NAME[name]
    fast = check_structure(spoiled(seed), seed.resource_type)
    assert set(fast) <= set(explain(spoiled(seed), seed.resource_type))
