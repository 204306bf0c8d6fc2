"""From a connection's declaration to an adapter ready to open: the one place that knows which vendors there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef, SmartBackendAuth
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.providers.adapter import Adapter
from holovitals_pipelines.providers.allscripts.adapter import AllscriptsAdapter
from holovitals_pipelines.providers.answers import NO_TABLE, VendorTable
from holovitals_pipelines.providers.athenahealth.adapter import AthenaAdapter
from holovitals_pipelines.providers.clock import SYSTEM_CLOCK, Clock
from holovitals_pipelines.providers.epic import EpicAdapter
from holovitals_pipelines.providers.epic_errors import EPIC_ERRORS
from holovitals_pipelines.providers.fhir import FhirAdapter
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.nextgen.adapter import NextGenAdapter
from holovitals_pipelines.providers.rate import bucket_for
from holovitals_pipelines.providers.smart import SmartBackend

ResolveSecret = Callable[[SecretRef], str]


@dataclass(frozen=True, slots=True)
class _Vendor:
    adapter: Callable[[ConnectionConfig, VendorHttp, ResolveSecret], Adapter]
    errors: VendorTable = field(default_factory=lambda: NO_TABLE)


_VENDORS: dict[Provider, _Vendor] = {
    Provider.FHIR: _Vendor(lambda config, http, resolve_secret: FhirAdapter(config, http)),
    Provider.EPIC: _Vendor(EpicAdapter, EPIC_ERRORS),
    Provider.ATHENAHEALTH: _Vendor(AthenaAdapter),
    Provider.ALLSCRIPTS: _Vendor(AllscriptsAdapter),
    Provider.NEXTGEN: _Vendor(NextGenAdapter),
}

AVAILABLE = tuple(_VENDORS)


def open_adapter(
    config: ConnectionConfig,
    resolve_secret: ResolveSecret,
    *,
    clock: Clock = SYSTEM_CLOCK,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Adapter:
    """The adapter of a connection, to be used with `async with`; nothing is sent before that.

    `resolve_secret` gives the text a reference stands for. `clock` and `transport` are for tests. Raises
    ConfigurationError for a provider without an adapter.
    """
    vendor = _VENDORS.get(config.provider)
    if vendor is None:
        raise ConfigurationError(
            f"there is no adapter for provider {config.provider}",
            code="provider.unknown",
            place=f"connection {config.name}",
            remedy=f"choose one of: {', '.join(AVAILABLE)}",
        )
    http = VendorHttp(
        config.name,
        config.base_url,
        config.read,
        table=vendor.errors,
        bucket=bucket_for(config.read.requests_per_second, clock),
        clock=clock,
        transport=transport,
    )
    if isinstance(config.auth, SmartBackendAuth):
        http.authorizer = SmartBackend(config.auth, http, resolve_secret)
    return vendor.adapter(config, http, resolve_secret)
