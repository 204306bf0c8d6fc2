"""The suites as data: what they claim, and that they are whole."""

from __future__ import annotations

import re

import pytest

from holovitals_pipelines.model.vocabulary import ErrorSeverity
from holovitals_pipelines.quality import (
    RESOURCE_TYPES_WITH_SUITES,
    row_level_for,
    run_suite,
    structural_for,
    suite_for,
)

from .batches import FLAWED, SOUND, batch, flawed

THE_TEN = {
    "Patient", "Encounter", "Condition", "AllergyIntolerance", "MedicationRequest",
    "Observation", "Immunization", "Procedure", "DiagnosticReport", "DocumentReference",
}  # fmt: skip


def test_the_ten_common_types_have_suites_of_their_own() -> None:
    assert set(RESOURCE_TYPES_WITH_SUITES) == THE_TEN
    assert set(SOUND) == set(FLAWED) == THE_TEN, "the samples of these tests cover every suite"


def test_a_type_without_a_suite_still_has_the_structural_claims() -> None:
    assert [claim.name for claim in suite_for("CarePlan")] == [
        "ids_are_present",
        "ids_are_unique",
        "bodies_are_of_the_type",
    ]


@pytest.mark.parametrize("resource_type", sorted(THE_TEN))
def test_only_structural_claims_block(resource_type: str) -> None:
    assert all(claim.blocking and claim.severity is ErrorSeverity.ERROR for claim in structural_for(resource_type))
    assert not any(claim.blocking for claim in row_level_for(resource_type))
    assert {claim.severity for claim in row_level_for(resource_type)} == {ErrorSeverity.WARNING}


@pytest.mark.parametrize("resource_type", sorted(THE_TEN))
def test_names_are_claims_and_columns_have_one_meaning(resource_type: str) -> None:
    suite = suite_for(resource_type)
    names = [claim.name for claim in suite]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+){2,}", name) for name in names)
    assert all(
        len(name) <= 128 and len(claim.expectation_type) <= 128 for name, claim in zip(names, suite, strict=True)
    )
    assert all(claim.description.endswith(".") for claim in suite)
    columns = {column for claim in suite for column in claim.columns}
    assert len({column.name for column in columns}) == len(columns)


@pytest.mark.parametrize("resource_type", sorted(THE_TEN))
def test_a_sound_resource_keeps_every_claim(resource_type: str) -> None:
    outcomes = run_suite(resource_type, batch([SOUND[resource_type]] * 3))
    assert [outcome.name for outcome in outcomes] == [claim.name for claim in suite_for(resource_type)]
    assert [outcome.name for outcome in outcomes if outcome.unexpected] == []
    assert all(outcome.passed and outcome.rows == 3 for outcome in outcomes)


@pytest.mark.parametrize("resource_type", sorted(THE_TEN))
def test_each_claim_catches_its_own_flaw_and_no_other(resource_type: str) -> None:
    claims = [claim.name for claim in row_level_for(resource_type)]
    assert set(FLAWED[resource_type]) == set(claims), "every row-level claim has a resource that breaks it"
    for claim in claims:
        outcomes = run_suite(resource_type, batch([SOUND[resource_type], flawed(resource_type, claim)]))
        broken = {outcome.name: outcome.unexpected for outcome in outcomes if outcome.unexpected}
        assert broken == {claim: 1}
        assert [outcome.name for outcome in outcomes if not outcome.passed] == [claim]
