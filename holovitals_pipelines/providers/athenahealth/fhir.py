"""athenahealth's FHIR interface (vendors.md §5.5): one address for all practices, so that every search names its own.

Law: a connection without a practice asks nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.providers.client_credentials import TokenEndpoint
from holovitals_pipelines.providers.fhir_face import US_CORE_TYPES, FhirFace

TYPES = (*US_CORE_TYPES, "QuestionnaireResponse")

_INTENTS = "proposal,plan,order,original-order,reflex-order,filler-order,instance-order,option"
"""All that R4 has: MedicationRequest is searched with an intent or not at all."""

_TOKENS = TokenEndpoint(
    "../../oauth2/v1/token",  # seen from …/fhir/r4/
    "POST oauth2/v1/token",
    "athena/service/Athenanet.MDP.*",
    "check auth.client_id and auth.client_secret, and that the app is approved for this practice and host; set "
    "auth.scopes where the app was given system/ scopes of its own",
)


class AthenaFhirAdapter(FhirFace):
    """One open connection to a practice's FHIR interface."""

    provider = Provider.ATHENAHEALTH
    writes: ClassVar[Mapping[str, str]] = MappingProxyType({"QuestionnaireResponse": "c"})
    lists_population = True

    def _token_endpoint(self) -> TokenEndpoint | None:
        return _TOKENS

    def _check_settings(self) -> None:
        super()._check_settings()
        if self.config.vendor.practice_id is None:
            raise ConfigurationError(
                "athenahealth's FHIR interface is searched by practice, and the connection names none",
                code="athenahealth.no_practice",
                place=f"connection {self.config.name}, vendor.practice_id",
                remedy="set vendor.practice_id to the practice's number",
            )

    def _own_params(self, resource_type: str) -> list[tuple[str, str]]:
        practice = ("ah-practice", f"Organization/a-1.Practice-{self.config.vendor.practice_id}")
        return [practice, *([("intent", _INTENTS)] if resource_type == "MedicationRequest" else [])]

    def _fixed_params(self) -> Mapping[str, list[tuple[str, str]]]:
        return {name: self._own_params(name) for name in self._offered()}
