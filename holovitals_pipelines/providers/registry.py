"""From a connection's declaration to an adapter ready to open: the one place that knows which vendors there are.

Vendors that other packages bring are found by `vendor.plugged_vendor`.
"""

from __future__ import annotations

from dataclasses import replace

import httpx

from holovitals_pipelines.model.connection import ClientSecretAuth, ConnectionConfig, SmartBackendAuth
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import Provider, SourceFormat
from holovitals_pipelines.providers.adapter import Adapter
from holovitals_pipelines.providers.allscripts.adapter import AllscriptsAdapter
from holovitals_pipelines.providers.allscripts.fhir import VeradigmFhirAdapter
from holovitals_pipelines.providers.athenahealth.adapter import AthenaAdapter
from holovitals_pipelines.providers.athenahealth.fhir import AthenaFhirAdapter
from holovitals_pipelines.providers.cerner import CernerAdapter
from holovitals_pipelines.providers.cerner_errors import judge as cerner_judge
from holovitals_pipelines.providers.clock import SYSTEM_CLOCK, Clock
from holovitals_pipelines.providers.eclinicalworks import REQUESTS_PER_MINUTE, EcwAdapter
from holovitals_pipelines.providers.eclinicalworks_errors import ECW_ERRORS, read_judge
from holovitals_pipelines.providers.epic import EpicAdapter
from holovitals_pipelines.providers.epic_errors import EPIC_ERRORS
from holovitals_pipelines.providers.fhir import FhirAdapter
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.meditech.adapter import MeditechAdapter
from holovitals_pipelines.providers.meditech.fhir import MeditechFhirAdapter
from holovitals_pipelines.providers.meditech.held import HeldRecords
from holovitals_pipelines.providers.nextgen.adapter import NextGenAdapter
from holovitals_pipelines.providers.nextgen.fhir import NextGenFhirAdapter
from holovitals_pipelines.providers.rate import Limits, bucket_for
from holovitals_pipelines.providers.shared_rate import Allowance, shared_bucket_for
from holovitals_pipelines.providers.smart import SmartBackend
from holovitals_pipelines.providers.vendor import ResolveSecret, Vendor, plugged_vendor


def _athena_limits(base_url: str) -> Limits:
    # unverified: the figures a public client of theirs keeps to, a tenth and less of it in preview (vendors.md §5.7)
    return Limits(per_second=5.0 if ".preview." in base_url else 100.0)


def _athena_app(config: ConnectionConfig) -> str:
    """unverified: that an app's requests count together at all practices (vendors.md §5.7)"""
    host = httpx.URL(config.base_url).host
    return f"{host}#{config.auth.client_id}" if isinstance(config.auth, ClientSecretAuth) else host


_VENDORS: dict[Provider, Vendor] = {
    Provider.FHIR: Vendor(lambda config, http, resolve_secret: FhirAdapter(config, http)),
    Provider.EPIC: Vendor(EpicAdapter, EPIC_ERRORS),
    Provider.CERNER: Vendor(CernerAdapter, judge=cerner_judge),
    Provider.ATHENAHEALTH: Vendor(AthenaAdapter, limits=_athena_limits, counted=_athena_app),
    Provider.ALLSCRIPTS: Vendor(AllscriptsAdapter),
    Provider.NEXTGEN: Vendor(NextGenAdapter),
    Provider.ECLINICALWORKS: Vendor(
        EcwAdapter, ECW_ERRORS, read_judge, lambda base_url: Limits(per_minute=REQUESTS_PER_MINUTE)
    ),
}

_FHIR_FACES: dict[Provider, Vendor] = {
    Provider.ATHENAHEALTH: Vendor(AthenaFhirAdapter, limits=_athena_limits, counted=_athena_app),
    Provider.ALLSCRIPTS: Vendor(VeradigmFhirAdapter),
    Provider.NEXTGEN: Vendor(NextGenFhirAdapter),
    Provider.MEDITECH: Vendor(MeditechFhirAdapter),
}
"""What `format: FHIR_R4` chooses of vendors that have another interface too."""

AVAILABLE = tuple(dict.fromkeys((*_VENDORS, Provider.MEDITECH)))


def open_adapter(
    config: ConnectionConfig,
    resolve_secret: ResolveSecret,
    *,
    clock: Clock = SYSTEM_CLOCK,
    transport: httpx.AsyncBaseTransport | None = None,
    held: HeldRecords | None = None,
    allowance: Allowance | None = None,
) -> Adapter:
    """The adapter of a connection, to be used with `async with`; nothing is sent before that.

    `resolve_secret` gives the text a reference stands for. `clock` and `transport` are for tests. `held` is what HL7 v2
    messages have told, for a connection that receives them. `allowance` shares the vendor's limits with other
    processes; without one they are kept by this process alone.

    Raises ConfigurationError for what the connection lacks.
    """
    if _speaks_messages(config):
        return _meditech(config, resolve_secret, clock, held)
    vendor, limits = _vendor_of(config), limits_of(config)
    bucket = (
        bucket_for(limits, config.base_url, clock)
        if allowance is None
        else shared_bucket_for(limits, vendor.counted(config), allowance, clock)
    )
    http = VendorHttp(
        config.name,
        config.base_url,
        config.read,
        table=vendor.errors,
        judge=vendor.judge,
        bucket=bucket,
        clock=clock,
        transport=transport,
    )
    if isinstance(config.auth, SmartBackendAuth):
        http.authorizer = SmartBackend(config.auth, http, resolve_secret)
    return vendor.adapter(config, http, resolve_secret)


def _speaks_messages(config: ConnectionConfig) -> bool:
    return config.provider is Provider.MEDITECH and config.format is None


def _vendor_of(config: ConnectionConfig) -> Vendor:
    face = _FHIR_FACES.get(config.provider) if config.format == SourceFormat.FHIR_R4 else None
    return face or _VENDORS.get(config.provider) or plugged_vendor(config.provider)


def limits_of(config: ConnectionConfig) -> Limits:
    """The vendor's, with the connection's own requests a second where it names them."""
    limits = Limits() if _speaks_messages(config) else _vendor_of(config).limits(config.base_url)
    return replace(limits, per_second=config.read.requests_per_second or limits.per_second)


def _meditech(
    config: ConnectionConfig, resolve_secret: ResolveSecret, clock: Clock, held: HeldRecords | None
) -> Adapter:
    if held is None:
        raise ConfigurationError(
            "what MEDITECH's messages told is kept in a home, and none was given",
            code="meditech.no_home",
            place=f"connection {config.name}",
            remedy="use the connection through the holovitals command, or say format: FHIR_R4 for its FHIR interface",
        )
    return MeditechAdapter(config, held, resolve_secret, clock)
