"""Housekeeping of the landing zone: what killed workers left behind, and whether what is there is whole."""

from __future__ import annotations

from datetime import timedelta

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store.parts import known_paths, registered_parts

YOUNGEST = timedelta(hours=1)
"""Longer than any write takes: a younger file may belong to a worker that is about to register it."""


def sweep_landing_zone(home: Home, older_than: timedelta = YOUNGEST) -> list[str]:
    """Remove files that no registered part names; returns their paths. Registered parts are never touched."""
    with home.database.read() as transaction:
        known = known_paths(transaction)
    return home.landing.sweep(known, older_than)


def damaged_parts(home: Home) -> list[str]:
    """Registered parts whose bytes are missing or are not those that were written; reads the whole landing zone."""
    with home.database.read() as transaction:
        registered = registered_parts(transaction)
    damaged = []
    for part in registered:
        try:
            home.landing.verify(part.path, part.sha256)
        except StoreError:
            damaged.append(part.path)
    return damaged
