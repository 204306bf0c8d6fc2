"""Which resource types a connection is expected to have before anybody has asked the vendor: what Dagster draws."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from holovitals_pipelines.fhir.resource_types import in_processing_order
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.providers.allscripts import rows as allscripts
from holovitals_pipelines.providers.athenahealth import adapter as athenahealth
from holovitals_pipelines.providers.epic import EPIC_TYPES
from holovitals_pipelines.providers.nextgen import records as nextgen

COMMON_TYPES = (
    "Organization", "Location", "Practitioner", "Patient", "Group", "Device", "Encounter", "AllergyIntolerance",
    "Condition", "CareTeam", "Goal", "CarePlan", "MedicationRequest", "Immunization", "Procedure", "Observation",
    "ImagingStudy", "DiagnosticReport", "DocumentReference", "Claim", "ExplanationOfBenefit",
)  # fmt: skip
"""What FHIR R4 servers usually hold of a patient and of those who care for them."""


_USUAL: Mapping[Provider, Collection[str]] = {
    Provider.FHIR: COMMON_TYPES,
    Provider.EPIC: EPIC_TYPES,
    Provider.ALLSCRIPTS: allscripts.TYPES,
    Provider.ATHENAHEALTH: athenahealth.TYPES,
    Provider.NEXTGEN: nextgen.TYPES,
}


def usual_types(provider: Provider) -> tuple[str, ...]:
    """In processing order. Raises ConfigurationError for a provider without an adapter."""
    if provider not in _USUAL:
        raise ConfigurationError(
            f"there is no adapter for provider {provider}",
            code="provider.unknown",
            remedy=f"choose one of: {', '.join(_USUAL)}",
        )
    return tuple(in_processing_order(_USUAL[provider]))
