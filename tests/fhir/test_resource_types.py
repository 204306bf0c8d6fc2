"""The lists of types against the libraries that carry the specification."""

from __future__ import annotations

from fhir.resources.R4B import get_fhir_model_class

from holovitals_pipelines.fhir.resource_types import (
    PATIENT_COMPARTMENT,
    PROCESSING_ORDER,
    RESOURCE_TYPES,
    in_processing_order,
)


def test_the_types_are_those_of_r4() -> None:
    import fhirkit

    assert fhirkit.FHIR_VERSION == "4.0.1"
    assert frozenset(fhirkit.RESOURCE_TYPES) == RESOURCE_TYPES
    assert len(RESOURCE_TYPES) == 146


def test_the_lists_name_only_r4_types_and_each_once() -> None:
    assert set(PROCESSING_ORDER) | set(PATIENT_COMPARTMENT) <= RESOURCE_TYPES
    assert len(set(PROCESSING_ORDER)) == len(PROCESSING_ORDER)


def test_what_others_point_at_comes_first() -> None:
    order = in_processing_order(["Observation", "Encounter", "ValueSet", "Patient", "Basic", "Organization", "Patient"])
    assert order == ["Organization", "Patient", "Encounter", "Observation", "Basic", "ValueSet"]


def test_a_type_searched_by_patient_can_point_at_a_patient() -> None:
    """Somewhere at its top level or in a participant, by the models' own reference targets."""
    for name, parameter in PATIENT_COMPARTMENT.items():
        if name == "Patient":
            assert parameter == "_id"
            continue
        assert points_at_patient(get_fhir_model_class(name), set()), name


def points_at_patient(model: type, seen: set[type]) -> bool:
    from fhir.resources.R4B.backboneelement import BackboneElement

    seen.add(model)
    for field in model.model_fields.values():  # type: ignore[attr-defined]
        targets = (field.json_schema_extra or {}).get("enum_reference_types") or []
        if {"Patient", "Resource"} & set(targets):
            return True
    prefix = model.__name__
    inner = [part for part in BackboneElement.__subclasses__() if part.__name__.startswith(prefix) and part not in seen]
    return any(points_at_patient(part, seen) for part in inner)
