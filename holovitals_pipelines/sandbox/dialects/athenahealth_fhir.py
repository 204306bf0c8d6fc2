"""athenahealth's FHIR interface (vendors.md §5.5) over v1's records: scoped by practice, paged by `cursor`.

Law: an id here names the practice and what v1 calls the record.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from holovitals_pipelines.sandbox.dialects.athenahealth_views import native_id, number_of
from holovitals_pipelines.sandbox.facts.athenahealth import PRACTICE
from holovitals_pipelines.sandbox.protocols.face import Face, Params, face_routes
from holovitals_pipelines.sandbox.protocols.outcomes import refusal
from holovitals_pipelines.sandbox.protocols.view import timed
from holovitals_pipelines.sandbox.site import Site
from holovitals_pipelines.sandbox.splice import with_id

BASE = "/athenahealth/fhir/r4"
GROUP = "sandbox-population"
SCOPE = f"Organization/a-1.Practice-{PRACTICE}"
TYPES = (
    "AllergyIntolerance", "Binary", "CarePlan", "CareTeam", "Condition", "Coverage", "Device", "DiagnosticReport",
    "DocumentReference", "Encounter", "Goal", "Group", "Immunization", "Location", "Medication", "MedicationRequest",
    "Observation", "Organization", "Patient", "Practitioner", "Procedure", "Provenance", "QuestionnaireResponse",
    "ServiceRequest",
)  # fmt: skip
"""US Core's: unverified."""
_REFERENCE = re.compile(rb'"(reference|url)":\s*"([A-Z][A-Za-z]+)/([^"#/]+)"')
_SHOWN = re.compile(r"a-\d+\.(E|[A-Za-z]+)-(.+)\Z")


class _PracticeView:
    """Patients are `a-{practice}.E-{v1's id}`; that other types have their name in E's place is unverified."""

    def number(self, site: Site, kind: str, shown_id: str) -> int | None:
        found = _SHOWN.match(shown_id)
        if found is None or found[1] != _letter(kind):
            return None
        if kind == "Patient":
            return number_of(site, "Patient", found[2])
        return site.records.number(kind, found[2])

    def shown_id(self, site: Site, number: int) -> str:
        records = site.records
        kind = records.kind(number)
        own = native_id(site, number) if kind == "Patient" else records.identity(number)
        return f"a-{PRACTICE}.{_letter(kind)}-{own}"

    def show(self, site: Site, number: int, body: bytes | None = None) -> bytes:
        current = body if body is not None else site.records.body(number)
        assert current is not None, "only living resources are shown"

        def shown(found: re.Match[bytes]) -> bytes:
            known = site.records.number(found[2].decode(), found[3].decode())
            return found[0] if known is None else _reference(found, self.shown_id(site, known))

        return timed(site, number, with_id(_REFERENCE.sub(shown, current), self.shown_id(site, number)))

    def take(self, body: bytes) -> bytes:
        def held(found: re.Match[bytes]) -> bytes:
            own = _SHOWN.match(found[3].decode())
            return found[0] if own is None else _reference(found, own[2])

        return _REFERENCE.sub(held, body)


def _reference(found: re.Match[bytes], identity: str) -> bytes:
    return b'"%s":"%s/%s"' % (found[1], found[2], identity.encode())


def _letter(kind: str) -> str:
    return "E" if kind == "Patient" else kind


def fhir_routes(site: Site, is_known: Callable[[Request], bool]) -> list[BaseRoute]:
    """The interface; `is_known` says whether a request's token is one that v1 takes too."""

    def denied(site: Site, request: Request, kind: str, letter: str) -> Response | None:
        return None if is_known(request) else refusal(401, "login", "Invalid Access Token")

    face = Face(
        software={"name": "athenahealth FHIR R4"},
        base=BASE,
        types=TYPES,
        parameters=("_count", "_lastUpdated", "_security", "ah-practice", "ah-department", "cursor"),
        filters_by_time=lambda site: True,
        link="cursor",
        writes={"QuestionnaireResponse": "c"},
        exports=("Group",),
        group=GROUP,
        view=_PracticeView(),
        denied=denied,
        problem=_scoped,
    )
    return face_routes(site, face)


def _scoped(site: Site, kind: str, params: Params) -> Response | None:
    """unverified: the status and words of both refusals."""
    given = dict(params)
    if given.get("ah-practice") != SCOPE:
        return refusal(403, "forbidden", "ah-practice is required")
    if kind == "MedicationRequest" and "intent" not in given and "_id" not in given:
        return refusal(400, "required", "intent is required")
    return None
