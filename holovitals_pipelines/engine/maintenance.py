"""Housekeeping: what killed workers left behind in the landing zone."""

from __future__ import annotations

from datetime import timedelta

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.store.parts import known_paths

YOUNGEST = timedelta(hours=1)
"""Longer than any write takes: a younger file may belong to a worker that is about to register it."""


def sweep_landing_zone(home: Home, older_than: timedelta = YOUNGEST) -> list[str]:
    """Remove files that no registered part names; returns their paths. Registered parts are never touched."""
    with home.database.read() as transaction:
        known = known_paths(transaction)
    return home.landing.sweep(known, older_than)
