"""What is declared of a vendor beside its adapter: its errors, its limits, and what it usually has.

An installed package declares one of these under the entry point group `holovitals.providers` (docs/adapters.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.plug_ins import PlugIn, plugged_in
from holovitals_pipelines.providers.adapter import Adapter
from holovitals_pipelines.providers.answers import NO_TABLE, Judge, VendorTable
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.rate import Limits

ResolveSecret = Callable[[SecretRef], str]


@dataclass(frozen=True, slots=True)
class Vendor:
    adapter: Callable[[ConnectionConfig, VendorHttp, ResolveSecret], Adapter]
    errors: VendorTable = field(default_factory=lambda: NO_TABLE)
    judge: Judge | None = None
    limits: Callable[[str], Limits] = lambda base_url: Limits()
    """What the vendor lets one client ask of a base URL."""
    counted: Callable[[ConnectionConfig], str] = lambda config: config.base_url.rstrip("/").lower()
    """Whose requests the vendor counts together."""
    types: Sequence[str] = ()
    """Of a plugged-in vendor: the resource types it usually has (for our own: `catalogue.py`)."""
    native: bool = False
    """Of a plugged-in vendor: whether it speaks JSON of its own, which rule sets make FHIR of."""


def plugged_vendor(provider: str) -> Vendor:
    """The vendor that an installed package brings. Raises ConfigurationError where that package is at fault."""
    try:
        vendor = plugged_in(PlugIn.PROVIDERS)[provider].load()
    except Exception as error:
        raise _at_fault(provider, f"cannot be loaded ({type(error).__name__})") from error
    if not isinstance(vendor, Vendor):
        raise _at_fault(provider, "is no Vendor")
    return vendor


def _at_fault(provider: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"what an installed package declares as the vendor {provider} {what}",
        code="provider.plug_in",
        place=f"entry point {PlugIn.PROVIDERS.value}",
        remedy="install the package anew, or mend it: docs/adapters.md says what it declares",
    )
