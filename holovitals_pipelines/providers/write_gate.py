"""What a connection's `write` settings let through of what its vendor takes: the same gate before every desk.

Law: nothing is sent that the settings do not allow; the default is that nothing is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from types import MappingProxyType

from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.writing import READ_ONLY, UnitWrite, WriteCapability


class WriteGate(ABC):
    """The part of a `ResourceDesk` that reads the settings."""

    config: ConnectionConfig

    @abstractmethod
    def _offered_writes(self, resource_type: str) -> WriteCapability:
        """What the vendor takes of the type, whatever the settings; only on an open connection."""

    def write_capability(self, resource_type: str) -> WriteCapability:
        """The vendor's offer, as far as the connection's settings allow it."""
        settings = self.config.write
        named = [types for types in (settings.resource_types, self.config.resource_types) if types is not None]
        if not settings.enabled or not all(resource_type in types for types in named):
            return READ_ONLY
        offered = self._offered_writes(resource_type)
        allowed = replace(
            offered, create=offered.create and settings.creates, delete=offered.delete and settings.deletes
        )
        if not allowed.writes:
            return READ_ONLY
        kept_away = dict.fromkeys(settings.read_only_elements.get(resource_type, ()), UnitWrite.READ_ONLY)
        return replace(allowed, elements=MappingProxyType({**offered.elements, **kept_away}))

    def _allowed(self, resource_type: str, what: str, allowed: bool) -> None:
        """Raises ConfigurationError for a write that the settings, or the vendor, do not allow."""
        if not allowed:
            raise ConfigurationError(
                f"{resource_type} is not to be {what} at this connection",
                code="write.not_enabled",
                place=f"connection {self.config.name}, write",
                remedy="set write.enabled, write.resource_types, write.creates or write.deletes if it is; nothing was "
                "sent. `holovitals connections test` shows what the vendor offers",
            )
