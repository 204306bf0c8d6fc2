"""Which resource types a connection is expected to have before anybody has asked the vendor: what Dagster draws."""

from __future__ import annotations

from holovitals_pipelines.fhir.resource_types import in_processing_order
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.providers.epic import EPIC_TYPES

COMMON_TYPES = (
    "Organization", "Location", "Practitioner", "Patient", "Group", "Device", "Encounter", "AllergyIntolerance",
    "Condition", "CareTeam", "Goal", "CarePlan", "MedicationRequest", "Immunization", "Procedure", "Observation",
    "ImagingStudy", "DiagnosticReport", "DocumentReference", "Claim", "ExplanationOfBenefit",
)  # fmt: skip
"""What FHIR R4 servers usually hold of a patient and of those who care for them."""


def usual_types(provider: Provider) -> tuple[str, ...]:
    """In processing order. Raises ConfigurationError for a provider without an adapter."""
    if provider is Provider.EPIC:
        return tuple(in_processing_order(EPIC_TYPES))
    if provider is Provider.FHIR:
        return tuple(in_processing_order(COMMON_TYPES))
    raise ConfigurationError(
        f"there is no adapter for provider {provider}", code="provider.unknown", remedy="choose one of: fhir, epic"
    )
