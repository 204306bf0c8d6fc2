"""Our lists of codes, targets and date elements against the models of fhir.resources (R4B)."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from holovitals_pipelines.fhir.resource_types import RESOURCE_TYPES
from holovitals_pipelines.fhir.validation.bindings import DATE_ELEMENTS, REFERENCE_TARGETS, REQUIRED_CODES


def elements(model: Any) -> dict[str, Any]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def facts(resource_type: str, element: str) -> dict[str, Any]:
    extra = elements(get_fhir_model_class(resource_type))[element].json_schema_extra
    assert isinstance(extra, dict)
    return extra


@pytest.mark.parametrize("resource_type", sorted(REQUIRED_CODES))
def test_the_required_codes_are_those_of_the_models(resource_type: str) -> None:
    """The models cut long lists and end them with `+`; those we must contain, the others equal."""
    for element, codes in REQUIRED_CODES[resource_type].items():
        listed = set(facts(resource_type, element)["enum_values"])
        if "+" in listed:
            assert codes > listed - {"+"}, element
        else:
            assert codes == listed, element


def test_every_status_can_be_entered_in_error_where_fhir_says_so() -> None:
    without = {name for name, codes in REQUIRED_CODES.items() if "entered-in-error" not in codes.get("status", ())}
    assert without == {"AllergyIntolerance", "Goal", "Location", "Patient", "Practitioner", "RelatedPerson"}
    assert "entered-in-error" in REQUIRED_CODES["Goal"]["lifecycleStatus"]


WIDER_IN_R4B = {("Observation", "subject"), ("DiagnosticReport", "subject")}
"""R4B also lets these speak of organisations, procedures, practitioners, medications and substances; R4 does not."""


@pytest.mark.parametrize("resource_type", sorted(REFERENCE_TARGETS))
def test_the_reference_targets_are_those_of_the_models(resource_type: str) -> None:
    for element, targets in REFERENCE_TARGETS[resource_type].items():
        assert targets <= RESOURCE_TYPES
        listed = set(facts(resource_type, element)["enum_reference_types"])
        if (resource_type, element) in WIDER_IN_R4B:
            assert targets < listed, element
        else:
            assert targets == listed, element


def test_the_date_elements_are_those_of_the_models() -> None:
    import fhir.resources.R4B as models
    from fhir_core.fhirabstractmodel import FHIRAbstractModel

    dated: set[str] = set()
    for module in pkgutil.iter_modules(models.__path__):
        if module.ispkg:
            continue
        for _, model in inspect.getmembers(
            importlib.import_module(f"{models.__name__}.{module.name}"), inspect.isclass
        ):
            if issubclass(model, FHIRAbstractModel):
                for name, field in elements(model).items():
                    if any(kind in str(field.annotation) for kind in ("datetime.date", "Instant(")):
                        dated.add(name)
    only_in_r4 = {"dateOfFirstAuthorization", "internationalBirthDate", "restoreDate"}
    free_text_elsewhere = {"value"}
    assert dated - free_text_elsewhere - DATE_ELEMENTS == set()
    assert DATE_ELEMENTS - dated - only_in_r4 == set()
