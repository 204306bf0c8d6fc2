"""A vendor's FHIR interface beside another one of its own: as any server's, less what the vendor leaves out.

Law: what the vendor documents bounds what its CapabilityStatement declares, and where no population is listed every
search names a patient: one of the list (`read.patient_ids`), of the Group, or already known.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import ClassVar

from holovitals_pipelines.fhir.resource_types import PATIENT_COMPARTMENT
from holovitals_pipelines.model.connection import ClientSecretAuth, ConnectionConfig, SecretRef
from holovitals_pipelines.model.errors import ConfigurationError, NotPermittedError
from holovitals_pipelines.model.extract import Page, ReadRequest
from holovitals_pipelines.model.writing import READ_ONLY, Present, WriteCapability
from holovitals_pipelines.providers.adapter import Identifier
from holovitals_pipelines.providers.client_credentials import ClientCredentials, TokenEndpoint
from holovitals_pipelines.providers.fhir import FhirAdapter
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.patient_list import listed_patients
from holovitals_pipelines.providers.progress import Progress, TypeRead

US_CORE_TYPES = (
    "Organization", "Location", "Practitioner", "Patient", "Device", "Encounter", "AllergyIntolerance", "Condition",
    "CareTeam", "Goal", "CarePlan", "MedicationRequest", "Immunization", "Procedure", "Observation",
    "DiagnosticReport", "DocumentReference",
)  # fmt: skip
"""What certified systems hold of a patient; the CapabilityStatement says the rest."""


class FhirFace(FhirAdapter):
    """One open connection to the FHIR interface of a vendor that has another one too."""

    writes: ClassVar[Mapping[str, str]] = {}
    """By type, the letters of `cu` that the vendor documents."""
    lists_population: ClassVar[bool] = False
    """Whether searches without a patient are answered."""

    def __init__(self, config: ConnectionConfig, http: VendorHttp, resolve_secret: Callable[[SecretRef], str]) -> None:
        super().__init__(config, http)
        self._resolve_secret = resolve_secret
        endpoint = self._token_endpoint()
        if isinstance(config.auth, ClientSecretAuth) and endpoint is not None:
            http.authorizer = ClientCredentials(config.auth, http, resolve_secret, endpoint)

    def _token_endpoint(self) -> TokenEndpoint | None:
        """Where a client with a secret gets its token; None where the vendor has no such clients."""
        return None

    def _offered(self) -> list[str]:
        # A Group is a list of patients to export, not a record of anybody.
        return [name for name in super()._offered() if name != "Group" or self.config.resource_types is not None]

    def _offered_writes(self, resource_type: str) -> WriteCapability:
        offered, letters = super()._offered_writes(resource_type), self.writes.get(resource_type, "")
        allowed = replace(
            offered,
            create=offered.create and "c" in letters,
            update=offered.update and "u" in letters,
            delete=False,
            # Whether an identifier that is not the vendor's own is filed is documented nowhere.
            keeps_identifiers=False,
        )
        return allowed if allowed.writes else READ_ONLY

    async def find(self, resource_type: str, identifiers: Sequence[Identifier]) -> Sequence[Present]:
        raise NotPermittedError(
            f"whether the vendor finds a {resource_type} by identifier is not documented",
            code="fhir_face.no_identifier_search",
            place=self.http.place(f"GET {resource_type}?identifier={{identifier}}"),
            remedy="look in the patient's chart by hand before anything is created again",
        )

    async def _whole_type(
        self, request: ReadRequest, read: TypeRead, progress: Progress, since: datetime | None
    ) -> AsyncGenerator[Page, None]:
        if self.lists_population or read.resource_type not in PATIENT_COMPARTMENT:
            pages = super()._whole_type(request, read, progress, since)
        else:
            pages = self._by_patient(self._patients(request), read, progress, since)
        async for page in pages:
            yield page

    def _patients(self, request: ReadRequest) -> list[str]:
        patients = sorted({*listed_patients(self.config, self._resolve_secret), *request.patients()})
        if not patients:
            raise ConfigurationError(
                "the vendor answers no search without a patient, and no patient is known at this connection",
                code="fhir_face.no_population",
                place=f"connection {self.config.name}",
                remedy="set read.group (a Group id from the site) or read.patient_ids (a file of ids, one a line)",
            )
        return patients
