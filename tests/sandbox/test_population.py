from __future__ import annotations

import re
from collections import Counter, defaultdict
from itertools import islice
from typing import Any

import fhirkit
import orjson
import pytest

from holovitals_pipelines.sandbox.population import members, population

PROVIDERS = ("fhir", "epic", "cerner", "meditech", "allscripts", "nextgen", "athenahealth", "eclinicalworks")
TYPES = {
    "Organization", "Practitioner", "Location", "Patient", "Encounter", "Condition", "AllergyIntolerance",
    "Immunization", "MedicationRequest", "Observation", "Procedure", "DiagnosticReport", "DocumentReference", "Binary",
}  # fmt: skip


@pytest.fixture(scope="module")
def everybody() -> list[bytes]:
    return list(population(120, seed=7))


def by_patient(bodies: list[bytes]) -> dict[str, list[dict[str, Any]]]:
    charts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    current = ""
    for body in bodies:
        resource = orjson.loads(body)
        if resource["resourceType"] == "Patient":
            current = resource["id"]
        if current:
            charts[current].append(resource)
    return charts


def person_of(patient: dict[str, Any]) -> tuple[str, str, str]:
    national = next(i["value"] for i in patient["identifier"] if i["system"].endswith("us-ssn"))
    return national, patient["birthDate"], patient["name"][0]["family"]


def test_the_same_seed_gives_the_same_bytes_whatever_the_total(everybody: list[bytes]) -> None:
    assert list(population(120, seed=7)) == everybody
    assert list(islice(population(5000, seed=7), len(everybody))) == everybody
    assert list(population(120, seed=8)) != everybody


@pytest.mark.parametrize("provider", ["neutral", "epic", "cerner"])
def test_every_reference_resolves_and_no_id_comes_twice(provider: str) -> None:
    bodies = list(population(60, 3, provider))
    keys = [f"{r['resourceType']}/{r['id']}" for r in map(orjson.loads, bodies)]
    references = {found.decode() for body in bodies for found in re.findall(rb'"reference":"([A-Z][^"]+)"', body)}
    urls = {found.decode() for body in bodies for found in re.findall(rb'"url":"(Binary/[^"]+)"', body)}
    assert len(set(keys)) == len(keys)
    assert references and urls
    assert references | urls <= set(keys)


def test_every_resource_is_valid_fhir(everybody: list[bytes]) -> None:
    problems = [
        (orjson.loads(body)["resourceType"], str(issue)) for body in everybody for issue in fhirkit.validate(body)
    ]
    assert problems == []


def test_all_types_occur_in_plausible_numbers(everybody: list[bytes]) -> None:
    counts = Counter(orjson.loads(body)["resourceType"] for body in everybody)
    assert set(counts) == TYPES
    assert 60 <= len(everybody) / 120 <= 120
    assert all(b'"lastUpdated"' not in body and b'"versionId"' not in body for body in everybody)


def test_a_chart_is_written_in_time_order(everybody: list[bytes]) -> None:
    for chart in by_patient(everybody).values():
        starts = [r["period"]["start"] for r in chart if r["resourceType"] == "Encounter"]
        assert starts == sorted(starts) and len(starts) >= 2
        visits = {r["id"]: r["period"]["start"][:10] for r in chart if r["resourceType"] == "Encounter"}
        for resource in chart:
            if resource["resourceType"] == "Observation":
                visit = resource["encounter"]["reference"].partition("/")[2]
                assert resource["effectiveDateTime"][:10] == visits[visit]
                assert resource["effectiveDateTime"][:10] >= chart[0]["birthDate"]


def test_the_interpretation_says_what_the_value_shows(everybody: list[bytes]) -> None:
    verdicts: Counter[str] = Counter()
    for resource in map(orjson.loads, everybody):
        if resource["resourceType"] != "Observation" or "interpretation" not in resource:
            continue
        value, bounds = resource["valueQuantity"]["value"], resource["referenceRange"][0]
        low, high = (bounds.get(side, {}).get("value") for side in ("low", "high"))
        expected = "L" if low is not None and value < low else "H" if high is not None and value > high else "N"
        assert resource["interpretation"][0]["coding"][0]["code"] == expected
        verdicts[expected] += 1
    assert set(verdicts) == {"L", "N", "H"}


