"""From a declared connection to its adapter: the engine's one way to a vendor."""

from __future__ import annotations

from collections.abc import Callable

from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.providers.adapter import Adapter
from holovitals_pipelines.settings import resolve_secret

AdapterFactory = Callable[[ConnectionConfig], Adapter]


def vendor_adapter(connection: ConnectionConfig) -> Adapter:
    from holovitals_pipelines.providers.registry import open_adapter  # all adapters; most commands call no vendor

    return open_adapter(connection, resolve_secret)
