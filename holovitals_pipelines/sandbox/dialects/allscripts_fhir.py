"""Veradigm's FHIR interface (vendors.md §6.3) over the records that Unity shows: no versions, twelve types written.

`_lastUpdated` is documented and not declared: a knob decides whether it filters. That it is searched by patient only
is vendors.md §1.1; the answer to a search without one, and how a redacted entry looks, are unverified.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from holovitals_pipelines.sandbox.protocols.face import Face, Params, face_routes
from holovitals_pipelines.sandbox.protocols.outcomes import origin, refusal
from holovitals_pipelines.sandbox.protocols.rest import token_route
from holovitals_pipelines.sandbox.protocols.smart_backend import TokenPolicy, allows, system_scopes
from holovitals_pipelines.sandbox.protocols.view import PlainView
from holovitals_pipelines.sandbox.site import Site
from holovitals_pipelines.sandbox.splice import with_members

TENANT = "CP00101"
BASE = f"/allscripts/fhirroute/fhir/{TENANT}"
TOKEN = f"/allscripts/fhirroute/authorizationV2/{TENANT}/connect/token"
GROUP = "sandbox-population"
ACCEPTED = ("application/fhir+json;fhirversion=4.0", "application/fhir+json; fhirversion=4.0")

WRITTEN = (
    "AllergyIntolerance", "Condition", "DocumentReference", "Immunization", "MedicationAdministration",
    "MedicationDispense", "MedicationRequest", "MedicationStatement", "Observation", "Questionnaire",
    "QuestionnaireResponse", "ServiceRequest",
)  # fmt: skip
_SHARED = ("Group", "Location", "Medication", "Organization", "Practitioner", "PractitionerRole", "Questionnaire")
TYPES = (
    *WRITTEN, *(kind for kind in _SHARED if kind != "Questionnaire"), "Binary", "CarePlan", "CareTeam", "Coverage",
    "Device", "DiagnosticReport", "Encounter", "FamilyMemberHistory", "Goal", "Patient", "Procedure", "Provenance",
    "RelatedPerson",
)  # fmt: skip
"""The types that are written are known; that the others are US Core 3.1.1's: unverified."""

_REDACTED = b'{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"REDACTED"}]}'


class _Redacting(PlainView):
    """With times; the first so many observations show no more than that they are there."""

    def show(self, site: Site, number: int, body: bytes | None = None) -> bytes:
        shown = super().show(site, number, body)
        observations = site.records.in_order("Observation")[: site.settings.fhir_redacted]
        if number not in observations:
            return shown
        return with_members(shown, {"meta": _REDACTED, "valueQuantity": None, "component": None})


def token_policy(settings: object) -> TokenPolicy:
    return TokenPolicy(frozenset({"RS384", "ES384"}), lifetime_seconds=300, grant=system_scopes)


def fhir_routes(site: Site) -> list[BaseRoute]:
    """The interface, and the way to its tokens."""
    face = Face(
        software={"name": "Veradigm FHIR"},
        base=BASE,
        types=TYPES,
        filters_by_time=lambda site: bool(site.settings.fhir_filters_by_time),
        writes=dict.fromkeys(WRITTEN, "cu"),
        exports=("Group",),
        group=GROUP,
        statement={"versioning": "no-version"},
        view=_Redacting(with_times=True),
        denied=_denied,
        problem=_needs_patient,
        too_large=_too_large,
    )

    async def smart_configuration(request: Request) -> Response:
        here = origin(request)
        return JSONResponse(
            {
                "token_endpoint": here + TOKEN,
                "token_endpoint_auth_methods_supported": ["private_key_jwt"],
                "grant_types_supported": ["client_credentials"],
            }
        )

    discovery = Route(f"{BASE}/.well-known/smart-configuration", smart_configuration)
    return [token_route(site, TOKEN), discovery, *face_routes(site, face)]


def _denied(site: Site, request: Request, kind: str, letter: str) -> Response | None:
    if request.headers.get("accept", "").lower() not in ACCEPTED and "bulk" not in request.url.path:
        return refusal(406, "not-supported", "Accept must be application/fhir+json;fhirVersion=4.0")
    if site.tokens is None:
        return None
    issued = site.tokens.bearer(request)
    if issued is None:
        return refusal(401, "login", "the access token is missing or no longer valid", {"WWW-Authenticate": "Bearer"})
    return None if allows(issued, kind, letter) else refusal(403, "forbidden", f"no {letter} on {kind}")


def _needs_patient(site: Site, kind: str, params: Params) -> Response | None:
    if kind in _SHARED or any(name in ("patient", "subject", "_id", "identifier") for name, _ in params):
        return None
    return refusal(400, "required", "a patient is required")


def _too_large(site: Site, rows: int) -> Response | None:
    most = site.settings.fhir_most_rows
    return refusal(413, "too-costly", "the result is too large") if most and rows > most else None
