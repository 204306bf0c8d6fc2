"""Which resource types a connection is expected to have before anybody has asked the vendor: what Dagster draws."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from holovitals_pipelines.fhir.resource_types import in_processing_order
from holovitals_pipelines.model.vocabulary import Provider, SourceFormat
from holovitals_pipelines.providers.allscripts import fhir as veradigm_fhir
from holovitals_pipelines.providers.allscripts import rows as allscripts
from holovitals_pipelines.providers.athenahealth import adapter as athenahealth
from holovitals_pipelines.providers.athenahealth import fhir as athenahealth_fhir
from holovitals_pipelines.providers.cerner_reads import CERNER_TYPES
from holovitals_pipelines.providers.eclinicalworks import ECW_TYPES
from holovitals_pipelines.providers.epic import EPIC_TYPES
from holovitals_pipelines.providers.meditech import adapter as meditech
from holovitals_pipelines.providers.meditech import fhir as meditech_fhir
from holovitals_pipelines.providers.nextgen import fhir as nextgen_fhir
from holovitals_pipelines.providers.nextgen import records as nextgen
from holovitals_pipelines.providers.vendor import plugged_vendor

COMMON_TYPES = (
    "Organization", "Location", "Practitioner", "Patient", "Group", "Device", "Encounter", "AllergyIntolerance",
    "Condition", "CareTeam", "Goal", "CarePlan", "MedicationRequest", "Immunization", "Procedure", "Observation",
    "ImagingStudy", "DiagnosticReport", "DocumentReference", "Claim", "ExplanationOfBenefit",
)  # fmt: skip
"""What FHIR R4 servers usually hold of a patient and of those who care for them."""


_USUAL: Mapping[Provider, Collection[str]] = {
    Provider.FHIR: COMMON_TYPES,
    Provider.EPIC: EPIC_TYPES,
    Provider.ECLINICALWORKS: ECW_TYPES,
    Provider.CERNER: CERNER_TYPES,
    Provider.ALLSCRIPTS: allscripts.TYPES,
    Provider.ATHENAHEALTH: athenahealth.TYPES,
    Provider.NEXTGEN: nextgen.TYPES,
    Provider.MEDITECH: meditech.TYPES,
}

_USUAL_IN_FHIR: Mapping[Provider, Collection[str]] = {
    Provider.ALLSCRIPTS: veradigm_fhir.TYPES,
    Provider.ATHENAHEALTH: athenahealth_fhir.TYPES,
    Provider.NEXTGEN: nextgen_fhir.TYPES,
    Provider.MEDITECH: meditech_fhir.TYPES,
}
"""Of the FHIR interfaces of vendors that have another one too."""


def usual_types(provider: Provider, form: str | None = None) -> tuple[str, ...]:
    """In processing order; `form` is the connection's `format`."""
    in_fhir = _USUAL_IN_FHIR.get(provider) if form == SourceFormat.FHIR_R4 else None
    usual = in_fhir or _USUAL.get(provider) or plugged_vendor(provider).types
    return tuple(in_processing_order(usual))
