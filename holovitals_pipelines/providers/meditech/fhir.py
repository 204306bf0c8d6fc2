"""MEDITECH's FHIR interface (vendors.md §9.1): read by patient or exported, two types written.

There is no `_lastUpdated`: changes are found by a Group export (`read.group`) with `_since`, else by reading everything
again. Tokens for a client of its own are granted site by site; `unauthorized_client` means: not yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.providers.client_credentials import TokenEndpoint
from holovitals_pipelines.providers.fhir_face import US_CORE_TYPES, FhirFace

TYPES = (*US_CORE_TYPES, "Communication", "QuestionnaireResponse")

_TOKENS = TokenEndpoint(
    "../../../oauth/token",  # seen from …/v2/uscore/STU6/
    "POST oauth/token",
    "system/*.rs",
    "check auth.client_id and auth.client_secret: MEDITECH does not know the pair",
)


class MeditechFhirAdapter(FhirFace):
    """One open connection to a MEDITECH site's FHIR interface."""

    provider = Provider.MEDITECH
    writes: ClassVar[Mapping[str, str]] = MappingProxyType({"Communication": "c", "QuestionnaireResponse": "cu"})

    def _token_endpoint(self) -> TokenEndpoint | None:
        return _TOKENS
