"""One link with the decision on it, on its way into the stores."""

from __future__ import annotations

from dataclasses import dataclass

from holovitals_pipelines.engine.agreement.facts import Seen
from holovitals_pipelines.store.link_states import LinkState
from holovitals_pipelines.sync.facts import Decision, Facts


@dataclass(frozen=True, slots=True)
class Decided:
    """One link, what was known of it, and what follows."""

    seen: Seen
    state: LinkState | None
    facts: Facts
    decision: Decision
