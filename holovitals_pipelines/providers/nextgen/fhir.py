"""NextGen's FHIR interfaces (vendors.md §7.2), both read only and searched by patient.

Enterprise is told by `_maxresults`, which it declares: it filters by `_lastUpdated`. Office (HAPI) does not; it is read
again in full, by Group export where `read.group` is given, from an address beside the FHIR one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from holovitals_pipelines.model.vocabulary import ChangeMechanism, Provider
from holovitals_pipelines.providers.bulk import Export
from holovitals_pipelines.providers.client_credentials import TokenEndpoint
from holovitals_pipelines.providers.fhir_face import US_CORE_TYPES, FhirFace
from holovitals_pipelines.providers.fhir_rest import quoted

TYPES = US_CORE_TYPES


class NextGenFhirAdapter(FhirFace):
    """One open connection to a practice's FHIR interface, Enterprise or Office."""

    provider = Provider.NEXTGEN

    def _token_endpoint(self) -> TokenEndpoint | None:
        # Office's Keycloak wants the audience; that it is the FHIR base is unverified. Its address is on another host:
        # auth.token_url.
        return TokenEndpoint(
            "protocol/openid-connect/token",
            "POST openid-connect/token",
            None,
            "check auth.client_id, auth.client_secret and auth.token_url (Office: the Keycloak realm's token endpoint)",
            (("aud", self.config.base_url),),
        )

    @property
    def _is_office(self) -> bool:
        return not any("_maxresults" in offer.search_params for offer in self.capability.types.values())

    def _count(self) -> tuple[str, str]:
        name, rows = super()._count()
        return (name if self._is_office else "_maxresults"), rows

    def _mechanism(self, resource_type: str) -> ChangeMechanism:
        # That Office's exports know a `_since` is documented nowhere.
        return ChangeMechanism.FULL_RESCAN if self._is_office else super()._mechanism(resource_type)

    def _export_level(self) -> str | None:
        settings = self.config.read
        if self._is_office and settings.group is not None and settings.mode != "search":
            return "group"
        return super()._export_level()

    def _group_export(self, types: Sequence[str], since: datetime | None = None) -> Export:
        if not self._is_office:
            return super()._group_export(types, since)
        assert self.config.read.group is not None
        path = f"../../bulkfhir/r4/Group/{quoted(self.config.read.group)}/$export"
        return Export(path, "GET Group/{id}/$export", types)
