"""From a declared connection to its adapter: the engine's one way to a vendor."""

from __future__ import annotations

from collections.abc import Callable

from holovitals_pipelines.engine.allowance import AllowanceInDatabase
from holovitals_pipelines.engine.record_format import format_of
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.vocabulary import SourceFormat
from holovitals_pipelines.providers.adapter import Adapter
from holovitals_pipelines.settings import resolve_secret
from holovitals_pipelines.store.database import Database

AdapterFactory = Callable[[ConnectionConfig], Adapter]


def vendor_adapter(connection: ConnectionConfig, database: Database | None = None) -> Adapter:
    """`database` holds what a vendor's HL7 v2 messages have told, and what is left of a vendor's limit that processes
    share; without it the limit is kept by this process alone."""
    from holovitals_pipelines.providers.registry import open_adapter  # all adapters; most commands call no vendor

    held = None
    allowance = AllowanceInDatabase(database) if database is not None else None
    if database is not None and format_of(connection) is SourceFormat.HL7_V2:
        from holovitals_pipelines.engine.hl7v2.held import HeldInDatabase

        held = HeldInDatabase(database, connection)
    return open_adapter(connection, resolve_secret, held=held, allowance=allowance)
