"""What the records of a connection are written in, as its vendor sends them.

Law: what a connection declares is taken; without it, it is the vendor's own form.
"""

from __future__ import annotations

from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.vocabulary import Provider, SourceFormat
from holovitals_pipelines.providers.vendor import plugged_vendor

NATIVE = (Provider.ALLSCRIPTS, Provider.NEXTGEN, Provider.ATHENAHEALTH)
"""Vendors whose own APIs are read and written; MEDITECH sends HL7 v2; the others speak FHIR."""


def format_of(connection: ConnectionConfig) -> SourceFormat:
    if connection.format is not None:
        return SourceFormat(connection.format)
    if connection.provider is Provider.MEDITECH:
        return SourceFormat.HL7_V2
    provider = connection.provider
    native = provider in NATIVE if provider.is_ours else plugged_vendor(provider).native
    return SourceFormat.CUSTOM_JSON if native else SourceFormat.FHIR_R4
