"""NextGen's FHIR interfaces (vendors.md §7.2), both read only: Enterprise with `_lastUpdated` and `_maxresults`, and
Office, which has neither and exports its Groups from an address of its own.

Both are searched by patient only: vendors.md §1.1; the answer to a search without one is unverified.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import BaseRoute

from holovitals_pipelines.sandbox.protocols.face import Face, Params, face_routes
from holovitals_pipelines.sandbox.protocols.outcomes import refusal
from holovitals_pipelines.sandbox.protocols.view import TIMED
from holovitals_pipelines.sandbox.site import Site

ENTERPRISE = "/nextgen/nge/prod/fhir-api-r4/fhir/r4"
OFFICE, OFFICE_BULK = "/nextgen/office/api/fhir/r4", "/nextgen/office/api/bulkfhir/r4"
GROUP = "sandbox-population"
_SHARED = ("Location", "Medication", "Organization", "Practitioner", "PractitionerRole")
TYPES = (
    *_SHARED, "AllergyIntolerance", "Binary", "CarePlan", "CareTeam", "Condition", "Coverage", "Device",
    "DiagnosticReport", "DocumentReference", "Encounter", "Goal", "Group", "Immunization", "MedicationRequest",
    "Observation", "Patient", "Procedure", "Provenance",
)  # fmt: skip
"""US Core's: unverified."""


def fhir_routes(site: Site) -> list[BaseRoute]:
    """Both interfaces."""
    enterprise = Face(
        software={"name": "NextGen Enterprise"},
        base=ENTERPRISE,
        types=TYPES,
        parameters=("_lastUpdated", "_maxresults"),
        filters_by_time=lambda site: True,
        count="_maxresults",
        statement={"versioning": "no-version"},
        view=TIMED,
        problem=_needs_patient,
    )
    office = Face(
        software={"name": "HAPI FHIR Server", "version": "5.7.0"},
        base=OFFICE,
        types=TYPES,
        link="_getpages",
        exports=("Group",),
        bulk=OFFICE_BULK,
        polled=True,
        group=GROUP,
        problem=_needs_patient,
    )
    return [*face_routes(site, enterprise), *face_routes(site, office)]


def _needs_patient(site: Site, kind: str, params: Params) -> Response | None:
    if kind in _SHARED or any(name in ("patient", "subject", "_id", "identifier") for name, _ in params):
        return None
    return refusal(400, "required", "a patient is required")
