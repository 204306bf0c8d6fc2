"""Thresholds as configuration: the example of the documents, what it changes, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import ErrorSeverity
from holovitals_pipelines.quality.runner import run_suite
from holovitals_pipelines.quality.thresholds import Thresholds, default_thresholds, load_thresholds

from .batches import SOUND, batch

PAGE = (Path(__file__).parents[2] / "docs" / "quality.md").read_text(encoding="utf-8")
[EXAMPLE] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_of_the_page_changes_what_it_says_and_nothing_else() -> None:
    ours, shipped = load_thresholds(EXAMPLE, "quality.yml", {"clinic"}), default_thresholds()
    claims = {one.name: one for one in ours.reported("clinic", "Observation")}
    assert claims["quantities_have_a_unit"].tolerance == 0.2
    assert ours.reported("other", "Observation")[1:4] == shipped.reported("other", "Observation")[1:4]
    severities = {one.name: one.severity for one in ours.reported("clinic", "Encounter")}
    assert severities["every_encounter_has_a_class"] is ErrorSeverity.ERROR
    assert severities["status_is_from_the_value_set"] is ErrorSeverity.WARNING
    assert "every_document_has_a_type" not in {one.name for one in ours.reported("clinic", "DocumentReference")}
    assert [one.name for one in ours.holding("clinic", "DiagnosticReport")] == [
        "volume_has_not_collapsed",
        "references_resolve",
    ]
    assert [one.name for one in ours.holding("test-1", "Patient")] == ["volume_has_not_collapsed"]
    assert (ours.volume.least_share, shipped.volume.least_share) == (0.5, 0.3)
    assert "urn:oid:1.2.840.114350.*" in ours.known_systems("Observation")
    assert set(shipped.known_systems("Observation")) < set(ours.known_systems("Observation"))
    assert ours.known_systems("DocumentReference") == ("http://loinc.org", "urn:our-archive")
    assert len(shipped.ranges) == 37 and len(ours.ranges) == 38


def _observed(value: object, unit: str, code: str = "8867-4", system: str = "http://loinc.org") -> dict[str, object]:
    codes = [{"system": "urn:local", "code": "hr"}, {"system": system, "code": code}]
    return {**SOUND["Observation"], "code": {"coding": codes}, "valueQuantity": {"value": value, "unit": unit}}


def test_a_value_is_judged_by_the_range_of_its_code_and_unit_components_among_them() -> None:
    pressure = {
        **{name: value for name, value in SOUND["Observation"].items() if name != "valueQuantity"},
        "component": [
            {
                "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
                "valueQuantity": {"value": value, "code": "mm[Hg]"},
            }
            for code, value in (("8480-6", 120), ("8462-4", 8000))
        ],
    }
    bodies = [
        _observed(72, "/min"),
        _observed(7200, "/min"),
        _observed(7200, "furlong"),
        _observed(7200, "/min", system="urn:other"),
        _observed("many", "/min"),
        pressure,
    ]
    [found] = [one for one in run_suite("Observation", batch(bodies)) if one.name == "values_are_possible"]
    assert (found.rows, found.unexpected, found.passed) == (6, 2, False)

    ours = load_thresholds("version: x\nvalues: [{loinc: 8867-4, unit: /min, low: 10, high: 9000}]", "quality.yml")
    claims = ours.reported("clinic", "Observation")[:-1]
    [found] = [o for o in run_suite("Observation", batch(bodies), claims=claims) if o.name == "values_are_possible"]
    assert found.unexpected == 1


def test_a_code_is_known_by_any_of_its_first_codings_and_one_in_words_is_not_judged() -> None:
    codes = [
        {"coding": [{"system": "urn:local", "code": "x"}, {"system": "http://loinc.org", "code": "8867-4"}]},
        {"coding": [{"system": "urn:oid:1.2.840.114350.1.13", "code": "x"}]},
        {"coding": [{"code": "8867-4"}]},
        {"text": "heart rate"},
        {"coding": [{"system": "HTTP://LOINC.ORG", "code": "8867-4"}]},
    ]
    bodies = [{**SOUND["Observation"], "code": code} for code in codes]

    def unexpected(thresholds: Thresholds) -> int:
        claims = [one for one in thresholds.reported("clinic", "Observation") if one.name != "references_resolve"]
        outcomes = run_suite("Observation", batch(bodies), claims=claims)
        [found] = [one for one in outcomes if one.name == "codes_are_of_known_systems"]
        assert not found.passed and not found.blocking and found.severity is ErrorSeverity.WARNING
        return found.unexpected

    assert unexpected(default_thresholds()) == 3
    assert unexpected(load_thresholds(EXAMPLE, "quality.yml", {"clinic"})) == 2
    only = "version: x\nsystems: [{resource_type: '*', systems: ['urn:local'], only: true}]"
    assert unexpected(load_thresholds(only, "quality.yml")) == 3


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("version: x\nclaims:\n  - {claim: ids_are_unique, off: true}", 3, "no claim with a threshold"),
        ("version: x\nclaims:\n  - {claim: '*', resource_type: Pateint}", 3, "no resource type"),
        ("version: x\nclaims:\n  - {claim: '*', connection: klinic}", 3, "no connection"),
        ("version: x\nclaims:\n  - {claim: '*', tolerance: 2}", 3, "less than or equal to 1"),
        ("version: x\nvalues:\n  - {loinc: 8867-4, unit: /min, low: 5, high: 5}", 3, "low is less"),
        ("version: x\nsystems:\n  - {resource_type: Pateint, systems: [urn:a]}", 3, "no resource type"),
        ("version: x\nsystems:\n  - {resource_type: Patient, systems: []}", 3, "at least 1"),
        ("version: x\nvolume: {job: 3}", 2, "volume.job"),
        ("version: x\nsign_off: {status: signed}", 2, "by whom"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(text: str, line: int, says: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(says)) as caught:
        load_thresholds(text, "quality.yml", {"clinic"})
    assert (caught.value.code, caught.value.place) == ("quality.invalid", f"quality.yml:{line}")
