"""The explaining tier: complete models, no values, and never an exception for a resource that confuses them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fast_tier import SECRETS, leaves
from test_seeded_errors import CONTROLS, OBSERVATION, PATIENT

from holovitals_pipelines.fhir.validation import RULES, explain, is_refused
from holovitals_pipelines.fhir.validation.models import check_models


def models(resource: dict[str, Any], **changes: Any) -> list[tuple[str, str]]:
    body = json.dumps({**resource, **changes}).encode()
    return [(found.rule, found.path) for found in check_models(body, resource["resourceType"])]


@pytest.mark.parametrize(
    ("changes", "rule", "path"),
    [
        ({"subject": []}, "structure.wrong_kind", "Observation.subject"),
        ({"component": {}}, "structure.wrong_kind", "Observation.component"),
        ({"note": [None]}, "structure.null", "Observation.note"),
        ({"valueQuantity": None, "valueTime": "25:00:00"}, "format.invalid", "Observation.valueTime"),
        ({"issued": "2020-02-30T00:00:00Z"}, "date.impossible", "Observation.issued"),
        (
            {"contained": [{"resourceType": "Patient", "zz": 1}]},
            "structure.unknown_element",
            "Observation.contained[0].zz",
        ),
        ({"contained": [{"resourceType": "Wizard"}]}, "structure.other", "Observation"),
        ({"meta": {"versionId": "a b"}}, "format.invalid", "Observation.meta.versionId"),
    ],
)
def test_the_models_words_become_our_rules(changes: dict[str, Any], rule: str, path: str) -> None:
    assert models(OBSERVATION, **changes) == [(rule, path)]


def test_numbers_out_of_their_range_are_a_format() -> None:
    participant = [{"status": "accepted", "actor": {"reference": "Patient/1"}}]
    appointment = {"resourceType": "Appointment", "status": "booked", "participant": participant}
    assert models(appointment, minutesDuration=0) == [("format.invalid", "Appointment.minutesDuration")]
    assert models(PATIENT, multipleBirthInteger=1.5) == [("format.invalid", "Patient.multipleBirthInteger")]


def test_both_tiers_are_heard() -> None:
    """The models know no value set; the fast tier alone refuses the status, and each place is told once."""
    body = json.dumps({**OBSERVATION, "status": "done", "issued": "noon", "category": {}}).encode()
    assert [(found.rule, found.path) for found in explain(body, "Observation")] == [
        ("structure.wrong_kind", "Observation.category"),
        ("format.invalid", "Observation.issued"),
        ("code.unknown", "Observation.status"),
    ]


def test_a_type_without_model_is_judged_by_the_fast_tier() -> None:
    body = b'{"resourceType":"MedicinalProduct","name":[{"productName":"x"}],"zz":1}'
    issues = explain(body, "MedicinalProduct")
    assert {found.rule for found in issues} == {"explain.unavailable", "structure.unknown_element"}
    assert not is_refused(issues)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[1]", b'{"resourceType":7}', b'{"resourceType":"Patient"', b'{"a":' * 5000]
)
def test_bytes_that_are_no_resource_are_explained_too(body: bytes) -> None:
    issues = explain(body, "Patient")
    assert len(issues) == 1 and is_refused(issues) and issues[0].remedy
    assert is_refused(check_models(body, "Patient"))


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(sorted(CONTROLS)))
def test_whatever_stands_where_no_issue_repeats_it(data: st.DataObject, resource_type: str) -> None:
    resource = json.loads(json.dumps(CONTROLS[resource_type]))
    for _ in range(data.draw(st.integers(1, 3))):
        *above, last = data.draw(st.sampled_from(leaves(resource)))
        node = resource
        for step in above:
            node = node[step]
        node[last] = data.draw(SECRETS)
    for found in check_models(json.dumps(resource).encode(), resource_type):
        words = found.path + found.message + found.remedy
        assert "Zq7" not in words and "2020-02-30" not in words and "7.25" not in words
        assert found.rule in RULES


def test_the_models_are_not_loaded_before_they_are_needed() -> None:
    """0.6 s and 60 MB that a run without refused resources never pays."""
    program = (
        "import sys, holovitals_pipelines.fhir.validation as v, holovitals_pipelines.fhir.wire\n"
        "v.check_structure(b'{\"resourceType\":\"Patient\"}', 'Patient')\n"
        "assert not any(name.split('.')[0] in ('fhir', 'pydantic') for name in sys.modules)\n"
        "v.explain(b'{\"resourceType\":\"Patient\"}', 'Patient')\n"
        "assert 'fhir.resources' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
