"""A seeded, clinically plausible, streaming synthetic population.

The law: a patient's resources are a function of (provider, seed, patient index), whatever the population's size.
"""

from __future__ import annotations

from collections.abc import Iterator

from holovitals_pipelines.sandbox.population.life import write_chart
from holovitals_pipelines.sandbox.population.site import NEUTRAL, members, shared_resources, site

__all__ = ["NEUTRAL", "members", "population"]


def population(patients: int, seed: int, provider: str = NEUTRAL) -> Iterator[bytes]:
    """Compact JSON resources, the shared ones first, then patient by patient in time order.

    Some 90 resources a patient. With a provider named, only its members, under its own ids. No `meta.lastUpdated`
    or `meta.versionId`: those are the server's to add.
    """
    where = site(provider, seed)
    yield from shared_resources(where)
    for index in range(patients):
        if members(provider, index):
            yield from write_chart(where, index)