def test_diabetes_comes_with_its_laboratory_and_its_drug() -> None:
    a1c: dict[bool, list[float]] = {True: [], False: []}
    on_metformin = 0
    for chart in by_patient(list(population(400, seed=7))).values():
        has_diabetes = any(
            r["resourceType"] == "Condition" and r["code"]["text"] == "Diabetes mellitus type 2" for r in chart
        )
        drugs = b"".join(orjson.dumps(r) for r in chart if r["resourceType"] == "MedicationRequest")
        assert (b"860975" in drugs) == has_diabetes
        on_metformin += has_diabetes
        for resource in chart:
            if resource["resourceType"] == "Observation" and resource["code"]["coding"][0]["code"] == "4548-4":
                a1c[has_diabetes].append(resource["valueQuantity"]["value"])
    assert on_metformin > 10
    assert sum(a1c[True]) / len(a1c[True]) > 6.5 > 6.2 > sum(a1c[False]) / len(a1c[False])


def test_a_report_refers_to_results_of_its_own_visit(everybody: list[bytes]) -> None:
    for chart in by_patient(everybody).values():
        observations = {f"Observation/{r['id']}": r for r in chart if r["resourceType"] == "Observation"}
        for report in (r for r in chart if r["resourceType"] == "DiagnosticReport"):
            results = [observations[each["reference"]] for each in report["result"]]
            assert len(results) >= 4
            assert {r["encounter"]["reference"] for r in results} == {report["encounter"]["reference"]}


def test_what_makes_losslessness_hard_is_there(everybody: list[bytes]) -> None:
    everything = b"\n".join(everybody)
    assert re.search(rb'"value":\d+\.\d*0[,}]', everything), "a decimal with a trailing zero"
    for needed in (b'"_birthDate"', b'"_given":[null', b'"contained"', b'"extension"', b'"valueDecimal"'):
        assert needed in everything
    assert any(body != body.decode().encode("ascii", "replace") for body in everybody), "names beyond ASCII"


def test_each_vendor_holds_its_own_overlapping_share() -> None:
    held = {provider: {i for i in range(2000) if members(provider, i)} for provider in PROVIDERS}
    for provider, patients in held.items():
        assert 0.55 < len(patients) / 2000 < 0.65, provider
    for one in PROVIDERS:
        for other in PROVIDERS:
            if one != other:
                both = len(held[one] & held[other]) / 2000
                assert 0.31 < both < 0.41, "about 60 % of 60 %: one vendor's choice says nothing of another's"


def test_a_person_has_the_same_facts_and_other_ids_at_two_vendors() -> None:
    epic, fhir = (
        {person_of(chart[0]): chart for chart in by_patient(list(population(40, 5, name))).values()}
        for name in ("epic", "fhir")
    )
    common = epic.keys() & fhir.keys()
    assert common and epic.keys() - fhir.keys() and fhir.keys() - epic.keys()
    for person in common:
        here, there = epic[person], fhir[person]
        assert not {r["id"] for r in here} & {r["id"] for r in there}
        assert here[0]["identifier"][0] != there[0]["identifier"][0], "the medical record number is the site's"
        values = [
            [r["valueQuantity"] for r in chart if r["resourceType"] == "Observation" and "valueQuantity" in r]
            for chart in (here, there)
        ]
        assert values[0] == values[1] and values[0]


def test_epic_ids_are_opaque_and_some_are_longer_than_fhir_allows() -> None:
    ids = [orjson.loads(body)["id"] for body in population(30, 1, "epic")]
    assert all(re.fullmatch(r"[A-Za-z0-9.\-]+", identity) for identity in ids)
    assert any(len(identity) > 64 for identity in ids) and sum(len(i) > 64 for i in ids) < len(ids) / 20
